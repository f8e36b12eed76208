package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestIsolatedAllows tries what the two flags let through, and that it is nothing else.
func TestIsolatedAllows(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	for _, tt := range []struct {
		flags          []string
		userns, ptrace string
	}{
		{nil, forbidden, forbidden},
		{[]string{"--allow-userns"}, succeeded, forbidden},
		{[]string{"--allow-ptrace"}, forbidden, succeeded},
	} {
		c := s.isolated("tree", "--isolate", s.manifest("demo.toml", "key"), "thief", "allowed")
		c.args = slices.Insert(c.args, 3, tt.flags...)
		o := s.run(c)
		if o.code != 0 {
			t.Fatalf("%q: %d\n%s", tt.flags, o.code, o.stderr)
		}
		want := map[string]string{
			"userns ": tt.userns, "ptrace ": tt.ptrace, "delivery ": forbidden, "proc ": forbidden, "sysfs ": forbidden,
			"keys ": forbidden, "parent ": forbidden,
		}
		if os.Geteuid() == 0 {
			want["cgroup2 "] = forbidden
		} else {
			want["bwrap "] = tt.userns
		}
		for prefix, want := range want {
			if got := line(o.stdout, prefix); got != want {
				t.Errorf("%q: %s%q, want %q", tt.flags, prefix, got, want)
			}
		}
	}
}

// TestIsolatedNamesTheFlag: a person whose command failed for want of a user namespace is told which flag allows them.
func TestIsolatedNamesTheFlag(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	for _, tt := range []struct {
		script string
		named  bool
	}{
		{"bwrap --unshare-user --unshare-pid --ro-bind / / true", true},
		{"unshare --user true", true},
		{"unshare --user true; exit 0", false},
		{"exit 3", false},
	} {
		o := s.run(s.isolated("tree", "--isolate", s.manifest("demo.toml", "key"), "sh", "-c", tt.script))
		if got := strings.Contains(o.stderr, "--allow-userns"); got != tt.named || (o.code != 0) == strings.Contains(tt.script, "exit 0") {
			t.Errorf("%s: %d, names the flag: %t, want %t\n%s", tt.script, o.code, got, tt.named, o.stderr)
		}
		if !strings.Contains(o.stderr, "the command can reach every server on loopback") {
			t.Errorf("%s: it does not say that the network is open\n%s", tt.script, o.stderr)
		}
	}
}

// TestIsolatedIsSearchedWhenItsAccessIsGone: how much there is to search is the command's choice, so nothing waits
// for that.
func TestIsolatedIsSearchedWhenItsAccessIsGone(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	o := s.run(s.isolated("tree", "--isolate", s.manifest("demo.toml", "key"), "sh", "-c", "echo >tool; chmod 2755 tool"))
	down, found := strings.Index(o.stderr, "nothing is left"), strings.Index(o.stderr, "is a set-gid program of the command's")
	if o.code != 0 || down < 0 || found < down {
		t.Errorf("it ended with %d\n%s", o.code, o.stderr)
	}
}

// TestIsolatedAllowsAsAUser is the same for an operator who is not root.
func TestIsolatedAllowsAsAUser(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	isolation(t)
	asAUser(t, "TestIsolatedAllows", "TestIsolatedNamesTheFlag")
}

// TestIsolatedTools lets what tasks are made of work behind the filter of system calls; what
// is not installed is left out.
func TestIsolatedTools(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	tools := []struct{ needs, script string }{
		{"git", "git init -q --shared r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git gc -q"},
		{"python3", `python3 -c 'import multiprocessing, subprocess, sqlite3
subprocess.check_call(["true"]); print(multiprocessing.Pool(2).map(abs, [-1]))'`},
		{"node", `node -e 'const w = require("worker_threads"); new w.Worker("", {eval: true});
require("fs").readFile("/etc/passwd", (e) => { if (e) throw e }); require("child_process").execSync("true")'`},
		{"npm", "npm init -y"},
		{"terraform", "terraform version"},
		{"gcc", "echo 'int main(){return 0;}' >a.c && gcc -g a.c -o a && ./a && tar cf a.tar a && tar xf a.tar && cp -p a b"},
		{"gdb", `[ -x a ] || cp "$(command -v true)" a; gdb -batch -ex run ./a | grep 'exited normally'`},
		{"strace", "strace -f true"},
		{"flock", "flock lock true"},
	}
	script := "set -x\n"
	for _, tool := range tools {
		if _, err := exec.LookPath(tool.needs); err == nil {
			script += "(" + tool.script + ") </dev/null || echo failed: " + tool.needs + "\n"
		}
	}
	c := s.isolated("tree", "--isolate=nonet", s.manifest("demo.toml", "key"), "sh", "-c", script)
	c.args = slices.Insert(c.args, 3, "--allow-ptrace")
	if o := s.run(c); o.code != 0 || strings.Contains(o.stdout, "failed: ") {
		t.Errorf("%d\n%s\n%s", o.code, o.stdout, o.stderr)
	}
}
