package iamapi

import (
	"slices"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// keyLifetime is how long a key of the project's accounts may live; ok is false if
// nothing limits it. A value that is no duration allows none.
func keyLifetime(s *wire.State, projectID string) (d time.Duration, ok bool) {
	values, ok := s.ProjectConstraint(projectID, iam.KeyExpiry)
	if !ok {
		return 0, false
	}
	for _, v := range values {
		if parsed, err := time.ParseDuration(v); err == nil {
			d = max(d, parsed)
		}
	}
	return d, true
}

// lifetimeLimit is how long a token of the account may live: an hour, or twelve if
// an organization policy lists the account (iam/docs/create-short-lived-credentials-direct).
func lifetimeLimit(s *wire.State, a *iam.Account) time.Duration {
	if values, ok := s.ProjectConstraint(a.ProjectID, iam.LongTokens); ok && slices.Contains(values, a.Email) {
		return extendedTokenLifetime
	}
	return maxTokenLifetime
}
