package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/wait"
)

func TestForWaitsOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := wait.For(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("waited %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("called off")
		time.AfterFunc(time.Second, func() { cancel(why) })
		began = time.Now()
		if err := wait.For(ctx, time.Minute); !errors.Is(err, why) || time.Since(began) != time.Second {
			t.Errorf("waited %s: %v", time.Since(began), err)
		}
	})
}

func TestJitterDoublesUpToABound(t *testing.T) {
	t.Parallel()
	const first, most = time.Second, 10 * time.Second
	for n, bound := range []time.Duration{first, 2 * first, 4 * first, 8 * first, most, most} {
		longest := time.Duration(0)
		for range 1000 {
			longest = max(longest, wait.Jitter(first, n, most))
		}
		if longest >= bound || longest < bound*9/10 {
			t.Errorf("after %d tries the longest of a thousand waits is %s, the bound %s", n, longest, bound)
		}
	}
	if d := wait.Jitter(0, 0, 0); d != 0 {
		t.Errorf("a wait of nothing is %s", d)
	}
}
