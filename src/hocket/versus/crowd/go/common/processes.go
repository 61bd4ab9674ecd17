package common

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
)

const (
	self    = "BENCHMARK_PROCESS" // in the environment: the number of a process that another has started
	longest = 65536               // bytes of a message
)

// Processes are several on one port (SO_REUSEPORT), which tell each other over Unix sockets: `--processes N`.
type Processes struct {
	others []*net.UnixAddr
	socket *net.UnixConn
}

// Start serves in as many processes as were asked for. What one of them spreads, deliver gets in all others.
func (p *Processes) Start(name string, handler http.Handler, deliver func(message []byte)) {
	number, count := p.number(), p.count()
	listener := Listen()
	if count > 1 {
		p.meet(number, count)
		go p.listen(deliver)
	}
	if number == 0 {
		runtime.LockOSThread() // the others end with the thread that has started them: it stays this one's
		for other := 1; other < count; other++ {
			start(other, listener.Addr().(*net.TCPAddr).Port)
		}
		Announce(name, listener)
	} else {
		fmt.Println("ready")
	}
	go func() { panic(http.Serve(listener, handler)) }()
	select {}
}

// Spread tells the others.
func (p *Processes) Spread(message []byte) {
	for _, other := range p.others {
		_, err := p.socket.WriteToUnix(message, other)
		Must(err)
	}
}

func (p *Processes) number() int {
	number, _ := strconv.Atoi(os.Getenv(self))
	return number
}

func (p *Processes) count() int {
	at := slices.Index(os.Args, "--processes")
	if at < 0 {
		return 1
	}
	count, err := strconv.Atoi(os.Args[at+1])
	Must(err)
	return count
}

func (p *Processes) meet(number, count int) {
	leader := os.Getpid()
	if number > 0 {
		leader = os.Getppid()
	}
	for other := range count {
		address := &net.UnixAddr{Name: fmt.Sprintf("@benchmark-%d-%d", leader, other), Net: "unixgram"}
		if other != number {
			p.others = append(p.others, address)
			continue
		}
		socket, err := net.ListenUnixgram("unixgram", address)
		Must(err)
		p.socket = socket
	}
}

func (p *Processes) listen(deliver func(message []byte)) {
	buffer := make([]byte, longest)
	for {
		size, err := p.socket.Read(buffer)
		Must(err)
		deliver(buffer[:size])
	}
}

// start another process of this program on the same port, and wait until it listens.
func start(number, port int) {
	arguments := slices.Clone(os.Args[1:])
	arguments[0] = strconv.Itoa(port)
	command := exec.Command(os.Args[0], arguments...)
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", self, number))
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ready, err := command.StdoutPipe()
	Must(err)
	Must(command.Start())
	_, err = ready.Read(make([]byte, 1))
	Must(err)
}
