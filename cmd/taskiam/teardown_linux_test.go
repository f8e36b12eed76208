package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nest makes a thousand folders, one in the other, whose path is longer than any call takes. They are more than a process
// may commonly hold open.
func nest(dir string) error {
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range 1_000 {
		if err != nil {
			return err
		}
		name, next := strings.Repeat("n", 200), -1
		if err = unix.Mkdirat(at, name, 0o700); err == nil {
			next, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		err = errors.Join(err, unix.Close(at))
		at = next
	}
	return errors.Join(err, unix.Close(at))
}

// deliveryIsHardToRemove: a delivery that is easily filled is removed; one in which something is mounted is left, but
// the access is not.
func deliveryIsHardToRemove(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.look()
	manifest := s.manifest("demo.toml", "key")
	o := s.run(command{args: []string{"sh", "-c", `ulimit -n 256; exec taskiam run "$1" -- thief nest`, "sh", manifest}})
	if o.code != 0 || strings.TrimSpace(o.stdout) != succeeded || !strings.Contains(o.stderr, "nothing is left") {
		t.Errorf("with a tree that is too deep for a path: %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.asBefore(before)
	if os.Geteuid() != 0 {
		return // nobody else can mount
	}
	s.write("home/keep/notes.txt", "what the operator keeps")
	cloud := s.snapshot()
	o = s.run(command{args: []string{
		"unshare", "--mount", "taskiam", "run", manifest, "--", "sh", "-c",
		`mkdir "$CLOUDSDK_CONFIG/m" && mount --bind "$1" "$CLOUDSDK_CONFIG/m"`, "sh", s.path("home", "keep"),
	}})
	if o.code != 125 || !strings.Contains(o.stderr, `"m" stays: it is in use, or something is mounted there`) ||
		!strings.Contains(o.stderr, "left: the delivery in ") {
		t.Errorf("with something mounted in it: %d\n%s", o.code, o.stderr)
	}
	s.sameCloud(cloud)
	if got := s.read(s.path("home", "keep", "notes.txt")); got != "what the operator keeps" {
		t.Errorf("what was mounted is %q now", got)
	}
	s.ok("down") // the mount has ended with the run
	s.asBefore(before)
}
