package emulator

import (
	"slices"
	"time"
)

// keyLifetime is how long a key of the project's accounts may live; ok is false if
// nothing limits it. A value that is no duration allows none.
func keyLifetime(s *state, projectID string) (d time.Duration, ok bool) {
	values, ok := s.projectConstraint(projectID, keyExpiry)
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
func lifetimeLimit(s *state, a *serviceAccount) time.Duration {
	if values, ok := s.projectConstraint(a.ProjectID, longTokens); ok && slices.Contains(values, a.Email) {
		return extendedTokenLifetime
	}
	return maxTokenLifetime
}
