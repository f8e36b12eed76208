// Package emulatortest starts emulators for tests.
package emulatortest

import (
	"testing"

	"github.com/taskiam/taskiam/emulator"
)

// Start returns an emulator that ends with the test. It needs no port: the code under test
// gets [emulator.Server.ClientOptions] or [emulator.Server.Client].
func Start(t testing.TB, cfg emulator.Config) *emulator.Server {
	t.Helper()
	s, err := emulator.New(cfg)
	if err != nil {
		t.Fatalf("starting the emulator: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the emulator: %v", err)
		}
	})
	return s
}
