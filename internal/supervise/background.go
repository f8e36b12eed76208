package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
)

// A process in the background starts in three steps, so that a teardown knows of every one:
// it is started, and waits; it is recorded in the journal; it is told to begin, and reports
// that its work has begun. The last two are one byte each, in a pipe. The process finds the
// pipes at these descriptors:
const (
	gateFD    = 3 // it reads a byte from here when it may begin
	readyFD   = 4 // it writes a byte here when its work has begun
	inheritFD = 5 // the port that was reserved for it, if there is one
)

// readyWithin is how long a process that was started has to begin its work.
const readyWithin = 30 * time.Second

// Background is a process that works beside a run and outlives the one that starts it.
type Background struct {
	Role journal.ProcessRole
	// Args are the arguments with which this program does that work. It must call
	// [AwaitHandover] first.
	Args    []string
	Environ []string
	// Log takes what it prints.
	Log *os.File
	// Endpoint is where it serves; a port that was reserved is handed over.
	Endpoint Endpoint
}

// Start starts the process, calls record, tells the process to begin, and waits until its work
// has begun. If record fails, or this process is killed before, the new process ends.
func (b Background) Start(ctx context.Context, record func(journal.ProcessStarted) error) error {
	w, err := b.spawn()
	if err != nil {
		return err
	}
	defer w.ready.Close()
	pid := w.cmd.Process.Pid
	start, err := startOf(pid)
	if err == nil && start == "" {
		err = errors.New("it ended immediately")
	}
	if err == nil {
		err = record(journal.ProcessStarted{Role: b.Role, PID: pid, Start: start})
	}
	if err == nil {
		_, err = w.gate.Write([]byte{1})
	}
	if err = errors.Join(err, w.gate.Close()); err != nil {
		<-w.ended
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = w.ready.SetReadDeadline(time.Unix(1, 0)) })()
	if n, err := w.ready.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("it did not start to work: %w", err)
	}
	return nil
}

// waiting is a process that was started and may not begin yet.
type waiting struct {
	cmd         *exec.Cmd
	gate, ready *os.File
	ended       chan struct{}
}

// spawn starts the process, in a session of its own: nothing of it belongs to this terminal.
func (b Background) spawn() (*waiting, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	hold, gate, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer hold.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	defer tell.Close()
	cmd := exec.Command(program, b.Args...)
	cmd.Args[0] = "taskiam"
	cmd.Env = b.Environ
	cmd.Stdout, cmd.Stderr = b.Log, b.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{hold, tell}
	inherit, err := b.Endpoint.file()
	if err != nil {
		return nil, errors.Join(err, gate.Close(), ready.Close())
	}
	if inherit != nil {
		defer inherit.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, inherit)
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, gate.Close(), ready.Close())
	}
	w := &waiting{cmd: cmd, gate: gate, ready: ready, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		_ = cmd.Wait() // its log says how it ended
	}()
	return w, nil
}

// Handover is the other half of [Background]: the process that was started.
type Handover struct{ ready *os.File }

// AwaitHandover waits until this process is recorded.
func AwaitHandover() (*Handover, error) {
	gate, ready := os.NewFile(gateFD, "gate"), os.NewFile(readyFD, "ready")
	if gate == nil || ready == nil {
		return nil, fault.New(fault.Usage, "this process was not started to work in the background")
	}
	// Without the byte this process is in no journal: the one that started it was killed, or
	// could not write.
	if n, err := gate.Read(make([]byte, 1)); n != 1 {
		return nil, fmt.Errorf("waiting for up: %w", err)
	}
	return &Handover{ready}, gate.Close()
}

// Open opens the endpoint. If that is a port, it is the one that this process has inherited.
func (h *Handover) Open(ctx context.Context, e Endpoint) (net.Listener, error) {
	if e.Path == "" && e.Listen != "" {
		var err error
		if e.Inherit, err = net.FileListener(os.NewFile(inheritFD, "listener")); err != nil {
			return nil, err
		}
	}
	return e.Open(ctx)
}

// Ready reports that the work of this process has begun.
func (h *Handover) Ready() error {
	_, err := h.ready.Write([]byte{1})
	return errors.Join(err, h.ready.Close())
}
