package wire

import (
	"sync"
	"time"
)

// clock is the emulator's time: the machine's, moved by an offset, or stopped.
type clock struct {
	source func() time.Time

	mu      sync.RWMutex
	offset  time.Duration
	stopped time.Time // the time at which it was stopped; zero while it runs
}

func (k *clock) now() time.Time {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if !k.stopped.IsZero() {
		return k.stopped
	}
	return k.source().Add(k.offset)
}

func (k *clock) advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.offset += d
	if !k.stopped.IsZero() {
		k.stopped = k.stopped.Add(d)
	}
}

// set makes it t now, whether the clock runs or is stopped.
func (k *clock) set(t time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.offset = t.Sub(k.source())
	if !k.stopped.IsZero() {
		k.stopped = t
	}
}

func (k *clock) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped.IsZero() {
		k.stopped = k.source().Add(k.offset)
	}
}

// start starts a stopped clock again at the time at which it stopped.
func (k *clock) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stopped.IsZero() {
		k.offset = k.stopped.Sub(k.source())
		k.stopped = time.Time{}
	}
}

func (k *clock) stands() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return !k.stopped.IsZero()
}

// Now returns the time on the emulator's clock, by which tokens, keys, conditions and
// lags are judged.
func (s *Server) Now() time.Time { return s.clock.now() }

// Advance moves the emulator's clock forward by d, even if it is stopped.
func (s *Server) Advance(d time.Duration) {
	s.clock.advance(d)
	s.tellChange()
}

// SetTime sets the emulator's clock to t, which may be in the past.
func (s *Server) SetTime(t time.Time) {
	s.clock.set(t)
	s.tellChange()
}

// StopClock stops the emulator's clock until [Server.StartClock]; Advance and SetTime
// still move it.
func (s *Server) StopClock() { s.clock.stop() }

// StartClock starts a stopped clock again at the time at which it stopped.
func (s *Server) StartClock() { s.clock.start() }
