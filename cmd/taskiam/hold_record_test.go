package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// forged are the records by which somebody ends a run in its journal alone.
const forged = `{"v":1,"at":"2030-01-01T00:00:00Z","kind":"down began","record":{}}
{"v":1,"at":"2030-01-01T00:00:01Z","kind":"closed","record":{"checks":[{"what":"check account is gone","ok":true,"found":""}]}}
`

// runBelievesNoJournal: whatever the command of a run does to the run's journal, the run is taken down, and what
// run says of that is true.
func runBelievesNoJournal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.snapshot()
	runs := s.path("state", "taskiam", "runs")
	s.write("forged", forged)
	for _, tt := range []struct {
		name, script string
		code         int
		says         string
	}{
		{"forged", `for f in "$0"/*.jsonl; do cat forged >> $f; done`, 0, "says that it is down, but its account"},
		{"removed", `rm -f "$0"/*`, 125, "has no journal"},
		{"emptied", `for f in "$0"/*.jsonl; do : > $f; done`, 125, "has no record"},
		{"garbage", `for f in "$0"/*.jsonl; do echo garbage > $f; done`, 125, "line 1"},
		{"another's", `for f in "$0"/*.jsonl; do sed -i 's/"task":"nightly-report"/"task":"other"/' $f; done`, 125, "it was changed"},
		{"huge", `for f in "$0"/*.jsonl; do truncate -s 100M $f; done`, 125, "more than 64 MiB"},
		{"a pipe", `for f in "$0"/*.jsonl; do rm $f && mkfifo $f; done`, 125, "not a regular file"},
		{"moved", `mv "$0" "$0".away`, 125, "has no journal"},
		{"a link", `mv "$0" "$0".away2 && mkdir elsewhere && ln -s "$PWD/elsewhere" "$0"`, 125, "journal"},
	} {
		o := s.run(command{
			args: []string{"taskiam", "run", s.path("tasks/demo.toml"), "--", "sh", "-ec",
				`` + tt.script, runs},
			dir: s.dir,
		})
		if o.code != tt.code || !strings.Contains(o.stderr, tt.says) || !strings.Contains(o.stderr, "checked: nothing is left") ||
			tt.code != 0 && !strings.Contains(o.stderr, "but its journal does not say so") {
			t.Errorf("%s: run ended with %d, want %d and %q\n%s%s", tt.name, o.code, tt.code, tt.says, o.stdout, o.stderr)
		}
		s.sameCloud(before)
		must(t, os.RemoveAll(runs))
	}
}

// downAsksTheCloud: that a run is down by its journal is not believed, neither by down nor by down --all.
func downAsksTheCloud(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.snapshot()
	for _, all := range []bool{false, true} {
		run := s.up("tasks/demo.toml")
		journal := s.journal(run.Run)
		must(t, os.WriteFile(journal, []byte(s.read(journal)+forged), 0o600))
		if out := s.ok("status", run.Run); !strings.Contains(out, "record: not verified: it has records that are not sealed") {
			t.Errorf("status of a forged journal:\n%s", out)
		}
		args := []string{"down", run.Run}
		if all {
			args = []string{"down", "--all"}
		}
		o := s.taskiam(args...)
		if o.code != 0 || !strings.Contains(o.stderr, "says that it is down, but its account") ||
			!strings.Contains(o.stdout, "checked: nothing is left") {
			t.Errorf("%v ended with %d\n%s%s", args, o.code, o.stdout, o.stderr)
		}
		s.sameCloud(before)
		if out := s.ok("down", run.Run); !strings.Contains(out, "is already down") {
			t.Errorf("down once more:\n%s", out)
		}
		// Without a login, nothing is said of it.
		again := s.run(command{args: []string{"taskiam", "down", run.Run}, vars: with(s.vars, map[string]string{
			"TASKIAM_EMULATOR_TOKEN_FILE": s.path("nothing"),
		})})
		if again.code == 0 || strings.Contains(again.stdout, "already down") {
			t.Errorf("down without a login ended with %d\n%s%s", again.code, again.stdout, again.stderr)
		}
	}
}

