package relay

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUntilOrphaned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		untilOrphaned(t.Context(), 42, func() int {
			if time.Since(start) > time.Minute {
				return 1
			}
			return 42
		})
		if took := time.Since(start); took < time.Minute || took > time.Minute+2*orphaned {
			t.Errorf("it took %s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		untilOrphaned(ctx, 42, func() int { return 42 })
		if ctx.Err() == nil {
			t.Error("it ended although nothing had")
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:                           "is not a socket",
		dir:                            "is not a socket",
		filepath.Join(dir, "nothing"):  "there is no socket",
		filepath.Join(file, "nothing"): "not a directory",
		strings.Repeat("x", 200):       "at most 107 bytes, and this one 200",
	} {
		if err := (Order{Socket: path}).check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
