package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilledByOneEvent ends an up that is at work as other programs do. Each signals it more
// than once, and still it has to undo what it did.
func TestKilledByOneEvent(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	const up = "exec taskiam up tasks/demo.toml 2>"
	group := func(s syscall.Signal) func(*exec.Cmd, *person) {
		return func(cmd *exec.Cmd, _ *person) { _ = syscall.Kill(-cmd.Process.Pid, s) }
	}
	for _, tt := range []struct {
		name string
		args []string
		ends func(*exec.Cmd, *person)
	}{
		// It passes the signal to its command, and then to its group.
		{"timeout", []string{"timeout", "600", "sh", "-c", up + "timeout.said"}, func(cmd *exec.Cmd, _ *person) {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}},
		// The terminal signals the whole group, and each of these its command.
		{"npm", []string{"npm", "run", "--silent", "up"}, group(syscall.SIGINT)},
		{"make", []string{"make", "--silent", "up"}, group(syscall.SIGTERM)},
		// The system signals the group at the terminal, and the shell its jobs.
		{"bash", []string{"bash", "--norc", "--noprofile", "-i"}, func(_ *exec.Cmd, p *person) { p.leaves() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tt.args[0]); err != nil {
				t.Skipf("there is no %s", tt.args[0])
			}
			s := newStage(t, "--rtt", "100ms", "--lag", "grant=1h") // up waits for its access
			s.write("package.json", `{"private": true, "scripts": {"up": "`+up+`npm.said"}}`)
			s.write("Makefile", "up:\n\t@"+up+"make.said\n")
			before := s.ok("emulator", "snapshot")

			p := newPerson(t)
			cmd := p.starts(command{args: tt.args, dir: s.dir}, append(s.environ(), "PS1=$ ", "HISTFILE=", "npm_config_cache="+s.path("npm")))
			if tt.name == "bash" {
				p.types("taskiam up tasks/demo.toml 2>bash.said\n")
			}
			eventually(t, "the account", func() bool { return s.journalHas(`"account created"`) })
			tt.ends(cmd, p)
			said := s.path(tt.name + ".said")
			eventually(t, "the end of up", func() bool { return strings.Contains(s.read(said), "taskiam: error: ") })
			if text := s.read(said); !strings.Contains(text, "undoing what was done") || strings.Contains(text, "twice") {
				t.Errorf("it said\n%s", text)
			}
			_ = cmd.Wait() // whatever that makes of it
			if after := s.ok("emulator", "snapshot"); after != before {
				t.Error("something is left")
			}
		})
	}
}

// leaves closes the terminal.
func (p *person) leaves() {
	_ = p.keys.Close()
	_, _ = p.screen.WriteString("\n") // the reader of the keys holds them open until it has read
}

// journalHas reports whether a journal of the stage has the text.
func (s *stage) journalHas(text string) bool {
	s.t.Helper()
	paths, err := filepath.Glob(s.path("state", "taskiam", "runs", "*.jsonl"))
	must(s.t, err)
	for _, path := range paths {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline, tick := time.After(waitLimit), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not come", what)
		}
	}
}
