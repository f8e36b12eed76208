package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
)

const tokenInfoURL = "https://oauth2.googleapis.com/tokeninfo"

const memberHint = "say who you are: --operator-member user:YOU@EXAMPLE.COM, or principal://… for a federated login"

// Whoami returns whom this client speaks for. [Config.OperatorMember] is believed;
// otherwise Google is asked about the token. Google does not name federated
// identities: for them it is an error that says so.
func (c *Client) Whoami(ctx context.Context) (grants.Identity, error) {
	if m := c.cfg.OperatorMember; m != "" {
		return identity(m)
	}
	doing := task{"asking Google whose", "the login is"}
	info, err := call(ctx, c, doing, func(ctx context.Context) (tokenInfo, error) {
		token, err := login(ctx, c.cfg.Credential)
		if err != nil {
			return tokenInfo{}, err
		}
		// In a form and not in the URL, which ends up in logs and errors.
		form := url.Values{"access_token": {token.Reveal()}}
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		data, err := rest(ctx, c.plain, http.MethodPost, tokenInfoURL, header, []byte(form.Encode()))
		if err != nil {
			return tokenInfo{}, err
		}
		var info tokenInfo
		if err := json.Unmarshal(data, &info); err != nil {
			return tokenInfo{}, fmt.Errorf("parsing the answer: %w", err)
		}
		return info, nil
	})
	if fault.Is(err, fault.Unauthenticated) && !fault.Local(err) { // there is a token, and perhaps a federated one
		orFederated := "or, if the login is a federated one, " + memberHint
		return grants.Identity{}, fault.WithHint(err, append(fault.Hints(err), orFederated)...)
	}
	if err != nil {
		return grants.Identity{}, err
	}
	if info.Email == "" {
		return grants.Identity{}, fault.WithHint(fault.New(fault.Unauthenticated,
			"Google does not say whose login this is: its token lacks the scope userinfo.email"), memberHint)
	}
	if strings.HasSuffix(info.Email, ".gserviceaccount.com") {
		return grants.Identity{Member: policy.Member(info.Email), Email: info.Email}, nil
	}
	return grants.Identity{Member: "user:" + info.Email, Email: info.Email}, nil
}

// tokenInfo is what of the answer is of use here.
type tokenInfo struct {
	Email string `json:"email"`
}

// identity reads a member as policies name it.
func identity(member string) (grants.Identity, error) {
	kind, rest, ok := strings.Cut(member, ":")
	switch {
	case !ok || rest == "":
	case kind == "user", kind == "serviceAccount":
		if strings.Contains(rest, "@") {
			return grants.Identity{Member: member, Email: rest}, nil
		}
	case kind == "principal":
		if strings.HasPrefix(rest, "//") {
			return grants.Identity{Member: member}, nil
		}
	}
	return grants.Identity{}, fault.WithHint(fault.New(fault.Usage,
		"%q is not one principal", member), memberHint)
}
