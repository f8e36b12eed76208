package isolate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/child"
	"github.com/taskiam/taskiam/internal/relay"
)

// codeChanged is the exit code of a sandbox that shows something else than it should.
const codeChanged = 125

// Order tells the first process in a sandbox what to do.
type Order struct {
	// Look only looks the command up.
	Look bool
	// Control means that there is a socket to the outside.
	Control bool
	// Terminal has the numbers of the standard streams that are a terminal of the sandbox's
	// own; "" is none of them.
	Terminal string
	Forwards []Forward // with the sockets' paths inside
	Pins     []Pinned
	Command  []string
}

// ParseInside reads what [Spec.Args] wrote after "isolated".
func ParseInside(args []string) (Order, error) {
	var o Order
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--look":
			o.Look = true
		case "--control":
			o.Control = true
		case "--terminal":
			i++
			if i == len(args) || strings.Trim(args[i], "012") != "" {
				return o, errors.New("--terminal has no streams")
			}
			o.Terminal = args[i]
		case "--forward":
			i++
			if i == len(args) {
				return o, errors.New("--forward has no value")
			}
			address, socket, ok := strings.Cut(args[i], "=")
			if !ok {
				return o, fmt.Errorf("--forward is ADDRESS=SOCKET, not %q", args[i])
			}
			o.Forwards = append(o.Forwards, Forward{address, socket})
		case "--pin":
			i++
			if i == len(args) {
				return o, errors.New("--pin has no value")
			}
			p, err := parsePin(args[i])
			if err != nil {
				return o, err
			}
			o.Pins = append(o.Pins, p)
		case "--":
			o.Command = args[i+1:]
			if len(o.Command) == 0 {
				return o, errors.New("there is no command")
			}
			return o, nil
		default:
			return o, fmt.Errorf("there is no %q", args[i])
		}
	}
	return o, errors.New("there is no command")
}

// Inside is the first process in a sandbox, and returns its exit code. Bubblewrap is the
// sandbox's init: it reaps, and when this process ends, the kernel ends all others in it.
func Inside(ctx context.Context, o Order, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	for _, p := range o.Pins {
		if err := p.check(); err != nil {
			return codeChanged, err
		}
	}
	environ, err := commandsEnviron()
	if err != nil {
		return child.NoExec, err
	}
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		return child.CodeOfStart(err), err
	}
	if o.Look {
		return 0, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, f := range o.Forwards {
		l, err := net.Listen("tcp", f.Address)
		if err != nil {
			return child.NoExec, fmt.Errorf("listening for the sandbox: %w", err)
		}
		go func() {
			_ = relay.Relay(ctx, l, func(ctx context.Context) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", f.Socket)
			})
		}()
	}
	cmd := exec.Command(path, o.Command[1:]...)
	cmd.Args[0], cmd.Env = o.Command[0], environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	w := &warden{command: cmd}
	if err := hideFromCommand(); err != nil {
		return child.NoExec, err
	}
	if o.Control {
		if err := w.meet(o.Terminal); err != nil {
			return child.NoExec, err
		}
	}
	if err := startConfined(cmd); err != nil {
		return child.CodeOfStart(err), err
	}
	if w.control != nil {
		go w.obey()
	}
	return w.wait()
}

// commandsEnviron reads the command's variables, which are not this process's own. Of them it
// takes PATH alone, to look the command up.
func commandsEnviron() ([]string, error) {
	unix.CloseOnExec(environFd)
	f := os.NewFile(environFd, "environment")
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading the command's environment: %w", err)
	}
	var environ []string
	if len(b) > 0 {
		environ = strings.Split(string(b), "\x00")
	}
	path := ""
	for _, v := range environ {
		if name, value, _ := strings.Cut(v, "="); name == "PATH" {
			path = value
		}
	}
	here, err := os.Getwd()
	if err = errors.Join(err, os.Setenv("PATH", path)); err != nil {
		return nil, fmt.Errorf("reading the command's environment: %w", err)
	}
	return append(environ, "PWD="+here), nil
}

// startConfined starts the command from a thread that has dropped the rights that
// bubblewrap leaves.
func startConfined(cmd *exec.Cmd) error {
	failed := make(chan error)
	go func() {
		// The thread is never unlocked, so that it ends with this function and no other
		// goroutine runs confined.
		runtime.LockOSThread()
		if err := confine(); err != nil {
			failed <- err
			return
		}
		failed <- cmd.Start()
	}()
	return <-failed
}
