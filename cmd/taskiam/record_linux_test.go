package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// recordIsVerified: the journal of a run is believed only if its command could not read the key that seals it.
func recordIsVerified(t *testing.T) {
	t.Parallel()
	s := isolation(t)
	for how, want := range map[string]string{
		"--isolate": "record: verified",
		"":          "record: not verified: whoever uses the run can read the key that seals it",
	} {
		args := append([]string{"run"}, strings.Fields(how)...)
		args = append(args, s.path("tasks/demo.toml"), "--", "true")
		o := s.run(command{args: append([]string{"taskiam"}, args...), dir: s.folder("tree")})
		run := regexp.MustCompile(`run ([0-9a-v]{15}) is up`).FindStringSubmatch(o.stderr)
		if o.code != 0 || run == nil {
			t.Fatalf("%v ended with %d\n%s%s", args, o.code, o.stdout, o.stderr)
		}
		if out := s.ok("status", run[1]); !strings.Contains(out, want) {
			t.Errorf("%q: want %q:\n%s", how, want, out)
		}
		journal := s.journal(run[1])
		must(t, os.WriteFile(journal, []byte(s.read(journal)+forged), 0o600))
		if out := s.ok("status", run[1]); !strings.Contains(out, "record: not verified: it has records that are not sealed") {
			t.Errorf("%q, forged:\n%s", how, out)
		}
	}
}
