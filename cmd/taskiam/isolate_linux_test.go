package main

import (
	"os"
	"slices"
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
		}
		for prefix, want := range want {
			if got := line(o.stdout, prefix); got != want {
				t.Errorf("%q: %s%q, want %q", tt.flags, prefix, got, want)
			}
		}
	}
}

// TestIsolatedAllowsAsAUser is the same for an operator who is not root.
func TestIsolatedAllowsAsAUser(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	isolation(t)
	asAUser(t, "TestIsolatedAllows")
}
