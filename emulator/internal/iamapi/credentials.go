package iamapi

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const (
	credentialsHost       = "iamcredentials.googleapis.com"
	maxTokenLifetime      = time.Hour
	extendedTokenLifetime = 12 * time.Hour
)

func credentialsMethods() []wire.Method {
	const at = "POST /v1/projects/{project}/serviceAccounts/{account}"
	ms := []wire.Method{
		{ID: "generateAccessToken", Pattern: at + ":generateAccessToken", Serve: generateAccessToken},
		{ID: "generateIdToken", Pattern: at + ":generateIdToken", Serve: generateIDToken},
		{ID: "signJwt", Pattern: at + ":signJwt", Serve: generateSignedJWT},
		{ID: "signBlob", Pattern: at + ":signBlob", Serve: signBlob},
	}
	for i := range ms {
		ms[i].ID = "iamcredentials.projects.serviceAccounts." + ms[i].ID
		ms[i].Host, ms[i].Writes = credentialsHost, true
	}
	// Older than the API of its own, and still used to sign URLs.
	return append(ms,
		wire.Method{ID: "iam.projects.serviceAccounts.signJwt", Host: iam.Host, Pattern: at + ":signJwt", Writes: true,
			Serve: generateSignedJWT},
		wire.Method{ID: "iam.projects.serviceAccounts.signBlob", Host: iam.Host, Pattern: at + ":signBlob",
			Writes: true, Serve: signBlob},
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
		return 0, wire.Invalid("Invalid value at 'lifetime' (type.googleapis.com/google.protobuf.Duration), %q", s)
	}
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return maxTokenLifetime, nil
	}
	return d, nil
}

// generateAccessToken makes a token of an account for a caller that may
// impersonate it. A token of an account makes no other token of that account
// (iam/docs/service-account-creds).
func generateAccessToken(c *wire.Call) (any, error) {
	var body struct {
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime"`
		Delegates []string `json:"delegates"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if len(body.Scope) == 0 {
		return nil, wire.Invalid("Scope required.")
	}
	lifetime, err := parseLifetime(body.Lifetime)
	if err != nil {
		return nil, err
	}
	if lifetime > extendedTokenLifetime {
		return nil, tooLong(extendedTokenLifetime)
	}
	if c.State().Doubts.SelfImpersonationFirst {
		if err := notItself(c, accountNamed(c, c.Vars["account"])); err != nil {
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
	if limit := lifetimeLimit(c.State(), target); lifetime > limit {
		return nil, tooLong(limit)
	}
	token, expires := c.State().IssueFor(target, slices.Clone(body.Scope), c.Now, lifetime)
	return map[string]any{"accessToken": token, "expireTime": wire.Time(expires)}, nil
}

func tooLong(limit time.Duration) error {
	return wire.Invalid("The lifetime of the token must be at most %d seconds.", int(limit.Seconds()))
}

// notItself refuses an account that would make a token of itself. A JWT that it
// signed itself is not a token.
func notItself(c *wire.Call, target *iam.Account) error {
	if target != nil && c.Caller.Account == target && !c.Caller.SelfSigned {
		return wire.Precondition("You can't create a token for the same service account that you used to " +
			"authenticate the request.")
	}
	return nil
}

// impersonate returns the account of the path if the caller may do with it what the
// permission says, over a chain of delegates, each of which must be allowed to pass
// on to the next (google/iam/credentials/v1).
func impersonate(c *wire.Call, delegates []string, permission string) (*iam.Account, error) {
	if c.Method.Host == credentialsHost && c.Vars["project"] != "-" {
		return nil, wire.Invalid("Invalid form of resource name: the project must be the wildcard character -.")
	}
	who := c.Caller
	for _, name := range delegates {
		id, ok := strings.CutPrefix(name, "projects/-/serviceAccounts/")
		if !ok {
			return nil, wire.Invalid("Invalid form of delegate %q: projects/-/serviceAccounts/ACCOUNT is expected.",
				name)
		}
		next, err := mayBecome(c, who, id, "iam.serviceAccounts.implicitDelegation")
		if err != nil {
			return nil, err
		}
		who = &iam.Principal{Member: next.Member(), Email: next.Email, Account: next}
	}
	return mayBecome(c, who, c.Vars["account"], permission)
}

// accountNamed returns the live account of that address or unique id, or nil.
func accountNamed(c *wire.Call, id string) *iam.Account {
	if a := c.State().AccountByEmail(id); a != nil {
		return a
	}
	if a := c.State().Accounts[id]; a != nil && !a.IsDeleted() {
		return a
	}
	return nil
}

// mayBecome returns the account of that address or unique id, if who holds the
// permission on it.
func mayBecome(c *wire.Call, who *iam.Principal, id, permission string) (*iam.Account, error) {
	a := accountNamed(c, id)
	if a != nil && !a.Mintable(c.Now) {
		a = nil
	}
	n, missing := iam.Node{Full: "//iam.googleapis.com/projects/-/serviceAccounts/" + id, Service: iam.Host}, a == nil
	var err error
	if missing {
		// A caller that may impersonate all accounts of a project learns that the account is missing.
		if parent, _, err := c.State().ProjectNode(iam.ProjectOfEmail(id)); err == nil {
			n = parent.Child(n.Full, "", "", nil)
		}
	} else if n, err = c.State().AccountNode(a); err != nil {
		return nil, err
	}
	d := c.State().Decide(who, permission, n, c.Now, nil)
	c.Decisions = append(c.Decisions, d)
	switch {
	case !d.Allowed:
		return nil, deniedUnnamed(who, permission, n)
	case missing:
		return nil, wire.NotFound("Not found; Gaia id not found for email %s", id)
	case a.Disabled:
		return nil, wire.Precondition("Service account %s is disabled.", a.Email)
	}
	return a, nil
}
