package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// secretText is what a credential of Google's looks like, wherever it stands.
var secretText = regexp.MustCompile(`ya29\.[A-Za-z0-9_-]|PRIVATE KEY|eyJ[A-Za-z0-9_-]{8,}\.eyJ|1//0`)

// noSecret fails the test if there is a credential in a text.
func noSecret(t *testing.T, where, text string) {
	t.Helper()
	if at := secretText.FindStringIndex(text); at != nil {
		t.Errorf("%s has a secret: %q", where, text[max(at[0]-80, 0):at[1]])
	}
}

// TestDemo has the story told, to people and to machines. The process is its own
// cloud, and has no secret to show of it.
func TestDemo(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	dir := t.TempDir()
	s := &stage{t: t, dir: dir, vars: map[string]string{"PATH": os.Getenv("PATH"), "HOME": dir, "TMPDIR": dir, "GORACE": raceOptions}}
	out := s.ok("demo")
	if !strings.Contains(out, "Every line is true") || strings.Contains(out, "NOT TRUE") {
		t.Errorf("the story:\n%s", out)
	}
	if lines := strings.Count(out, "\n"); lines > 50 {
		t.Errorf("the story has %d lines, more than a tall screen", lines)
	}
	asTold := func(text string) string { // without what differs from one telling to the next
		text = regexp.MustCompile(`\d+(\.\d+)? ?m?s\b|\d+ bytes`).ReplaceAllString(constant(text), "N")
		return regexp.MustCompile(` +`).ReplaceAllString(text, " ")
	}
	for _, b := range blocksOf("README.md", fileOf(t, "README.md")) {
		if provedBy(b) == t.Name() {
			if diff := cmp.Diff(asTold(b.text), asTold(out)); diff != "" {
				t.Errorf("%s does not tell the story as it is (-README +story):\n%s", b, diff)
			}
		}
	}
	var doc struct {
		Schema   string
		True     bool
		Chapters []struct{ Lines []struct{ True bool } }
	}
	must(t, json.Unmarshal([]byte(s.ok("demo", "--json")), &doc))
	lines := 0
	for _, c := range doc.Chapters {
		for _, l := range c.Lines {
			if lines++; !l.True {
				t.Errorf("not true: %+v", l)
			}
		}
	}
	if doc.Schema != "taskiam.demo/v1" || !doc.True || lines < 15 {
		t.Errorf("the document: %+v", doc)
	}
	noSecret(t, "what was printed", s.said.String())
	if left := tree(t, dir); len(left) != 1 {
		t.Errorf("the demo has left %q", left)
	}
}

// TestNothingSecretIsSaid goes through a whole story, errors included, and looks for
// credentials in all that was printed and kept.
func TestNothingSecretIsSaid(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)
	for _, deliver := range []string{"key", "token", "metadata"} {
		manifest := s.manifest("demo.toml", deliver)
		s.ok("plan", manifest)
		s.ok("plan", "--json", manifest)
		run := s.up(manifest)
		s.ok("up", "--reuse", manifest)
		for _, args := range [][]string{
			{"status"}, {"status", "--json"}, {"env"}, {"env", "--format", "dotenv"}, {"env", "--format", "json"},
		} {
			s.ok(args...)
		}
		s.kept()
		// A delivery that somebody has spoiled is an error that could repeat what it read.
		s.write("spoiled", s.token(run))
		s.taskiam("plan", s.path("spoiled"))
		s.write("seed.toml", "token = \""+s.token(run)+"\"\nunknown = ")
		s.taskiam("up", s.path("seed.toml"))
		must(t, os.Remove(s.path("spoiled")))
		must(t, os.Remove(s.path("seed.toml")))
		s.ok("down", "--json")
		s.ok("run", manifest, "--", "true")
		s.ok("status", "--all")
		s.kept()
	}
	noSecret(t, "what was printed", s.said.String())
	noSecret(t, "the emulator's request log", s.read(s.path("requests.jsonl")))
	noSecret(t, "what the emulator printed", s.read(s.path("emulator.log")))
}

// kept looks through the state folder, save for the emulator's own login and CA.
func (s *stage) kept() {
	s.t.Helper()
	seen := 0
	must(s.t, filepath.WalkDir(s.vars["XDG_STATE_HOME"], func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Base(filepath.Dir(path)) == "emulator" {
			return err
		}
		seen++
		noSecret(s.t, path, s.read(path))
		return nil
	}))
	if seen == 0 {
		s.t.Error("the state folder has nothing to look through")
	}
}

// TestStartsAnywhere: what asks nothing of the world needs nothing of it, no home and
// no variable. (GORACE is the race detector's.)
func TestStartsAnywhere(t *testing.T) {
	t.Parallel()
	s := &stage{t: t, dir: t.TempDir(), vars: map[string]string{"GORACE": raceOptions}}
	for _, args := range [][]string{
		{"version"}, {"version", "--json"}, {"--help"}, {"help", "run"}, {"up", "--help"}, {"emulator", "--help"}, {"completion", "bash"},
	} {
		if o := s.taskiam(args...); o.code != 0 || o.stdout == "" || o.stderr != "" {
			t.Errorf("taskiam %q ended with %d\n%s%s", args, o.code, o.stdout, o.stderr)
		}
	}
	if left := tree(t, s.dir); len(left) != 1 {
		t.Errorf("they have left %q", left)
	}
}
