package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// order is what the test has [clientAgent] do, and reply what came of it. Both are lines of JSON.
type order struct {
	ID int
	// Op is "start", "ask" or "close" a client, or "keep": copy the delivery, and use the copy from then on.
	Op   string
	Name string // of the client
	// Script is for sh, with what is asked for as its argument, and Args is a program that answers lines; with Vars
	// and without Unset in its environment.
	Script string
	Args   []string
	Vars   map[string]string
	Unset  []string
	What   string
	Within time.Duration
}

type reply struct {
	ID   int
	Said string
	OK   bool
}

// clientAgent is clientagent, the command of a sandbox: it runs clients there for the test outside. All of them have its
// environment.
func clientAgent() {
	a := agent{vars: variables(strings.Join(os.Environ(), "\x00")), askers: map[string]asker{}}
	if err := a.trust(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	var writing sync.Mutex
	var all sync.WaitGroup
	for in := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := in.Decode(&o); err != nil {
			break // the test has ended, or is to
		}
		all.Go(func() {
			said, ok := a.carryOut(o)
			writing.Lock()
			defer writing.Unlock()
			_ = out.Encode(reply{o.ID, said, ok})
		})
	}
	all.Wait()
}

type agent struct {
	mu     sync.Mutex
	vars   map[string]string
	askers map[string]asker
}

func (a *agent) carryOut(o order) (said string, ok bool) {
	switch o.Op {
	case "keep":
		if err := a.keep(); err != nil {
			return err.Error(), false
		}
		return "", true
	case "start":
		if err := a.start(o); err != nil {
			return err.Error(), false
		}
		return "", true
	}
	a.mu.Lock()
	client := a.askers[o.Name]
	a.mu.Unlock()
	if o.Op == "close" {
		if err := client.close(); err != nil {
			return err.Error(), false
		}
		return "", true
	}
	return client.ask(context.Background(), o.What, o.Within)
}

// environment returns what clients are given now.
func (a *agent) environment(o order) map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	vars := maps.Clone(a.vars)
	maps.Copy(vars, o.Vars)
	for _, name := range o.Unset {
		delete(vars, name)
	}
	return vars
}

func (a *agent) start(o order) (err error) {
	var client asker = tool{o.Script, func() map[string]string { return a.environment(o) }}
	if o.Script == "" {
		client, err = newSession(a.environment(o), o.Args...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.askers[o.Name] = client
	return err
}

// trust has all clients trust a copy of the emulator's CA: some read it again after down, and none is to fail for that.
func (a *agent) trust() error {
	ca := filepath.Join(a.vars["TASKIAM_DELIVERY"], "ca.pem")
	b, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	own, err := filepath.Abs("ca.pem")
	if err != nil {
		return err
	}
	for name, value := range a.vars {
		if value == ca {
			a.vars[name] = own
		}
	}
	return os.WriteFile(own, b, 0o600)
}

// keep copies the delivery: a sandbox can keep all that it was given.
func (a *agent) keep() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delivery := a.vars["TASKIAM_DELIVERY"]
	kept, err := filepath.Abs("kept")
	if err == nil {
		err = os.Mkdir(kept, 0o700)
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(delivery)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeSocket != 0 {
			continue
		}
		if out, err := exec.Command("cp", "-a", filepath.Join(delivery, e.Name()), kept).CombinedOutput(); err != nil {
			return fmt.Errorf("keeping the delivery: %w: %s", err, out)
		}
	}
	for name, value := range a.vars {
		a.vars[name] = strings.ReplaceAll(value, delivery, kept)
	}
	return nil
}

// variables reads what env -0 prints.
func variables(text string) map[string]string {
	vars := map[string]string{}
	for v := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\x00") {
		if name, value, some := strings.Cut(v, "="); some {
			vars[name] = value
		}
	}
	return vars
}

// asker is a client at work in a sandbox.
type asker interface {
	// ask has it ask for something, and returns what it said, and whether it got that. If
	// it is at it for longer than it may, it is ended, and that is what it said.
	ask(ctx context.Context, what string, within time.Duration) (said string, ok bool)
	close() error
}

// tool is a client that is a process for each call: its command is a script for sh, and
// what is asked for its argument.
type tool struct {
	script string
	vars   func() map[string]string
}

func (c tool) ask(ctx context.Context, what string, within time.Duration) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", c.script, "sh", what)
	cmd.Env, cmd.WaitDelay = environ(c.vars()), time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return string(out) + stillTrying, false
	}
	return string(out), err == nil
}

func (tool) close() error { return nil }

// session is a client that is one process for all calls, and so keeps its token: it
// reads what is asked for in lines, and answers each with one.
type session struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *bytes.Buffer
	killed bool
}

func newSession(vars map[string]string, args ...string) (*session, error) {
	s := &session{cmd: exec.Command(args[0], args[1:]...), stderr: &bytes.Buffer{}}
	s.cmd.Env, s.cmd.Stderr = environ(vars), s.stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	return s, s.cmd.Start()
}

func (s *session) ask(_ context.Context, what string, within time.Duration) (string, bool) {
	stuck := time.AfterFunc(within, func() { _ = s.cmd.Process.Kill() })
	_, err := io.WriteString(s.in, what+"\n")
	line, reading := s.out.ReadString('\n')
	if !stuck.Stop() {
		s.killed = true
		return stillTrying, false
	}
	if err = errors.Join(err, reading); err != nil {
		return fmt.Sprintf("%v\n%s%s", err, line, s.stderr), false
	}
	return line, strings.HasPrefix(line, "ok ")
}

func (s *session) close() error {
	if err := errors.Join(s.in.Close(), s.cmd.Wait()); err != nil && !s.killed {
		return fmt.Errorf("%w\n%s", err, s.stderr)
	}
	return nil
}

// agentLine is the test's end of an agent.
type agentLine struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	stderr  bytes.Buffer
	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
	ended   chan struct{}
}

// startAgent starts a command that becomes an agent.
func startAgent(cmd *exec.Cmd) (*agentLine, error) {
	l := &agentLine{cmd: cmd, waiting: map[int]chan reply{}, ended: make(chan struct{})}
	cmd.Stderr = &l.stderr
	var err error
	if l.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(l.ended)
		for in := json.NewDecoder(out); ; {
			var r reply
			if in.Decode(&r) != nil {
				return
			}
			l.mu.Lock()
			l.waiting[r.ID] <- r
			delete(l.waiting, r.ID)
			l.mu.Unlock()
		}
	}()
	return l, nil
}

// do has the agent carry out an order.
func (l *agentLine) do(o order) (said string, ok bool) {
	answer := make(chan reply, 1)
	l.mu.Lock()
	l.last++
	o.ID = l.last
	l.waiting[o.ID] = answer
	b, err := json.Marshal(o)
	if err == nil {
		_, err = l.in.Write(append(b, '\n'))
	}
	l.mu.Unlock()
	if err != nil {
		return err.Error(), false
	}
	select {
	case r := <-answer:
		return r.Said, r.OK
	case <-l.ended:
		return "the agent has ended", false
	}
}

// end ends the agent, and returns how its command ended.
func (l *agentLine) end() error {
	err := l.in.Close()
	<-l.ended
	if err := errors.Join(err, l.cmd.Wait()); err != nil {
		return fmt.Errorf("%w\n%s", err, l.stderr.Bytes())
	}
	return nil
}
