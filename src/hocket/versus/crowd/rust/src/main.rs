//! socketioxide on axum: each client has a user and two rooms; `go` sends one message of 121 bytes to all, `echo` is
//! answered. Its documentation has one advice for speed, a release build; what it lets one set is at its default.
use axum::Router;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef, TryData};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpSocket;

#[derive(Clone, Default, Deserialize)]
#[expect(dead_code, reason = "kept for each client, as an application would")]
struct User {
    user: String,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

static JOINED: AtomicUsize = AtomicUsize::new(0);

fn message() -> Message {
    let now = clock_gettime(ClockId::Monotonic);
    let stamp = format!("@@{}@@", now.tv_sec * 1_000_000_000 + now.tv_nsec);
    Message { text: format!("{stamp:x<96}") }
}

async fn connected(socket: SocketRef, TryData(auth): TryData<User>) {
    socket.extensions.insert(auth.unwrap_or_default());
    socket.join("general");
    socket.join(format!("room-{}", JOINED.fetch_add(1, Ordering::Relaxed) / 50));
    socket.on("echo", async |socket: SocketRef, Data::<Value>(data)| {
        socket.emit("echo", &data).ok();
    });
    socket.on("go", async |io: SocketIo| {
        io.to("general").emit("message", &message()).await.ok();
    });
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).unwrap_or_default().parse().unwrap_or(0);
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connected);
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    let listener = socket.listen(4096)?;
    println!("socketioxide serves http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}
