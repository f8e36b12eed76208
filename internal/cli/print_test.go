package cli

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/view"
)

// TestBrokenPipeIsNotSpokenOf: whoever read us is gone, as with `taskiam status | head`.
func TestBrokenPipeIsNotSpokenOf(t *testing.T) {
	t.Parallel()
	e, _, stderr := testEnv(nil)
	e.Stdout = view.NewStream(brokenPipe{})
	if code := Main(t.Context(), []string{"taskiam", "version"}, e); code != int(exitFailure) {
		t.Errorf("exit code %d", code)
	}
	if stderr.Len() > 0 {
		t.Errorf("said %q", stderr)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

var _ io.Writer = brokenPipe{}

const sampleToken = "ya29.c.b0Aaek-x_Y1z.more=="

// TestTalkIsScrubbed goes by the way that every message takes.
func TestTalkIsScrubbed(t *testing.T) {
	t.Parallel()
	e, stdout, stderr := testEnv(map[string]string{app.EnvStateHome: "/nonexistent"})
	code := Main(t.Context(), []string{"taskiam", "down", sampleToken}, e)
	if code != int(exitFailure) {
		t.Errorf("exit code %d", code)
	}
	if stdout.Len() > 0 || !strings.Contains(stderr.String(), "[redacted]") || strings.Contains(stderr.String(), "ya29.c") {
		t.Errorf("stdout %q\nstderr %q", stdout, stderr)
	}
}
