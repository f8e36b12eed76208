package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// person sits at a terminal.
type person struct {
	t      *testing.T
	keys   *os.File // the terminal, as the person has it
	screen *os.File // as programs have it

	mu   sync.Mutex
	seen bytes.Buffer
}

func newPerson(t *testing.T) *person {
	t.Helper()
	keys, screen, err := pty.Open()
	must(t, err)
	p := &person{t: t, keys: keys, screen: screen}
	p.size(40, 100)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := keys.Read(b)
			p.mu.Lock()
			p.seen.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _, _ = keys.Close(), screen.Close() })
	return p
}

func (p *person) size(rows, columns uint16) {
	p.t.Helper()
	must(p.t, pty.Setsize(p.keys, &pty.Winsize{Rows: rows, Cols: columns}))
}

func (p *person) settings() unix.Termios {
	p.t.Helper()
	settings, err := unix.IoctlGetTermios(int(p.screen.Fd()), unix.TCGETS)
	must(p.t, err)
	return *settings
}

func (p *person) types(text string) {
	p.t.Helper()
	_, err := p.keys.WriteString(text)
	must(p.t, err)
}

// sees waits until the screen has shown the text, and forgets what was before the end of it.
func (p *person) sees(text string) string {
	p.t.Helper()
	deadline, tick := time.After(waitLimit), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		before, after, found := strings.Cut(p.seen.String(), text)
		if found {
			p.seen.Reset()
			p.seen.WriteString(after)
		}
		p.mu.Unlock()
		if found {
			return before
		}
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("the screen does not show %q, but\n%s", text, before)
		}
	}
}

