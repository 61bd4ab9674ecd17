import { io } from "socket.io-client";

const form = document.querySelector("form");
const list = document.querySelector("ul");
const status = document.querySelector("output");

const socket = io();
socket.on("connect", () => (status.value = "live"));
socket.on("disconnect", () => (status.value = "offline"));
socket.on("pinned", (note) => {
  list.append(Object.assign(document.createElement("li"), { textContent: note }));
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
  if (answer.ok) form.reset();
});