// givenUp is the record by which somebody makes a journal say that a person gave its run up.
const givenUp = `{"v":1,"at":"2030-01-01T00:00:00Z","kind":"down began","record":{}}
{"v":1,"at":"2030-01-01T00:00:01Z","kind":"forgotten","record":{"left":[]}}
`

// journalsAreReplaced: a journal is replaced by one that taskiam has written itself, or whose end somebody has.
func journalsAreReplaced(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.snapshot()

	// From before a renewal, which has bound the account anew. Its seals are good.
	run := s.up("tasks/demo.toml")
	older := s.read(s.journal(run.Run))
	s.ok("renew", run.Run, "--ttl", "3h")
	must(t, os.WriteFile(s.journal(run.Run), []byte(older), 0o600))
	if out := s.ok("down", run.Run); !strings.Contains(out, "checked: nothing is left") {
		t.Errorf("down by the journal from before a renewal:\n%s", out)
	}
	s.sameCloud(before)

	// Another run's.
	run, other := s.up("tasks/demo.toml"), s.up("tasks/demo.toml")
	own := s.read(s.journal(run.Run))
	must(t, os.WriteFile(s.journal(run.Run), []byte(s.read(s.journal(other.Run))), 0o600))
	if o := s.taskiam("down", run.Run); o.code == 0 || strings.Contains(o.stdout, "nothing is left") {
		t.Errorf("down by another run's journal ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	must(t, os.WriteFile(s.journal(run.Run), []byte(own), 0o600))
	s.ok("down", other.Run)

	// One that says of itself that the run was given up.
	must(t, os.WriteFile(s.journal(run.Run), []byte(own+givenUp), 0o600))
	if out := s.ok("status", run.Run); !strings.Contains(out, "record: not verified: it has records that are not sealed") {
		t.Errorf("status of a run that somebody else gave up:\n%s", out)
	}
	if out := s.ok("down", "--all"); !strings.Contains(out, "checked: nothing is left") {
		t.Errorf("down --all:\n%s", out)
	}
	s.sameCloud(before)
}

// indexIsForged: whoever can remove a journal can also have it passed over. What names the run takes it down all the
// same, and so does what goes by the cloud, or by what it knows itself.
func indexIsForged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.snapshot()
	run := s.up("tasks/demo.toml")
	s.forgeIndex(run.Run)
	if o := s.taskiam("down", "--all"); !strings.Contains(o.stderr, "no run is up") {
		t.Errorf("docs/threats.md says that this is not stopped: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if out := s.ok("down", run.Run); !strings.Contains(out, "checked: nothing is left") {
		t.Errorf("down of a run that the index says is down:\n%s", out)
	}
	s.sameCloud(before)

	cmd := exec.Command("taskiam", "run", s.path("tasks", "demo.toml"), "--", "sh", "-c", `echo "$TASKIAM_RUN" >run.txt; while [ ! -e end ]; do sleep 0.05; done`)
	var said bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = s.folder("work"), s.environ(), &said
	must(t, cmd.Start())
	s.await("work/run.txt")
	s.forgeIndex(strings.TrimSpace(s.read(s.path("work", "run.txt"))))
	s.write("work/end", "")
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), "checked: nothing is left") {
		t.Errorf("run, which the index says is down: %v\n%s", err, said.String())
	}
	s.sameCloud(before)

	run = s.up("tasks/demo.toml")
	s.ok("emulator", "advance", longAfter.String())
	s.forgeIndex(run.Run)
	s.ok("sweep", "--project", "acme-agents")
	s.sameCloud(before)
}

// forgeIndex has the index of journals say that a run was down long ago.
func (s *stage) forgeIndex(run string) {
	s.t.Helper()
	var st unix.Stat_t
	must(s.t, unix.Lstat(s.journal(run), &st))
	stamp := ""
	for _, n := range []int64{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim.Nano(), st.Ctim.Nano()} {
		stamp += strconv.FormatInt(n, 36) + "."
	}
	s.write("state/taskiam/index", fmt.Sprintf(
		`{"v":1,"stamp":%q,"run":%q,"task":"demo","project":"acme-agents","state":"down","expires":"2001-01-01T00:00:00Z"}`+"\n",
		stamp, run))
}
