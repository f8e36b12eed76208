package main

import (
	"os"
	"strings"
	"testing"
)

// unmade is a sandbox that taskiam does not make, because of what the command could reach in it.
type unmade struct {
	what string
	// prepare lays it out in the work tree, and returns flags and variables for run.
	prepare func(s *stage, tree string) (flags []string, vars map[string]string)
	want    string // what the error says
	as      string // the program, if it is not the taskiam of PATH
}

// makesNone tries every sandbox of the table that is to be refused, before there is a run.
func (s *stage) makesNone() {
	s.t.Helper()
	manifest := s.manifest("demo.toml", "key")
	for _, row := range attacks {
		for _, r := range row.refused {
			s.t.Run(strings.ReplaceAll(row.name+" "+r.what, " ", "-"), func(t *testing.T) {
				stage := *s
				stage.t = t
				tree := stage.folder("refused", strings.ReplaceAll(row.name, " ", "-"), strings.ReplaceAll(r.what, " ", "-"))
				flags, vars := r.prepare(&stage, tree)
				program := "taskiam"
				if r.as != "" {
					program = r.as
				}
				args := append(append([]string{program, "run", "--isolate"}, flags...), manifest, "--", "true")
				o := stage.run(command{args: args, dir: tree, vars: with(s.vars, vars)})
				if o.code != 125 || !strings.Contains(o.stderr, r.want) || strings.Contains(o.stderr, " is up ") {
					t.Errorf("it ended with %d, want %q\n%s", o.code, r.want, o.stderr)
				}
			})
		}
	}
}

// variable is a preparation that sets a variable to a path in the work tree.
func variable(name, at string) func(*stage, string) ([]string, map[string]string) {
	return func(_ *stage, tree string) ([]string, map[string]string) {
		return nil, map[string]string{name: tree + at}
	}
}

// before is a preparation that puts a folder first in PATH. Links are made first: from, to.
func before(dir string, links ...string) func(*stage, string) ([]string, map[string]string) {
	return func(s *stage, tree string) ([]string, map[string]string) {
		at := strings.NewReplacer("TREE", tree, "OUTSIDE", s.folder("outside"))
		for i := 0; i+1 < len(links); i += 2 {
			must(s.t, os.Symlink(at.Replace(links[i]), at.Replace(links[i+1])))
		}
		return nil, map[string]string{"PATH": at.Replace(dir) + ":" + s.vars["PATH"]}
	}
}

// relied are attacks on what taskiam runs and believes, which is not to be writable.
var relied = []attackRow{
	{name: "put a program where you or taskiam would run it", refused: []unmade{
		{what: "first in PATH", prepare: before("TREE/bin"), want: "run that as bwrap"},
		{what: "in the folder itself", prepare: before(""), want: "run that as bwrap"},
		{what: "in a folder that a link leads to", prepare: before("OUTSIDE/bin", "TREE", "OUTSIDE/bin"), want: "run that as bwrap"},
		{what: "by a link to a program", prepare: before("OUTSIDE", "TREE/bwrap", "OUTSIDE/bwrap"), want: "run that as bwrap"},
		{what: "by a link in it", prepare: before("TREE/link", "/usr/bin", "TREE/link"), want: "run that as bwrap"},
		{what: "in its place", want: "taskiam itself", as: "./taskiam", prepare: func(s *stage, tree string) ([]string, map[string]string) {
			programs(s.t, tree, "taskiam")
			return nil, nil
		}},
		{what: "in a folder beside", want: "you or taskiam would run that as ", prepare: func(s *stage, _ string) ([]string, map[string]string) {
			dir := s.folder("tools")
			must(s.t, os.WriteFile(dir+"/gcloud", []byte("#!/bin/sh\n"), 0o700))
			return []string{"--rw", dir}, map[string]string{"PATH": dir + ":" + s.vars["PATH"]}
		}},
	}},
	{name: "make a role look harmless", refused: []unmade{
		{what: "in the work tree", prepare: variable("XDG_CACHE_HOME", "/cache"), want: "what taskiam keeps of roles"},
		{what: "by writing there", want: "what taskiam keeps of roles", prepare: func(s *stage, _ string) ([]string, map[string]string) {
			return []string{"--rw", s.folder("home", ".cache")}, nil
		}},
	}},
	{name: "have taskiam trust another authority", refused: []unmade{
		{what: "by a file", prepare: variable("SSL_CERT_FILE", "/ca.pem"), want: "$SSL_CERT_FILE, which taskiam reads"},
		{what: "by the machine's", want: "settings and libraries of this machine", prepare: func(*stage, string) ([]string, map[string]string) {
			return []string{"--rw", "/etc/ssl"}, nil
		}},
	}},
	{name: "give itself more the next time", moves: []move{
		bare(move{what: "write to its manifest", want: readOnly, try: func(t *burglar) string { return openForWriting(t.Manifest) }}, succeeded),
		bare(move{what: "write to another manifest", want: readOnly, try: func(t *burglar) string { return openForWriting(beside(t.Manifest)) }}, succeeded),
		bare(move{what: "put another in its place", want: "device or resource busy|invalid cross-device link", try: func(t *burglar) string {
			return outcomeOf(firstOf(os.WriteFile("other.toml", nil, 0o600), func() error { return os.Rename("other.toml", t.Manifest) }))
		}}, succeeded),
		bare(move{what: "put another folder in the place of its", want: "device or resource busy", try: func(*burglar) string {
			return outcomeOf(firstOf(os.Rename("conf", "old"), func() error { return os.Rename("old", "conf") }))
		}}, succeeded),
	}, refused: []unmade{
		{what: "with --rw", want: "that is a manifest", prepare: func(s *stage, _ string) ([]string, map[string]string) {
			return []string{"--rw", s.path("key", "demo.toml")}, nil
		}},
		{what: "by a link", want: "a link to the manifest", prepare: func(s *stage, tree string) ([]string, map[string]string) {
			must(s.t, os.Symlink(s.path("key", "demo.toml"), tree+"/task.toml"))
			return []string{tree + "/task.toml", "--", "true", "--"}, nil
		}},
	}},
}

// firstOf returns the first error, and does not go on after it.
func firstOf(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}
