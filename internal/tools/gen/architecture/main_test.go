package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

const manual = "../../../../docs/architecture.md"

// The pictures are what go generate draws.
func TestFresh(t *testing.T) {
	t.Parallel()
	want, err := page(manual)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/architecture.md is stale: run go generate ./internal/tools/gen/architecture")
	}
}

func TestRooms(t *testing.T) {
	t.Parallel()
	pkgs := map[string]pkg{
		"cmd/x":      {Imports: []string{"internal/a", "internal/c"}},
		"internal/a": {Imports: []string{"internal/b", "internal/c"}},
		"internal/b": {},
		"internal/c": {},
	}
	got := drawRooms(pkgs, inProgram)
	var names []string
	for line := range strings.Lines(got) {
		if name, ok := strings.CutPrefix(line, "| "); ok {
			names = append(names, strings.Join(strings.Fields(strings.TrimSuffix(name, "|\n")), " "))
		}
	}
	if want := []string{"cmd/x", "a", "b c"}; !slices.Equal(names, want) {
		t.Errorf("the layers are %q, want %q", names, want)
	}
	for _, want := range []string{"cmd/x -> a, c\n", "a     -> b, c\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the picture lacks %q:\n%s", want, got)
		}
	}
}
