package racetest_test

import (
	"os"
	"testing"

	"github.com/taskiam/taskiam/internal/racetest"
)

// The Makefile says which of the two passes this is: Enabled must know it too.
func TestEnabled(t *testing.T) {
	t.Parallel()
	if want := os.Getenv("TASKIAM_TEST_RACE"); want != "" && racetest.Enabled() != (want == "1") {
		t.Errorf("Enabled is %t in the pass in which TASKIAM_TEST_RACE is %s", racetest.Enabled(), want)
	}
}
