package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// flagSpawned marks a server that up has started. Its descriptors are gateFD, from
// which it reads a byte once its process is in the journal; readyFD, into which it
// writes one when it is at work; and, if it serves on a port, listenerFD.
const flagSpawned = "spawned"

const (
	gateFD     = 3
	readyFD    = 4
	listenerFD = 5
)

// readyWithin is how long a server that was started has to begin its work.
const readyWithin = 30 * time.Second

type serveOptions struct {
	word    string // "" is the only run that is up
	refresh bool
	spawned bool
	quiet   bool
}

func newServeCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve the metadata of a run that is up, or renew its token",
		UsageText: `taskiam serve                    # again, after its server has crashed
taskiam serve --refresh RUN      # for a run that is delivered by token`,
		ArgsUsage: "[RUN|TASK|FILE]",
		Description: `taskiam up starts it in the background where the delivery needs it, and taskiam down
stops it. It ends by itself with the run, or when the run's account is gone. In the
foreground it prints a line for every token that it hands out, and never a token.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "refresh", Usage: "renew the token in the delivery before it ends, again and again"},
			&cli.BoolFlag{Name: flagSpawned, Hidden: true, Usage: "be the server that up has started"},
			newQuietFlag(),
		},
		Action: action(parseServe, func(ctx context.Context, o serveOptions) error { return runServe(ctx, e, o) }),
	}
}

func parseServe(c *cli.Context) (serveOptions, error) {
	word, err := oneRun(c)
	return serveOptions{word: word, refresh: c.Bool("refresh"), spawned: c.Bool(flagSpawned), quiet: c.Bool(flagQuiet)}, err
}

func runServe(ctx context.Context, e *Env, o serveOptions) error {
	if err := protect(); err != nil {
		return err
	}
	if o.spawned {
		return e.serveSpawned(ctx, grants.RunID(o.word))
	}
	run, err := e.deliveredRun(o.word, "taskiam serve")
	if err != nil {
		return err
	}
	if err := serves(run, o.refresh); err != nil {
		return err
	}
	journals, err := e.journals()
	if err != nil {
		return err
	}
	if held, err := tokenLogHeld(journals, run.ID()); err != nil {
		return err
	} else if held {
		return fault.New(fault.Locked, "run %s is one of taskiam run, which serves it itself", run.ID())
	}
	start, err := processStart(os.Getpid())
	if err != nil {
		return err
	}
	l, err := listenAgain(run)
	if err != nil {
		return err
	}
	log := e.talk
	if o.quiet {
		log = io.Discard
	}
	k, err := e.newKeeper(ctx, run, log)
	if err == nil {
		err = record(ctx, journals, run.ID(), journal.ProcessStarted{PID: os.Getpid(), Start: start})
	}
	if err != nil {
		return errors.Join(err, closeIf(l))
	}
	return errors.Join(k.keep(ctx, l), recordEnd(ctx, journals, run.ID(), start))
}

// serves returns why there is nothing to serve for a run, or somebody who does.
func serves(run *journal.Run, refresh bool) error {
	id := string(run.ID())
	switch run.Kind {
	case grants.DeliverKey:
		return fault.New(fault.Usage, "run %s is delivered by key: there is nothing to serve", id)
	case grants.DeliverToken:
		if !refresh {
			return fault.WithHint(fault.New(fault.Usage, "run %s is delivered by token, and has no metadata server", id), "taskiam serve --refresh "+id)
		}
	default:
		if refresh {
			return fault.WithHint(fault.New(fault.Usage, "run %s is delivered by metadata, and has no token to renew", id), "taskiam serve "+id)
		}
	}
	for _, p := range run.Processes {
		if p.Effect.Standing() && running(p.PID, p.Start) {
			return fault.New(fault.Locked, "process %d serves run %s already", p.PID, id)
		}
	}
	return nil
}

// listenAgain listens where a run's clients look for its metadata server; nil if they
// look for none.
func listenAgain(run *journal.Run) (net.Listener, error) {
	o := run.Opened
	switch {
	case run.Kind != grants.DeliverMetadata:
		return nil, nil
	case o.Socket:
		return listenSocket(o.DeliveryDir)
	}
	l, err := net.Listen("tcp", o.Metadata)
	if err != nil {
		return nil, fmt.Errorf("listening for the metadata server: %w", err)
	}
	return l, nil
}

func closeIf(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// record adds a record to the journal of a run, if it is not being taken down.
func record(ctx context.Context, journals *journal.Dir, run grants.RunID, r journal.Record) error {
	j, err := journals.Open(ctx, run, recordWithin)
	if err != nil {
		return err
	}
	defer j.Close()
	if !j.Run().Down.IsZero() {
		return fault.New(fault.Denied, "run %s is being taken down", run)
	}
	return j.Append(r)
}

// recordEnd says that this process, a server, ends. Whoever is at work on the run is
// about to stop it and will say so.
func recordEnd(ctx context.Context, journals *journal.Dir, run grants.RunID, start string) error {
	j, err := journals.Open(context.WithoutCancel(ctx), run, 0)
	if fault.Is(err, fault.Locked, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer j.Close()
	if !j.Run().Down.IsZero() {
		return nil
	}
	return j.Append(journal.ProcessStopped{PID: os.Getpid(), Start: start})
}

// serveSpawned is the server that up has started, and that outlives it.
func (e *Env) serveSpawned(ctx context.Context, id grants.RunID) error {
	gate, ready := os.NewFile(gateFD, "gate"), os.NewFile(readyFD, "ready")
	if gate == nil || ready == nil {
		return fault.New(fault.Usage, "--%s is for taskiam itself", flagSpawned)
	}
	// Without the byte, nobody knows of this process: up has been killed, or could not
	// write its journal.
	if n, err := gate.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("waiting for up: %w", err)
	}
	if err := gate.Close(); err != nil {
		return err
	}
	journals, err := e.journals()
	if err != nil {
		return err
	}
	run, err := journals.Read(id)
	if err != nil {
		return err
	}
	var l net.Listener
	switch {
	case run.Kind != grants.DeliverMetadata:
	case run.Opened.Socket:
		l, err = listenSocket(run.Opened.DeliveryDir)
	default:
		l, err = net.FileListener(os.NewFile(listenerFD, "listener"))
	}
	if err != nil {
		return err
	}
	k, err := e.newKeeper(ctx, run, e.talk)
	if err == nil {
		_, err = ready.Write([]byte{1})
	}
	if err = errors.Join(err, ready.Close()); err != nil {
		return errors.Join(err, closeIf(l))
	}
	start, err := processStart(os.Getpid())
	if err != nil {
		return errors.Join(err, closeIf(l))
	}
	return errors.Join(k.keep(ctx, l), recordEnd(ctx, journals, id, start))
}

// spawner returns what starts the server of a run in the background, on the listener if
// there is one.
func (e *Env) spawner(l *net.TCPListener) func(context.Context, grants.RunID, func(int, string) error) error {
	return func(ctx context.Context, run grants.RunID, record func(int, string) error) error {
		journals, err := e.journals()
		if err != nil {
			return err
		}
		log, err := openTokenLog(journals, run)
		if err != nil {
			return err
		}
		defer log.Close()
		s, err := e.spawn(run, l, log)
		if err != nil {
			return fmt.Errorf("starting the server of run %s: %w", run, err)
		}
		if err := s.begin(ctx, record); err != nil {
			return fault.WithHint(fmt.Errorf("starting the server of run %s: %w", run, err), "cat "+quoteShell(log.Name()))
		}
		return nil
	}
}

// spawned is a server that was started, and waits to be let go.
type spawned struct {
	cmd         *exec.Cmd
	gate, ready *os.File
	ended       chan struct{}
}

// spawn starts the server. Nothing of it belongs to this terminal.
func (e *Env) spawn(run grants.RunID, l *net.TCPListener, log *os.File) (*spawned, error) {
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
	cmd := exec.Command(program, "serve", "--"+flagSpawned, string(run))
	cmd.Args[0] = "taskiam"
	cmd.Env = e.Environ()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{hold, tell}
	if l != nil {
		f, err := l.File()
		if err != nil {
			return nil, errors.Join(err, gate.Close(), ready.Close())
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, gate.Close(), ready.Close())
	}
	s := &spawned{cmd: cmd, gate: gate, ready: ready, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_ = cmd.Wait() // its log says how it ended
	}()
	return s, nil
}

// begin records the server, lets it go, and waits until it is at work. Without having
// been let go it ends by itself, also if this process is killed before.
func (s *spawned) begin(ctx context.Context, record func(int, string) error) error {
	defer s.ready.Close()
	pid := s.cmd.Process.Pid
	start, err := processStart(pid)
	if err == nil && start == "" {
		err = errors.New("it has ended at once")
	}
	if err == nil {
		err = record(pid, start)
	}
	if err == nil {
		_, err = s.gate.Write([]byte{1})
	}
	if err = errors.Join(err, s.gate.Close()); err != nil {
		<-s.ended
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = s.ready.SetReadDeadline(time.Unix(1, 0)) })()
	if n, err := s.ready.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("it did not begin its work: %w", err)
	}
	return nil
}
