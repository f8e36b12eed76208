package iamapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const (
	boundaryBucket    = "//storage.googleapis.com/projects/_/buckets/"
	maxBoundaryLength = 2048 // of a condition's expression
	workforcePools    = "locations/global/workforcePools/"
)

// downscope gives an access token for another one that can do less: what a credential access boundary leaves, until
// the end of the other. Only Cloud Storage has such boundaries (iam/docs/create-downscoped-short-lived-credentials).
func downscope(c *wire.Call, in url.Values) (any, error) {
	bad := func(kind, format string, args ...any) (any, error) {
		return nil, wire.OAuthError(http.StatusBadRequest, kind, format, args...)
	}
	source := c.State().Tokens[iam.TokenHash(in.Get("subject_token"))]
	if source == nil || source.Expired(c.Now) {
		return bad("invalid_grant", "The subject token is invalid or has expired.")
	}
	who := c.State().PrincipalOf(source, c.Now)
	switch {
	case who == nil:
		return bad("invalid_grant", "The account of the subject token is disabled or deleted.")
	case source.Boundary != nil:
		return bad("invalid_request", "The subject token has a credential access boundary already.")
	case who.Federated != nil && strings.HasPrefix(who.Federated.Pool, workforcePools):
		return bad("invalid_request", "Workforce pools do not support credential access boundaries.")
	case !wire.AllScopes(source.Scopes):
		return bad("invalid_scope", "The subject token needs the scope %scloud-platform.", wire.ScopePrefix)
	}
	boundary, err := readBoundary(in.Get("options"))
	if err != nil {
		return nil, err
	}
	c.Caller = who // for the request log
	t := *source
	t.Boundary, t.Login = boundary, false
	lifetime := maxTokenLifetime
	if !source.Expires.IsZero() {
		lifetime = source.Expires.Sub(c.Now)
	}
	token, expires := c.State().Issue(t, c.Now, lifetime)
	answer := map[string]any{"access_token": token, "issued_token_type": accessTokenType, "token_type": "Bearer"}
	if who.Account != nil { // for all others the client goes by the end of the token that it had
		answer["expires_in"] = secondsLeft(expires, c.Now)
	}
	return answer, nil
}

// readBoundary reads the options of an exchange. What it does not know it refuses: a limit that nobody sees to would
// be none.
func readBoundary(options string) (*iam.Boundary, error) {
	bad := func(format string, args ...any) error {
		return wire.OAuthError(http.StatusBadRequest, "invalid_request", format, args...)
	}
	var in struct {
		AccessBoundary struct {
			AccessBoundaryRules []struct {
				AvailableResource     string   `json:"availableResource"`
				AvailablePermissions  []string `json:"availablePermissions"`
				AvailabilityCondition *struct {
					Expression  string `json:"expression"`
					Title       string `json:"title"`
					Description string `json:"description"`
				} `json:"availabilityCondition"`
			} `json:"accessBoundaryRules"`
		} `json:"accessBoundary"`
	}
	text := options
	if strings.HasPrefix(text, "%") { // some clients encode it once more than the form does
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, bad("The options are no credential access boundary: %v", err)
	}
	rules := in.AccessBoundary.AccessBoundaryRules
	if len(rules) == 0 || len(rules) > iam.MaxBoundaryRules {
		return nil, bad("A credential access boundary has between 1 and %d rules, not %d.", iam.MaxBoundaryRules,
			len(rules))
	}
	b := &iam.Boundary{}
	for _, r := range rules {
		bucket, ok := strings.CutPrefix(r.AvailableResource, boundaryBucket)
		if !ok || bucket == "" || strings.Contains(bucket, "/") {
			return nil, bad("Invalid availableResource %q: %sBUCKET is expected.", r.AvailableResource, boundaryBucket)
		}
		if len(r.AvailablePermissions) == 0 {
			return nil, bad("A rule needs availablePermissions.")
		}
		rule := iam.BoundaryRule{Resource: r.AvailableResource}
		for _, p := range r.AvailablePermissions {
			role, ok := strings.CutPrefix(p, "inRole:")
			if !ok || role == "" {
				return nil, bad("Invalid availablePermissions %q: inRole:ROLE is expected.", p)
			}
			rule.Roles = append(rule.Roles, role)
		}
		if given := r.AvailabilityCondition; given != nil {
			if len(given.Expression) > maxBoundaryLength {
				return nil, bad("The expression of a condition is longer than %d characters.", maxBoundaryLength)
			}
			if err := iam.CompileCondition(given.Expression); err != nil {
				return nil, bad("Invalid condition: %v", err)
			}
			rule.Condition = &iam.Condition{Title: given.Title, Description: given.Description,
				Expression: given.Expression}
		}
		b.Rules = append(b.Rules, rule)
	}
	return b, nil
}
