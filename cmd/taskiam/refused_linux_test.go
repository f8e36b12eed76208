package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	in      string // the work tree, if it is not one of its own
}

// reading is a preparation that gives the command a folder of the stage to read.
func reading(name string) func(*stage, string) ([]string, map[string]string) {
	return func(s *stage, _ string) ([]string, map[string]string) { return []string{"--ro", s.folder(name)}, nil }
}

// placing is a preparation that writes a file into the work tree.
func placing(name, text string) func(*stage, string) ([]string, map[string]string) {
	return func(s *stage, tree string) ([]string, map[string]string) {
		rel, err := filepath.Rel(s.dir, tree)
		must(s.t, err)
		s.write(rel+"/"+name, text)
		return nil, nil
	}
}

// makesNone tries every sandbox of the table that is to be refused, before there is a run, with the machine's network
// and without.
func (s *stage) makesNone() {
	s.t.Helper()
	manifest := s.manifest("demo.toml", "key")
	for _, row := range everything() {
		for _, r := range row.refused {
			s.t.Run(strings.ReplaceAll(row.name+" "+r.what, " ", "-"), func(t *testing.T) {
				stage := *s
				stage.t = t
				tree := stage.folder("refused", strings.ReplaceAll(row.name, " ", "-"), strings.ReplaceAll(r.what, " ", "-"))
				if r.in != "" {
					tree = stage.folder(filepath.FromSlash(r.in))
				}
				var flags []string
				var vars map[string]string
				if r.prepare != nil {
					flags, vars = r.prepare(&stage, tree)
				}
				program := "taskiam"
				if r.as != "" {
					program = r.as
				}
				for _, how := range []place{isolated, networkno} {
					args := append(append([]string{program, "run", string(how)}, flags...), manifest, "--", "true")
					o := stage.run(command{args: args, dir: tree, vars: with(s.vars, vars)})
					if o.code != 125 || !strings.Contains(o.stderr, r.want) || strings.Contains(o.stderr, " is up ") {
						t.Errorf("%s: it ended with %d, want %q\n%s", how, o.code, r.want, o.stderr)
					}
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

// login is a preparation that gives the operator a login which names where another one comes from.
func login(source string) func(*stage, string) ([]string, map[string]string) {
	return func(s *stage, tree string) ([]string, map[string]string) {
		must(s.t, os.WriteFile(filepath.Join(tree, "login"), nil, 0o700))
		text := `{"type":"impersonated_service_account","source_credentials":{"type":"external_account","credential_source":{` +
			strings.ReplaceAll(source, "TREE", tree) + `}}}`
		file := s.write("logins/"+filepath.Base(tree)+".json", text)
		return nil, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": file}
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
		{what: "as a library", prepare: variable("LD_LIBRARY_PATH", "/lib"), want: "$LD_LIBRARY_PATH, by which taskiam and what it runs load code"},
		{what: "as a preloaded one", prepare: variable("LD_PRELOAD", "/evil.so"), want: "$LD_PRELOAD, by which taskiam"},
		{what: "as the program of a login", prepare: login(`"executable":{"command":"TREE/login --token"}`), want: "is made by that"},
		{what: "as a script of it", prepare: login(`"executable":{"command":"/usr/bin/env sh TREE/login"}`), want: "is made by that"},
		{what: "as what it is made from", prepare: login(`"file":"TREE/token"`), want: "takes a token from it"},
		{what: "in its place", want: "taskiam itself", as: "./taskiam", prepare: func(s *stage, tree string) ([]string, map[string]string) {
			programs(s.t, tree, "taskiam")
			return nil, nil
		}},
		{what: "in a folder beside", want: "you or taskiam would run that as ", prepare: func(s *stage, _ string) ([]string, map[string]string) {
			dir := s.folder("tools")
			must(s.t, os.WriteFile(dir+"/gcloud", []byte("#!/bin/sh\n"), 0o700))
			return []string{"--rw", dir}, map[string]string{"PATH": dir + ":" + s.vars["PATH"]}
		}},
	}, played: []play{{"by a variable of the linker's that is the command's", linkerOutside}}},
	{name: "make a role look harmless", refused: []unmade{
		{what: "in the work tree", prepare: variable("XDG_CACHE_HOME", "/cache"), want: "what taskiam keeps of roles"},
		{what: "by writing there", want: "what taskiam keeps of roles", prepare: func(s *stage, _ string) ([]string, map[string]string) {
			return []string{"--rw", s.folder("home", ".cache")}, nil
		}},
	}, played: []play{{"in what is kept of it, without isolation", rolesAreForged}}},
	{name: "change what your next runs are by your configuration", refused: []unmade{
		{what: "that is not there yet", prepare: variable("XDG_CONFIG_HOME", "/config"), want: "your configuration of taskiam"},
		{what: "by a folder of it", want: "your configuration of taskiam", prepare: func(s *stage, _ string) ([]string, map[string]string) {
			s.write("configs/taskiam/config.toml", "")
			return []string{"--rw", s.path("configs", "taskiam")}, map[string]string{"XDG_CONFIG_HOME": s.path("configs")}
		}},
		{what: "by where a link leads", want: "your configuration of taskiam", prepare: func(s *stage, tree string) ([]string, map[string]string) {
			must(s.t, os.Symlink(tree+"/x", s.folder("linked")+"/taskiam"))
			return nil, map[string]string{"XDG_CONFIG_HOME": s.path("linked")}
		}},
	}},
	{name: "have taskiam trust another authority", refused: []unmade{
		{what: "by a file", prepare: variable("SSL_CERT_FILE", "/ca.pem"), want: "$SSL_CERT_FILE, which taskiam reads"},
		{what: "by the machine's", want: "settings and libraries of this machine", prepare: func(*stage, string) ([]string, map[string]string) {
			return []string{"--rw", "/etc/ssl"}, nil
		}},
	}},
	{name: "read a login in what it is shown", refused: []unmade{
		{what: "a folder of gcloud's", prepare: placing(".gcloud/x", "x"), want: "logins of gcloud"},
		{what: "gcloud's database", prepare: placing("deep/er/credentials.db", "SQLite format 3\x00"), want: "logins of gcloud"},
		{what: "a token", prepare: placing("token", "glpat-"+strings.Repeat("x", 20)), want: "a token"},
		{what: "a key of an account", prepare: placing("x.json", `{"type":"service_account","private_key":"x"}`), want: "a key of a service account"},
		{what: "a key of ssh", prepare: placing("id_rsa", "PuTTY-User-Key-File-3"), want: "a private key"},
		{what: "a job's login for git", prepare: placing(".git/config", "extraheader = AUTHORIZATION: basic x"), want: "a login for git"},
		{what: "as its work tree", want: "settings of many programs", in: "home/.local/share"},
		{what: "where programs keep theirs", prepare: reading("home/.config"), want: "settings of many programs"},
		{what: "in a folder of gcloud's", prepare: reading("home/.config/gcloud/logs"), want: "logins of gcloud"},
		{what: "another's folder", prepare: reading("home/.ssh"), want: "keys of ssh"},
		{what: "the agent's socket", want: "keys of ssh, as $SSH_AUTH_SOCK says", prepare: func(s *stage, _ string) ([]string, map[string]string) {
			socket := s.write("agent/socket", "")
			return []string{"--rw", s.path("agent")}, map[string]string{"SSH_AUTH_SOCK": socket}
		}},
		{what: "another one than is meant", want: "/b/token", prepare: func(s *stage, tree string) ([]string, map[string]string) {
			flags, _ := placing("a/token", "hvs."+strings.Repeat("x", 24))(s, tree)
			placing("b/token", "hvs."+strings.Repeat("x", 24))(s, tree)
			return append(flags, "--show-login", tree+"/a"), nil
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

// linkerOutside passes variables of the dynamic linker's to a command, by which a library of the work tree's could be
// named. Those used here make the linker write into a folder that is in no sandbox: whoever writes there is outside.
func linkerOutside(t *testing.T) {
	s := isolation(t)
	outside := s.folder("linker")
	vars := []string{"LD_DEBUG=files", "LD_DEBUG_OUTPUT=" + outside + "/said"}
	cmd := exec.Command("bwrap", "--version")
	cmd.Env = append(os.Environ(), vars...)
	must(t, cmd.Run())
	if len(tree(t, outside)) < 2 {
		t.Skip("the linker of this machine does not say what it does")
	}
	must(t, os.RemoveAll(outside))
	s.folder("linker")
	c := s.isolated("work", "--isolate", s.manifest("demo.toml", "key"), "sh", "-c", "env")
	c.args = slices.Insert(c.args, 3, "--env", vars[0], "--env", vars[1])
	o := s.run(c)
	if o.code != 0 || !strings.Contains(o.stdout, vars[1]+"\n") {
		t.Errorf("the command does not get what it was to have: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if left := tree(t, outside); len(left) > 1 {
		t.Errorf("what runs outside of the sandbox has the command's variables: %q", left)
	}
}

// rolesAreForged: what taskiam keeps of roles is believed only with its seal, so that whoever writes there lifts no stop.
func rolesAreForged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	manifest := s.write("greedy.toml", `version = 1
[task]
name = "greedy"
project = "acme-agents"
[[grant]]
role = "roles/secretmanager.admin"
resource = "projects/acme-agents/secrets/api-key"
`)
	stops := func(when string) {
		t.Helper()
		if o := s.taskiam("plan", manifest); o.code != 1 || !strings.Contains(o.stderr, "escalates") {
			t.Errorf("%s: plan ended with %d\n%s%s", when, o.code, o.stdout, o.stderr)
		}
	}
	stops("as it is")
	kept, err := filepath.Glob(s.path("home", ".cache", "taskiam", "roles", "*"))
	must(t, err)
	permissions, forged := regexp.MustCompile(`"Permissions":\[[^]]*\]`), 0
	for _, path := range kept {
		seal, answer, _ := strings.Cut(s.read(path), "\n")
		if !strings.Contains(answer, "secretmanager.secrets.setIamPolicy") {
			continue
		}
		forged++
		harmless := permissions.ReplaceAllString(answer, `"Permissions":["secretmanager.secrets.get"]`)
		for what, text := range map[string]string{"with the seal of the true one": seal + "\n" + harmless, "without a seal": "\n" + harmless} {
			must(t, os.WriteFile(path, []byte(text), 0o600))
			stops(what)
		}
	}
	if forged == 0 {
		t.Errorf("the role is in none of %q", kept)
	}
}

// bareAttacks are those on what is there without a sandbox: the journal, the folder of the delivery, the operator's
// screen, and users. In a sandbox there is nothing to begin with.
var bareAttacks = []attackRow{
	{name: "have a run pass for down by what its journal says", moves: []move{
		sandboxed("by appending to it", "not there", func(t *burglar) string {
			run := strings.TrimPrefix(strings.Split(t.self, "@")[0], "ti-thief-")
			f, err := os.OpenFile(filepath.Join(t.Journals, run+".jsonl"), os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				err = f.Close()
			}
			return outcomeOf(err)
		}),
	}, played: []play{
		{"to run", runBelievesNoJournal}, {"to down", downAsksTheCloud}, {"to status", recordIsVerified},
		{"by one that taskiam wrote", journalsAreReplaced},
	}},
	{
		name: "without isolation: hide its run from `status` and `down --all`", stands: true,
		played: []play{{"by the index", indexIsForged}},
	},
	{name: "have `down` remove another folder than the delivery, or miss the delivery", moves: []move{
		sandboxed("by moving it away", "device or resource busy|"+readOnly, func(*burglar) string {
			delivery := os.Getenv("TASKIAM_DELIVERY")
			return outcomeOf(os.Rename(delivery, delivery+".away"))
		}),
	}, played: []play{{"by links and by moving it", deliverySwapped}}},
	{
		name:   "have part of a manifest, a policy or a journal erased, reordered or forged on the operator's screen",
		played: []play{{"by each of them", othersText}},
	},
	{
		name:   "exchange what another sandbox shows, while that is being made",
		played: []play{{"by what can be written there", shownIsExchanged}},
	},
	{name: "wait for the next run as the same user, with `--uid`", played: []play{{"by what an earlier run left", userOfARun}}},
}

// shownIsExchanged: what a sandbox shows is checked, and shown some time later. In between, the command of another
// sandbox puts something else there, for it can write to the folder that contains both. A program in the place of
// bubblewrap does that here in the right moment.
func shownIsExchanged(t *testing.T) {
	s := isolation(t)
	bwrap, err := exec.LookPath("bwrap")
	must(t, err)
	s.write("home/keep/notes.txt", "what the operator keeps")
	before := s.snapshot()
	tree, flag := s.path("outer", "tree"), s.path("outer", "flag")
	// It leads to what the operator has in HOME.
	link := func(path string) string {
		return "mv " + path + " " + path + ".away; ln -s " + s.path("home", "keep") + " " + path
	}
	for name, tt := range map[string]struct{ exchange, says string }{
		"the work tree, for a link":       {link(tree), tree + " was changed"},
		"what --rw names, for a link":     {link(flag), flag + " was changed"},
		"a folder above, for another":     {"mv " + s.path("outer") + " " + s.path("away") + "; mkdir " + s.path("outer") + "; ln -s " + s.path("home", "keep") + " " + tree + "; ln -s " + s.path("home", "keep") + " " + flag, "was changed"},
		"the work tree, for a folder":     {"mv " + tree + " " + tree + ".away; mkdir " + tree, tree + " was changed"},
		"the work tree, for nothing":      {"mv " + tree + " " + tree + ".away", "without a sandbox"},
		"nothing, which is as it must be": {":", "notes"},
	} {
		must(t, errors.Join(os.RemoveAll(s.path("outer")), os.RemoveAll(s.path("away"))))
		s.folder("outer/flag")
		must(t, os.Chmod(s.write("bin/bwrap", "#!/bin/sh\nPATH=/usr/bin:/bin\ncase \"$*\" in *--look*) ;; *) "+tt.exchange+";; esac\n"+
			"exec "+bwrap+" \"$@\"\n"), 0o755))
		c := s.isolated("outer/tree", "--isolate", s.manifest("demo.toml", "metadata"), "sh", "-c", "cat notes.txt "+flag+"/notes.txt; echo x >planted; echo x >"+flag+"/planted")
		c.args = slices.Insert(c.args, 3, "--rw", flag)
		c.vars = maps.Clone(s.vars)
		c.vars["PATH"] = s.path("bin") + ":" + s.vars["PATH"]
		o := s.run(c)
		if !strings.Contains(o.stdout+o.stderr, tt.says) || strings.Contains(o.stdout, "keeps") ||
			!strings.Contains(o.stderr, "nothing is left") || tt.exchange != ":" && o.code == 0 {
			t.Errorf("%s: %d\n%s%s", name, o.code, o.stdout, o.stderr)
		}
		if _, err := os.Lstat(s.path("home", "keep", "planted")); err == nil {
			t.Errorf("%s: the command has written to what the operator keeps", name)
		}
		s.sameCloud(before)
	}
}

// firstOf returns the first error, and does not go on after it.
func firstOf(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}
