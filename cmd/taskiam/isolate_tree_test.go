package main

import (
	"slices"
	"strings"
	"testing"
)

// treeManifest writes a manifest with a table [sandbox] in it.
func (s *stage) treeManifest(name, table string) string {
	s.t.Helper()
	s.write("asks/"+name, s.read(s.manifest("demo.toml", "metadata"))+"\n[sandbox]\n"+table+"\n")
	return s.path("asks", name)
}

// TestTreeRead: with tree = "read" a command can change nothing in the folder that it is started in, and a flag counts
// for more than the manifest.
func TestTreeRead(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	s.write("work/mine.txt", "mine")
	manifest := s.treeManifest("read.toml", `tree = "read"`)
	const try = `cat mine.txt; for f in mine.txt Makefile .; do chmod 700 $f 2>/dev/null && echo "changed $f"; done
echo x >mine.txt; echo x >Makefile; mkdir .git; rm mine.txt; mv mine.txt other.txt; exit 0`
	for _, tt := range []struct {
		flags   []string
		file    string
		written bool
	}{
		{nil, manifest, false},
		{[]string{"--tree", "read"}, s.manifest("demo.toml", "metadata"), false},
		{[]string{"--tree=direct"}, manifest, true},
	} {
		s.write("work/mine.txt", "mine")
		c := s.isolated("work", "--isolate", tt.file, "sh", "-c", try)
		c.args = slices.Insert(c.args, 3, tt.flags...)
		o := s.run(c)
		if o.code != 0 || !strings.HasPrefix(o.stdout, "mine") {
			t.Fatalf("%q: %d\n%s%s", tt.flags, o.code, o.stdout, o.stderr)
		}
		if written := strings.Contains(o.stderr, "build  new  Makefile"); written != tt.written {
			t.Errorf("%q: the tree was written to: %t\n%s", tt.flags, written, o.stderr)
		}
		if changed := strings.Contains(o.stdout, "changed"); changed != tt.written {
			t.Errorf("%q: modes were changed: %t\n%s", tt.flags, changed, o.stdout)
		}
	}
	o := s.taskiam("run", manifest, "--", "true")
	if o.code != 0 || !strings.Contains(o.stderr, "nothing of [sandbox] in the manifest holds") {
		t.Errorf("without a sandbox: %d\n%s", o.code, o.stderr)
	}
	if o := s.taskiam("run", "--tree=read", manifest, "--", "true"); o.code != 125 || !strings.Contains(o.stderr, "--tree is of use with --isolate only") {
		t.Errorf("--tree without a sandbox: %d\n%s", o.code, o.stderr)
	}
	if o := s.taskiam("run", "--isolate", "--tree=copy", manifest, "--", "true"); o.code != 125 || !strings.Contains(o.stderr, `"copy" is no kind of work tree`) {
		t.Errorf("a tree that is none: %d\n%s", o.code, o.stderr)
	}
}
