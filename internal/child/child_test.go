package child

import (
	"os/exec"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want int
		err  bool
	}{
		{[]string{"true"}, 0, false},
		{[]string{"sh", "-c", "exit 7"}, 7, false},
		{[]string{"sh", "-c", "kill -9 $$"}, 137, false},
		{[]string{"no-such-command"}, NotFound, true},
		{[]string{"/no/such/command"}, NotFound, true},
		{[]string{"/dev/null"}, NoExec, true},
		{[]string{t.TempDir()}, NoExec, true},
	} {
		got, err := Run(exec.Command(c.args[0], c.args[1:]...), nil)
		if got != c.want || (err != nil) != c.err {
			t.Errorf("%q: got %d, %v, want %d", c.args, got, err, c.want)
		}
	}
}
