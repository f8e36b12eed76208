package emulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	credentialsHost  = "iamcredentials.googleapis.com"
	maxTokenLifetime = time.Hour
)

func credentialsMethods() []method {
	return []method{{
		id: "iamcredentials.projects.serviceAccounts.generateAccessToken", host: credentialsHost,
		pattern: "POST /v1/projects/{project}/serviceAccounts/{account}:generateAccessToken", writes: true, serve: generateAccessToken,
	}}
}

// parseLifetime reads a protobuf duration: "300s". Absent means the hour that is
// the most, too.
func parseLifetime(s string) (time.Duration, error) {
	if s == "" {
		return maxTokenLifetime, nil
	}
	number, ok := strings.CutSuffix(s, "s")
	seconds, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || seconds < 0 || seconds > 1e9 {
		return 0, invalid("Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration), %q", s)
	}
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d > maxTokenLifetime:
		return 0, invalid("The lifetime of the token must be at most %d seconds.", int(maxTokenLifetime.Seconds()))
	case d < time.Second:
		return maxTokenLifetime, nil
	}
	return d, nil
}

// generateAccessToken makes a token of an account for a caller that may
// impersonate it. Nobody prolongs itself: a token of an account makes no other
// (iam/docs/service-account-creds).
func generateAccessToken(c *call) (any, error) {
	if c.vars["project"] != "-" {
		return nil, invalid("Invalid form of resource name: the project must be the wildcard character -.")
	}
	var body struct {
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime"`
		Delegates []string `json:"delegates"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if len(body.Scope) == 0 {
		return nil, invalid("Scope required.")
	}
	lifetime, err := parseLifetime(body.Lifetime)
	if err != nil {
		return nil, err
	}
	target, err := c.impersonate(c.vars["account"], body.Delegates)
	if err != nil {
		return nil, err
	}
	token, expires := c.state().issue(target, slices.Clone(body.Scope), c.now, lifetime)
	return map[string]any{"accessToken": token, "expireTime": apiTime(expires)}, nil
}

// impersonate returns the account that the caller may act as, over a chain of
// delegates, each of which must be allowed to pass on to the next.
func (c *call) impersonate(id string, delegates []string) (*serviceAccount, error) {
	who := c.caller
	for _, name := range delegates {
		next, err := c.mayBecome(who, name[strings.LastIndex(name, "/")+1:], "iam.serviceAccounts.implicitDelegation")
		if err != nil {
			return nil, err
		}
		who = &principal{member: next.member(), email: next.Email, account: next}
	}
	target, err := c.mayBecome(who, id, "iam.serviceAccounts.getAccessToken")
	if err != nil {
		return nil, err
	}
	if c.caller.account == target && !c.caller.jwt {
		return nil, precondition("You can't create a token for the same service account that you used to authenticate the request.")
	}
	return target, nil
}

// mayBecome returns the account of that address or unique id, if who holds the
// permission on it.
func (c *call) mayBecome(who *principal, id, permission string) (*serviceAccount, error) {
	a := c.state().accountByEmail(id)
	if a == nil {
		if a = c.state().Accounts[id]; a != nil && a.deleted() {
			a = nil
		}
	}
	n, missing := node{full: "//iam.googleapis.com/projects/-/serviceAccounts/" + id, service: iamHost}, a == nil
	var err error
	if missing {
		// Who may impersonate all of a project is told that the account is missing.
		if parent, _, err := c.server.projectNode(projectOf(id)); err == nil {
			n = parent.child(n.full, "", "", nil)
		}
	} else if n, err = c.server.accountNode(a); err != nil {
		return nil, err
	}
	d := c.state().decide(who, permission, n, c.now, nil)
	c.decisions = append(c.decisions, d)
	switch {
	case !d.allowed:
		return nil, denied(credentialsHost, who, permission, n)
	case missing:
		return nil, notFound("Not found; Gaia id not found for email %s", id)
	case a.Disabled:
		return nil, precondition("Service account %s is disabled.", a.Email)
	}
	return a, nil
}

// projectOf returns the project in an account's address.
func projectOf(email string) string {
	_, domain, _ := strings.Cut(email, "@")
	return strings.TrimSuffix(domain, ".iam.gserviceaccount.com")
}
