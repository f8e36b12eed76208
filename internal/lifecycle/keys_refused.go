package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
)

// keysRefused adds the ways around an organisation policy that refused a key which was to be valid for so long: where
// that is only too long, a shorter run will do. shorter says how to get one.
func (e *Engine) keysRefused(
	ctx context.Context, project string, ttl time.Duration, shorter func(ttl string) string, err error,
) error {
	refusal, ok := errors.AsType[*fault.Error](err)
	if !ok || refusal.Kind != fault.Precondition {
		return err
	}
	const byToken = `put deliver = ["key", "token"] under [credentials] in the manifest`
	if refusal.Constraint != "constraints/"+keyHours {
		return fault.WithHint(err, "keys are not allowed here: "+byToken)
	}
	// Who may bring runs up need not be allowed to read organisation policies.
	c, readErr := e.Cloud.Constraint(ctx, project, keyHours)
	if longest := c.Longest(); readErr == nil && longest > 0 {
		return fault.WithHint(err, fmt.Sprintf("keys may be valid for %s here, and not for %s: %s, or less",
			grants.Span(longest), grants.Span(ttl), shorter(grants.Span(longest))), "or "+byToken)
	}
	return fault.WithHint(err, "keys may not be valid for "+grants.Span(ttl)+" here; how long they may: "+
		gcloud.DescribeConstraint(project, keyHours), "or "+byToken)
}

// putTTL says where a manifest has its ttl.
func putTTL(ttl string) string { return fmt.Sprintf("put ttl = %q under [task] in the manifest", ttl) }
