// Package wait has the two things that everything which tries again needs: a wait that
// ends early when its context does, and a random length for it. It knows nothing of what
// is waited for.
package wait

import (
	"context"
	"math/rand/v2"
	"time"
)

// For waits for d. If ctx ends first, it returns why.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Jitter returns a random wait: up to first, doubled n times, and never above longest. It is
// random down to nothing, so that callers who failed together do not come back together.
func Jitter(first time.Duration, n int, longest time.Duration) time.Duration {
	return rand.N(max(1, min(first<<min(n, 20), longest)))
}
