package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilledRunInAFile kills taskiam in the middle of a run whose credential is a file,
// which the command then still has, and so has whoever copied it. A token works on until
// it ends, and nobody renews it; a key, until the ttl. That is what docs/threats.md says.
// The rest down takes away, or sweep where the journal is gone.
func TestKilledRunInAFile(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	described := request{"GET", topicAPI, ""} // which takes no condition
	source := strings.Replace(endsTask, `"40m"`, `"2h"`, 1) +
		"[[grant]]\nrole = \"roles/pubsub.viewer\"\nresource = \"projects/acme-agents/topics/reports\"\nunbounded = \"accept\"\n[credentials]\ndeliver = "
	for _, kind := range []string{"token", "key"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			task := s.write("task.toml", source+`"`+kind+"\"\n")
			for _, sweep := range []bool{false, true} {
				s.setClock(0)
				before := s.look()
				run, group := s.killedRun(task)
				var copied signer
				var token string
				if kind == "key" {
					copied = s.signer(run)
					token = s.exchanged(copied)
				} else {
					token = s.token(run)
				}
				for _, r := range []request{readSecret, described} {
					s.allow(token, r)
				}
				mint := request{"POST", credentialsAPI + run.Account + ":generateAccessToken", anyScope}
				if kind == "token" {
					s.ok("emulator", "advance", "59m")
					s.allow(token, readSecret)
					s.refuses(refusal{"another token", token, mint, 403, "IAM_PERMISSION_DENIED"})
					s.past(time.Minute)
					s.refuses(
						refusal{"the token, past its life", token, readSecret, 401, "ACCESS_TOKEN_EXPIRED"},
						refusal{"the token, past its life, for what is unbounded", token, described, 401, "ACCESS_TOKEN_EXPIRED"},
						refusal{"another token, past the first one's life", token, mint, 401, "ACCESS_TOKEN_EXPIRED"},
					)
					if got := s.token(run); got != token {
						t.Error("somebody has renewed the token")
					}
				} else {
					s.ok("emulator", "advance", "119m")
					last := s.exchanged(copied) // the key makes tokens until then, with nobody's help
					s.allow(last, readSecret)
					s.allow(last, described)
					s.past(time.Minute)
					s.refuses(
						refusal{"what is time-boxed, past the ttl", last, readSecret, 403, "IAM_PERMISSION_DENIED"},
						refusal{"the key, past the ttl", "", copied.exchange(s.now()), 400, "invalid_grant"},
						refusal{"what the key signs itself, past the ttl", copied.jwt("https://pubsub.googleapis.com/", s.now()), described, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
					)
					s.allow(last, described)
					s.ok("emulator", "advance", "60m")
					s.refuses(refusal{"the last token, an hour past the ttl", last, described, 401, "ACCESS_TOKEN_EXPIRED"})
				}
				must(t, syscall.Kill(-group, syscall.SIGKILL))
				s.gone(func(p process) bool { return p.group == group })

				if sweep {
					must(t, os.RemoveAll(s.path("state", "taskiam", "runs")))
					must(t, os.RemoveAll(s.path("runtime", "taskiam")))
					s.ok("emulator", "advance", longAfter.String())
					s.ok("sweep", "--project", "acme-agents")
				} else {
					s.ok("down")
				}
				s.asBefore(before)
			}
		})
	}
}

// killedRun runs a task and kills taskiam while its command is at work. It returns the
// run and the process group that the command is still in.
func (s *stage) killedRun(task string) (run runDocument, group int) {
	s.t.Helper()
	must(s.t, os.RemoveAll(s.path("where")))
	cmd := exec.Command("taskiam", "run", "--quiet", task, "--", "sh", "-c",
		`echo "$TASKIAM_RUN $CLOUDSDK_CORE_ACCOUNT $TASKIAM_DELIVERY" >where.new && mv where.new where && exec sleep 600`)
	cmd.Dir, cmd.Env = s.dir, s.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(s.t, cmd.Start())
	s.await("where")
	must(s.t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	word := strings.Fields(s.read(s.path("where")))
	if len(word) != 3 {
		s.t.Fatalf("the command was told of %q", word)
	}
	group = cmd.Process.Pid
	if n := len(processes(func(p process) bool { return p.group == group })); n != 1 {
		s.t.Error("the command has ended, of which docs/threats.md says that it goes on")
	}
	return runDocument{Run: word[0], Account: word[1], Delivery: word[2]}, group
}
