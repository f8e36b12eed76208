package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// TestRenewedWhileItRuns renews a run from outside while its command is at work: the
// process that has the run keeps its delivery good, and nobody else begins to.
func TestRenewedWhileItRuns(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.look()
	for _, kind := range []string{"token", "metadata"} {
		task := s.write(kind+".toml", endsTask+"[credentials]\ndeliver = \""+kind+"\"\n")
		cmd := exec.Command("taskiam", "run", "--quiet", task, "--", "sh", "-c", "echo >up-"+kind+"; read line")
		cmd.Dir, cmd.Env = s.dir, s.environ()
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		end, err := cmd.StdinPipe()
		must(t, err)
		must(t, cmd.Start())
		s.await("up-" + kind)

		var run struct {
			Run      string
			Renewals int
			Server   any
		}
		must(t, json.Unmarshal([]byte(s.ok("renew", "--quiet", "--json", "--ttl", "90m")), &run))
		if run.Renewals != 1 || run.Server != nil {
			t.Errorf("by %s: %d renewals, and another server was started: %v", kind, run.Renewals, run.Server)
		}
		args := []string{"serve", run.Run}
		if kind == "token" {
			args = []string{"serve", "--refresh", run.Run}
		}
		if o := s.taskiam(args...); o.code != 4 || !strings.Contains(o.stderr, "which serves it itself") {
			t.Errorf("by %s: serving it once more ended with %d\n%s", kind, o.code, o.stderr)
		}
		must(t, end.Close())
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 { // read's, at the end of its input
			t.Errorf("by %s: the run ended with %v\n%s", kind, err, stderr.Bytes())
		}
		s.asBefore(before)
	}
}
