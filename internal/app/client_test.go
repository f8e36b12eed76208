package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
)

// A login file that is broken or missing is named, with the variable that names it.
func TestBrokenLoginIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "login.json")
	t.Setenv(EnvCredentials, path) // Google's library reads the environment itself
	a := &App{World: World{Getenv: os.Getenv, Environ: os.Environ, Now: time.Now}}
	for _, content := range []string{"", "{", `{"type":"nonsense"}`} {
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := a.Client(t.Context(), Options{})
		hints := strings.Join(fault.Hints(err), "\n")
		if !fault.Is(err, fault.Unauthenticated) || !strings.Contains(hints, EnvCredentials+" names "+path) {
			t.Errorf("%q: %v with hints\n%s", content, err, hints)
		}
	}
}
