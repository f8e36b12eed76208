package main

import (
	"strings"
	"testing"
)

// TestProgressLine waits for access at a terminal: one line says so and counts, Ctrl-C takes it away, and what comes
// after stands in lines of its own. Where there is no terminal, and with --json, no control character is sent.
func TestProgressLine(t *testing.T) {
	t.Parallel()
	s := newStage(t, "--lag", "grant=1h")
	s.vars["TERM"] = "xterm"
	p := newPerson(t)
	p.size(24, 80)
	cmd := p.starts(command{args: []string{"taskiam", "up", "tasks/demo.toml"}, dir: s.dir}, s.environ())
	p.sees("\rwaiting for access to take effect")
	line := p.sees("\x1b[K")
	if !strings.Contains(line, "s, usually 2m, at most 9m5") || strings.ContainsAny(line, "\n\r") {
		t.Errorf("the line goes on with %q", line)
	}
	p.size(24, 50)
	p.sees("\rwaiting for access") // and again a second later
	p.types("\x03")
	said := p.sees("interrupt: undoing what was done")
	if !strings.HasSuffix(said, "\r\x1b[Ktaskiam: ") && !strings.HasSuffix(said, "A\x1b[Jtaskiam: ") {
		t.Errorf("before the message comes %q", said)
	}
	_ = cmd.Wait() // the code says that it failed
	_, err := p.screen.WriteString("the end\n")
	must(t, err)
	rest := p.sees("the end")
	at := strings.LastIndex(rest, "\x1b[")
	if !strings.HasSuffix(rest, "\n") || at >= 0 && strings.Contains(rest[at:], "waiting for") {
		t.Errorf("at the end there is %q", rest)
	}

	for _, args := range [][]string{{"up", "tasks/demo.toml"}, {"up", "--json", "tasks/demo.toml"}} {
		c := command{args: append(append([]string{"taskiam"}, args...), "--ready-timeout", "3s"), dir: s.dir}
		if len(args) == 2 { // all of it is in a file
			o := s.run(c)
			if o.code != 6 || strings.ContainsAny(o.stdout+o.stderr, "\r\x1b") || !strings.Contains(o.stderr, "usually 2m, at most ") {
				t.Errorf("in a file: %d\n%q\n%q", o.code, o.stdout, o.stderr)
			}
			continue
		}
		p := newPerson(t)
		cmd := p.starts(c, s.environ())
		said := p.sees("taskiam: error: ")
		_ = cmd.Wait()
		if strings.Contains(said, "\x1b") || !strings.Contains(said, "waiting for access to take effect (usually") {
			t.Errorf("at a terminal with --json it says\n%q", said)
		}
	}
}
