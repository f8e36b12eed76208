// Package gen is what the generators of tables share: finding and reading the discovery
// documents that come with the Go module of Google's API clients, and writing files.
//
// Each table has a generator of its own, in a folder below. What a table says is decided
// there: the emulator is a second opinion, so its tables share no code with the others
// that knows what a document means for IAM.
package gen

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Write makes each of the files by the function for its base name. A function that
// returns nothing leaves its file as it is.
func Write(files []string, makers map[string]func() ([]byte, error)) error {
	for _, file := range files {
		make, known := makers[filepath.Base(file)]
		if !known {
			return fmt.Errorf("making %s: there is no generator for it", file)
		}
		out, err := make()
		if err != nil {
			return fmt.Errorf("making %s: %w", file, err)
		}
		if out == nil {
			continue
		}
		if err := os.WriteFile(file, out, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
	}
	return nil
}

// Module returns the folder of google.golang.org/api, at the version that the module of
// the working directory requires.
func Module() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("finding google.golang.org/api: %w", err)
	}
	module := strings.TrimSpace(string(out))
	if module == "" {
		return "", errors.New("finding google.golang.org/api: it is not on this disk (go mod download)")
	}
	return module, nil
}
