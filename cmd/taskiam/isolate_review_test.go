package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestIsolatedReview: what a command leaves in its work tree, and may run later outside of the sandbox, is told at the
// end, as text that can pass for nothing else.
func TestIsolatedReview(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	s.write("work/.git/config", "[core]\n\tbare = false\n")
	s.write("work/package.json", `{"scripts": {"test": "jest"}}`)
	s.write("work/Makefile", "all:\n")
	s.write("other/x", "")
	const leave = `
touch main.go
mkdir -p .git/hooks .vscode && printf '#!/bin/sh\n' >.git/hooks/pre-commit
printf '[core]\n\tbare = false\n\tfsmonitor = ./x\n' >.git/config
printf '{"scripts": {"test": "jest", "postinstall": "./x"}}' >package.json
touch ".vscode/$(printf '\033[2Jx\ny')" "$1/.envrc"
ln -s "$2" CLAUDE.md
for i in $(seq 100 199); do touch $i.mk; done
exit 3`
	c := s.isolated("work", "--isolate", s.manifest("demo.toml", "metadata"), "sh", "-c", leave, "sh", s.path("other"), s.path("state"))
	c.args = slices.Insert(c.args, 3, "--quiet", "--rw", s.path("other"))
	o := s.run(c)
	if o.code != 3 {
		t.Fatalf("%d\n%s%s", o.code, o.stdout, o.stderr)
	}
	_, told, _ := strings.Cut(o.stderr, "look at it first\n")
	want := `taskiam:   git hook      new      .git/hooks/pre-commit
taskiam:   git settings  changed  .git/config            core.fsmonitor
taskiam:   editor        new      ".vscode/\x1b[2Jx\ny"
taskiam:   agent         new      CLAUDE.md
taskiam:   package       changed  package.json           scripts.postinstall
`
	if !strings.HasPrefix(told, want) || strings.Contains(o.stderr, "main.go") || strings.Contains(o.stderr, "Makefile") {
		t.Errorf("the work tree:\n%s", o.stderr)
	}
	if n := strings.Count(told, ".mk"); n != 12 || !strings.Contains(told, "and 88 more") {
		t.Errorf("a hundred files of one kind, of which %d are named:\n%s", n, told)
	}
	if _, told, _ = strings.Cut(told, "look at it first\n"); told != "taskiam:   shell  new  "+s.path("other", ".envrc")+"\n" {
		t.Errorf("what --rw names:\n%s", o.stderr)
	}

	// As it was left, nothing is new.
	must(t, os.Remove(s.path("work", "CLAUDE.md")))
	o = s.run(s.isolated("work", "--isolate", s.manifest("demo.toml", "metadata"), "touch", "main.go", "Makefile"))
	if o.code != 0 || strings.Contains(o.stderr, "look at it") {
		t.Errorf("nothing new: %d\n%s", o.code, o.stderr)
	}
}
