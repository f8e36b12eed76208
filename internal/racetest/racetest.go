// Package racetest is for tests that cost too much where the race detector makes each step
// ten times as long: they play a part there, or nothing, and all of it without.
package racetest

import (
	"os"
	"runtime/debug"
	"slices"
	"testing"
)

// Enabled reports whether this program was built with -race.
func Enabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Whole reports whether this is the pass of make check that is without the race detector: there a
// test plays all that it has, and elsewhere what can be waited for.
func Whole() bool { return os.Getenv("TASKIAM_TEST_RACE") == "0" }

// Skip skips a test under the race detector. The test belongs into WITHOUT_RACE of the
// Makefile, so that make check runs it without.
func Skip(t testing.TB, why string) {
	t.Helper()
	if Enabled() {
		t.Skip(why + ": make check runs it without -race")
	}
}