// starts starts a program in a session of its own, at the terminal.
func (p *person) starts(c command, environ []string) *exec.Cmd {
	p.t.Helper()
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env = c.dir, environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.screen, p.screen, p.screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(p.t, cmd.Start())
	p.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func TestIsolatedTerminal(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	key := s.manifest("demo.toml", "key")
	const loop = "echo up; while :; do sleep 0.05; done"
	for _, tt := range []struct {
		name, cmd string
		use       func(*person)
		want      int
	}{
		{"is the sandbox's own", `tty; stty size; stty -isig -echo; : </dev/tty && echo up
read line; while [ "$(stty size)" = "40 100" ]; do sleep 0.05; done; echo "line=$line"; stty size; exit 7`, func(p *person) {
			if said := p.sees("up"); !strings.Contains(said, "/dev/pts/0\r\n40 100\r\n") {
				p.t.Errorf("it has the terminal %q", said)
			}
			p.size(25, 80)
			p.types("hello\n")
			p.sees("line=hello\r\n25 80\r\n")
		}, 7},
		{"takes Ctrl-C", `trap "exit 3" INT; ` + loop, func(p *person) { p.sees("up"); p.types("\x03") }, 3},
		{"takes Ctrl-backslash", `trap "exit 4" QUIT; ` + loop, func(p *person) { p.sees("up"); p.types("\x1c") }, 4},
		{"can be left", `stty raw; trap "" INT; ` + loop, func(p *person) {
			p.sees("up")
			p.types("\x03")
			p.types("\x1d\x1d\x1d")
		}, 143},
		{"can be left while the person's terminal types too", `stty raw; trap "" INT; ` + loop, func(p *person) {
			p.sees("up")
			const answer = "\x1b[?62;22c" // to what the command prints
			go func() {
				// If nobody reads all of it, the screen tells.
				_, _ = p.keys.WriteString(strings.Repeat(answer, 20_000) + "\x1d" + answer + "\x1d" + answer + "\x1d")
			}()
		}, 143},
		{"prints what it likes, but does not hide what comes after it", "printf 'up\\033]52;c;aGk=\\007\\033_hidden'; exit 8", func(p *person) {
			p.sees("up\x1b]52;c;aGk=\a\x1b_hidden")
			p.sees("\x18\x1b\\")
		}, 8},
	} {
		for _, how := range []place{isolated, networkno} {
			p := newPerson(t)
			before := p.settings()
			cmd := p.starts(s.isolated("tree", string(how), key, "sh", "-c", tt.cmd), s.environ())
			p.sees("to end the command")
			tt.use(p)
			p.sees("nothing is left")
			_ = cmd.Wait() // the code says it
			if got := cmd.ProcessState.ExitCode(); got != tt.want {
				t.Errorf("%s, %s: %d, want %d", how, tt.name, got, tt.want)
			}
			if diff := cmp.Diff(before, p.settings()); diff != "" {
				t.Errorf("%s, %s: the person's terminal is not as before:\n%s", how, tt.name, diff)
			}
		}
	}
}

// TestIsolatedTerminalAsAUser is the same for an operator who is not root.
func TestIsolatedTerminalAsAUser(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	isolation(t)
	asAUser(t, "TestIsolatedTerminal", "TestIsolatedJobControl", "TestIsolatedStreams")
}

// TestIsolatedShell is run without CMD, in a sandbox and without one, with each shell that is here.
func TestIsolatedShell(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	for _, tt := range []struct {
		shell, prompt string
		flags         []string
	}{
		{"bash", "(taskiam nightly-report) ", []string{"--isolate"}},
		{"bash", "(taskiam nightly-report) ", nil},
		{"sh", "(taskiam nightly-report) $ ", []string{"--isolate"}},
		{"fish", "(taskiam nightly-report) ", nil},
		{"zsh", "(taskiam nightly-report)", nil},
	} {
		shell, err := exec.LookPath(tt.shell)
		if err != nil {
			t.Logf("%s is not installed: a run in it was not tried", tt.shell)
			continue
		}
		s.write("person/.zshrc", "PS1='mine '\n") // without one, zsh asks what to do
		s.write("person/.bashrc", "PS1='mine '\n")
		// Without that folder, fish fills it from the manual, in the background, also after its end.
		s.write("person/.local/share/fish/generated_completions/none", "")
		c := command{dir: s.folder("tree")}
		c.args = slices.Concat([]string{"taskiam", "run"}, tt.flags, []string{s.manifest("demo.toml", "key")})
		p := newPerson(t)
		cmd := p.starts(c, append(s.environ(), "SHELL="+shell, "TERM=xterm", "HOME="+s.path("person")))
		p.sees(tt.prompt)
		p.types("test -n \"$TASKIAM_RUN\" && exit 7\n")
		p.sees("nothing is left")
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 7 {
			t.Errorf("%v %s: %d, want 7", tt.flags, tt.shell, got)
		}
	}
}

// TestIsolatedJobControl lets the person stop a command with Ctrl-Z, and go on.
func TestIsolatedJobControl(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	c := s.isolated("tree", "--isolate", s.manifest("demo.toml", "key"), "sh", "-c", "echo up; read line; echo line=$line; exit 5")
	p := newPerson(t)
	shell := p.starts(command{args: []string{bash, "--norc", "--noprofile", "-i"}, dir: c.dir}, append(s.environ(), "PS1=$ ", "HISTFILE="))
	for i := range c.args {
		c.args[i] = "'" + c.args[i] + "'"
	}
	p.types(strings.Join(c.args, " ") + "\n")
	p.sees("up\r\n")
	p.types("\x1a")
	p.sees("Stopped")
	p.types("stty -a | tr ' ' '\\n' | grep -c '^-icanon'; echo asked\n")
	if said := p.sees("\nasked"); !strings.HasSuffix(said, "0\r") {
		t.Errorf("the person's terminal is raw while the command is stopped: %q", said)
	}
	p.types("fg\n")
	p.types("hello\n")
	p.sees("line=hello\r\n")
	p.sees("nothing is left")
	p.types("echo code=$?\n")
	p.sees("code=5\r\n")
	p.types("exit\n")
	must(t, shell.Wait())
}

// TestIsolatedStreams tries what a command can do with the files that its streams come from
// and go to.
func TestIsolatedStreams(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	const before = "what was there before\n"
	for _, tt := range []struct{ name, cmd, stdout, stderr string }{
		{"as they are used", "cat; echo out; echo err >&2", before + "inout\n", before + "err\n"},
		{"opened anew to be read", `read=iflag=nonblock
dd if=/proc/$$/fd/2 $read status=none 2>/dev/null; dd if=/proc/$$/fd/1 $read status=none >&2 2>/dev/null; exit 0`, before, before},
		{"opened anew to be emptied", ": >/proc/self/fd/0; : >/proc/self/fd/1; : >/proc/self/fd/2; exit 0", before, before},
		{"truncated", "truncate -s 0 /proc/self/fd/1 /proc/self/fd/2 2>/dev/null; exit 0", before, before},
		{"into one file", "for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done", before + "out1\nerr1\nout2\nerr2\nout3\nerr3\nout4\nerr4\nout5\nerr5\n", ""},
	} {
		in, out, errs := s.write("in", "in"), s.write("out", before), s.write("err", before)
		c := s.isolated("tree", "--isolate", s.manifest("demo.toml", "key"), "sh", "-c", tt.cmd)
		c.args = append([]string{c.args[0], c.args[1], "--quiet"}, c.args[2:]...)
		cmd := exec.Command(c.args[0], c.args[1:]...)
		cmd.Dir, cmd.Env = c.dir, s.environ()
		open := func(path string, how int) *os.File {
			f, err := os.OpenFile(path, how, 0)
			must(t, err)
			t.Cleanup(func() { _ = f.Close() })
			return f
		}
		cmd.Stdin, cmd.Stdout = open(in, os.O_RDWR), open(out, os.O_RDWR|os.O_APPEND)
		cmd.Stderr = cmd.Stdout
		if tt.stderr != "" {
			cmd.Stderr = open(errs, os.O_RDWR|os.O_APPEND)
		}
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", tt.name, err, s.read(errs))
		}
		if got := s.read(out); got != tt.stdout {
			t.Errorf("%s: the output is %q, want %q", tt.name, got, tt.stdout)
		}
		if got := s.read(errs); tt.stderr != "" && !strings.HasPrefix(got, tt.stderr) {
			t.Errorf("%s: the errors are %q, want %q", tt.name, got, tt.stderr)
		}
		if got := s.read(in); got != "in" {
			t.Errorf("%s: the input is %q now", tt.name, got)
		}
	}

	// Somebody who reads no more is no fault of the command's.
	c := s.isolated("tree", "--isolate", s.manifest("demo.toml", "key"), "sh", "-c", "trap '' PIPE; yes 2>/dev/null | head -100000; exit 0")
	c.args = append([]string{"sh", "-c", `"$@" | head -1; exit ${PIPESTATUS:-0}`, "sh"}, c.args...)
	if o := s.run(c); o.code != 0 || o.stdout != "y\n" || !strings.Contains(o.stderr, "nothing is left") {
		t.Errorf("before a reader that has enough: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	// What is not read here is there for others only if it was not taken from them.
	c = s.isolated("tree", "--isolate", s.manifest("demo.toml", "key"), "sh", "-c", "readlink /proc/self/fd/0")
	c.args = append([]string{"sh", "-c", `"$@" </dev/null`, "sh"}, c.args...)
	if o := s.run(c); o.stdout != "/dev/null\n" {
		t.Errorf("nothing as input is %q", fmt.Sprint(o))
	}
}
