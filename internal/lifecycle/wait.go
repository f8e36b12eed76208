package lifecycle

import (
	"context"
	"errors"
	"fmt"
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
	deadline := e.Now().Add(bound)
	for looks := 0; ; looks++ {
		err := f()
		if err == nil || !fault.Is(err, kinds...) {
			return err
		}
		if e.Now().After(deadline) {
			return fmt.Errorf("giving up after %s: %w", bound, err)
		}
		e.report(step, on, Waiting, err)
		if cause := wait.For(ctx, wait.Jitter(firstLook, looks, longestLook)); cause != nil {
			return errors.Join(cause, err)
		}
	}
}
