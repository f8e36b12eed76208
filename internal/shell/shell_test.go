package shell_test

import (
	"os/exec"
	"testing"

	"github.com/taskiam/taskiam/internal/shell"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"": "''", "task.toml": "task.toml", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "a/b-c_d.e": "a/b-c_d.e",
		"--member=user:a@b.c": "--member=user:a@b.c", "=ls": "'=ls'", "~": "'~'", "a\nb": "'a\nb'", "é": "'é'",
	} {
		got := shell.Quote(s)
		if got != want {
			t.Errorf("Quote(%q) = %s, want %s", s, got, want)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+got).Output()
		if err != nil || string(out) != s {
			t.Errorf("a shell reads %s as %q, want %q: %v", got, out, s, err)
		}
	}
}
