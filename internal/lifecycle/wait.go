package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/wait"
)

// repeat calls f again while it fails with one of the kinds: ones that pass, such as
// a conflict, or a thing just made that is not seen everywhere yet. It gives up after
// the bound, with the last error.
func (e *Engine) repeat(
	ctx context.Context, step, on string, bound time.Duration, f func() error, kinds ...fault.Kind,
) error {
	looks := backoff{first: 500 * time.Millisecond, most: 10 * time.Second}
	deadline := e.Now().Add(bound)
	for {
		err := f()
		if err == nil || !fault.Is(err, kinds...) {
			return err
		}
		if e.Now().After(deadline) {
			return fmt.Errorf("giving up after %s: %w", bound, err)
		}
		e.report(step, on, Waiting, err)
		if cause := wait.For(ctx, looks.next()); cause != nil {
			return errors.Join(cause, err)
		}
	}
}

// backoff is the wait between two looks at something that is not there yet:
// doubling from first to most, with full jitter above a half so that many runs
// that began together drift apart.
type backoff struct {
	first, most time.Duration
	tries       int
}

func (b *backoff) next() time.Duration {
	d := b.most
	if shifted := b.first << b.tries; b.tries < 30 && shifted < b.most {
		d = shifted
	}
	b.tries++
	return d/2 + rand.N(d/2+1)
}
