package emulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	credentialsHost       = "iamcredentials.googleapis.com"
	maxTokenLifetime      = time.Hour
	extendedTokenLifetime = 12 * time.Hour
)

// credentialsService is IAM Credentials: short-lived tokens and signatures.
func credentialsService() *service {
	return &service{
		Name: credentialsHost, Title: "IAM Service Account Credentials API", Scopes: []string{"iam"},
		Methods: credentialsMethods(), Denied: deniedUnnamed,
	}
}

func credentialsMethods() []method {
	const at = "POST /v1/projects/{project}/serviceAccounts/{account}"
	ms := []method{
		{id: "generateAccessToken", pattern: at + ":generateAccessToken", serve: generateAccessToken},
		{id: "generateIdToken", pattern: at + ":generateIdToken", serve: generateIDToken},
		{id: "signJwt", pattern: at + ":signJwt", serve: generateSignedJWT},
		{id: "signBlob", pattern: at + ":signBlob", serve: signBlob},
	}
	for i := range ms {
		ms[i].id = "iamcredentials.projects.serviceAccounts." + ms[i].id
		ms[i].host, ms[i].writes = credentialsHost, true
	}
	// Older than the API of its own, and still used to sign URLs.
	return append(ms,
		method{id: "iam.projects.serviceAccounts.signJwt", host: iamHost, pattern: at + ":signJwt", writes: true, serve: generateSignedJWT},
		method{id: "iam.projects.serviceAccounts.signBlob", host: iamHost, pattern: at + ":signBlob", writes: true, serve: signBlob},
	)
}

// parseLifetime reads a protobuf duration: "300s". Absent means an hour.
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
	if d < time.Second {
		return maxTokenLifetime, nil
	}
	return d, nil
}

// generateAccessToken makes a token of an account for a caller that may
// impersonate it. Nobody prolongs itself: a token of an account makes no other
// (iam/docs/service-account-creds).
func generateAccessToken(c *call) (any, error) {
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
	if lifetime > extendedTokenLifetime {
		return nil, tooLong(extendedTokenLifetime)
	}
	if c.state().Doubts.SelfImpersonationFirst {
		if err := notItself(c, accountNamed(c, c.vars["account"])); err != nil {
			return nil, err
		}
	}
	target, err := impersonate(c, body.Delegates, "iam.serviceAccounts.getAccessToken")
	if err != nil {
		return nil, err
	}
	if err := notItself(c, target); err != nil {
		return nil, err
	}
	if limit := lifetimeLimit(c.state(), target); lifetime > limit {
		return nil, tooLong(limit)
	}
	token, expires := c.state().issue(target, slices.Clone(body.Scope), c.now, lifetime)
	return map[string]any{"accessToken": token, "expireTime": apiTime(expires)}, nil
}

func tooLong(limit time.Duration) error {
	return invalid("The lifetime of the token must be at most %d seconds.", int(limit.Seconds()))
}

// notItself refuses an account that would make a token of itself. A JWT that it
// signed itself is not a token.
func notItself(c *call, target *serviceAccount) error {
	if target != nil && c.caller.account == target && !c.caller.jwt {
		return precondition("You can't create a token for the same service account that you used to authenticate the request.")
	}
	return nil
}

// impersonate returns the account of the path if the caller may do with it what the
// permission says, over a chain of delegates, each of which must be allowed to pass
// on to the next (google/iam/credentials/v1).
func impersonate(c *call, delegates []string, permission string) (*serviceAccount, error) {
	if c.method.host == credentialsHost && c.vars["project"] != "-" {
		return nil, invalid("Invalid form of resource name: the project must be the wildcard character -.")
	}
	who := c.caller
	for _, name := range delegates {
		id, ok := strings.CutPrefix(name, "projects/-/serviceAccounts/")
		if !ok {
			return nil, invalid("Invalid form of delegate %q: projects/-/serviceAccounts/ACCOUNT is expected.", name)
		}
		next, err := mayBecome(c, who, id, "iam.serviceAccounts.implicitDelegation")
		if err != nil {
			return nil, err
		}
		who = &principal{member: next.member(), email: next.Email, account: next}
	}
	return mayBecome(c, who, c.vars["account"], permission)
}

// accountNamed returns the live account of that address or unique id, or nil.
func accountNamed(c *call, id string) *serviceAccount {
	if a := c.state().accountByEmail(id); a != nil {
		return a
	}
	if a := c.state().Accounts[id]; a != nil && !a.deleted() {
		return a
	}
	return nil
}

// mayBecome returns the account of that address or unique id, if who holds the
// permission on it.
func mayBecome(c *call, who *principal, id, permission string) (*serviceAccount, error) {
	a := accountNamed(c, id)
	if a != nil && !a.minted(c.now) {
		a = nil
	}
	n, missing := node{full: "//iam.googleapis.com/projects/-/serviceAccounts/" + id, service: iamHost}, a == nil
	var err error
	if missing {
		// Who may impersonate all of a project is told that the account is missing.
		if parent, _, err := c.state().projectNode(projectOf(id)); err == nil {
			n = parent.child(n.full, "", "", nil)
		}
	} else if n, err = c.state().accountNode(a); err != nil {
		return nil, err
	}
	d := c.state().decide(who, permission, n, c.now, nil)
	c.decisions = append(c.decisions, d)
	switch {
	case !d.allowed:
		return nil, deniedUnnamed(who, permission, n)
	case missing:
		return nil, notFound("Not found; Gaia id not found for email %s", id)
	case a.Disabled:
		return nil, precondition("Service account %s is disabled.", a.Email)
	}
	return a, nil
}
