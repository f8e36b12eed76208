package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"golang.org/x/sync/singleflight"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// The operator's token also says whose it is; without this scope a service account's
// does not.
const scopeEmail = "https://www.googleapis.com/auth/userinfo.email"

const loginCommand = "gcloud auth application-default login"

// loginHinter is a TokenSource that knows how to log in (again).
type loginHinter interface{ loginHints() []string }

// DefaultLogin finds the application default credentials: the file that
// GOOGLE_APPLICATION_CREDENTIALS names, gcloud's, or the metadata server's. Tokens
// are fetched through cfg's transport, on first use. If there is no login it is a
// [fault.Unauthenticated], with a hint.
func DefaultLogin(ctx context.Context, cfg Config) (TokenSource, error) {
	if err := ctx.Err(); err != nil { // the library takes no context; looking for a metadata server takes a while
		return nil, fmt.Errorf("finding your login (application default credentials): %w", context.Cause(ctx))
	}
	hc := httpClient(cfg, newTransport(cfg), anonymous{})
	creds, err := credentials.DetectDefault(options(hc, scopeCloudPlatform, scopeEmail))
	if err != nil {
		return nil, fault.WithHint(&fault.Error{
			Kind:    fault.Unauthenticated,
			Message: "finding your login (application default credentials): " + err.Error(),
			Err:     err,
		}, loginHints(nil, cfg.LoginFile)...)
	}
	return &defaultLogin{
		creds: creds, payer: quotaProject(creds.JSON(), cfg.QuotaProject),
		hints: loginHints(creds.JSON(), cfg.LoginFile),
	}, nil
}

func options(hc *http.Client, scopes ...string) *credentials.DetectOptions {
	return &credentials.DetectOptions{
		Scopes: scopes,
		Client: hc,
		// A refresh in the background would lose its error; ours is in the retry loop.
		DisableAsyncRefresh: true,
		Logger:              slog.New(slog.DiscardHandler), // a debug log would hold tokens
	}
}

// quotaProject returns who pays: what was configured, else what the file says.
func quotaProject(file []byte, configured string) string {
	if configured != "" {
		return configured
	}
	var f struct {
		QuotaProject string `json:"quota_project_id"`
	}
	if json.Unmarshal(file, &f) != nil { // the metadata server has no file
		return ""
	}
	return f.QuotaProject
}

type defaultLogin struct {
	creds   *auth.Credentials
	payer   string
	hints   []string // how to get one that works
	fetches singleflight.Group
}

// Token shares one fetch among all who ask at the same time: a login that is refused is
// refused once, and not once for each of them.
func (d *defaultLogin) Token(ctx context.Context) (secret.String, error) {
	fetched := d.fetches.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
		defer cancel()
		return token(ctx, d.creds)
	})
	select {
	case r := <-fetched:
		value, _ := r.Val.(secret.String)
		return value, r.Err
	case <-ctx.Done():
		return secret.String{}, ctx.Err()
	}
}

func (d *defaultLogin) loginHints() []string { return d.hints }
func (d *defaultLogin) quotaProject() string { return d.payer }

// token fetches a token, or returns the one that is still good.
func token(ctx context.Context, creds *auth.Credentials) (secret.String, error) {
	t, err := creds.Token(ctx)
	if err != nil {
		return secret.String{}, err
	}
	return secret.New(t.Value), nil
}

// loginError tells an error of a login from one of the call that it was for.
type loginError struct{ error }

func (e loginError) Unwrap() error { return e.error }

// login returns src's token. Its errors are ready for classify.
func login(ctx context.Context, src TokenSource) (secret.String, error) {
	if src == nil {
		return secret.String{}, fault.New(fault.Unauthenticated, "no login was given")
	}
	t, err := src.Token(ctx)
	if err != nil {
		return secret.String{}, loginError{err}
	}
	return t, nil
}

// StaticToken returns a login with one access token, which is not renewed.
func StaticToken(token secret.String) TokenSource { return staticToken{token} }

type staticToken struct{ value secret.String }

func (s staticToken) Token(context.Context) (secret.String, error) { return s.value, nil }

// NoLogin returns a login that does not work, for the reason why: for teardowns, which
// have something to do without one. Using it is a [fault.Unauthenticated].
func NoLogin(why error) TokenSource {
	if !fault.Is(why, fault.Unauthenticated) {
		why = &fault.Error{Kind: fault.Unauthenticated, Message: why.Error(), Err: why}
	}
	if e, ok := errors.AsType[*fault.Error](why); ok {
		e.Unsent = true
	}
	return noLogin{why}
}

type noLogin struct{ why error }

func (n noLogin) Token(context.Context) (secret.String, error) { return secret.String{}, n.why }

// EmulatorLogin returns the login of the emulator's own operator, never a person's.
func EmulatorLogin(token secret.String) TokenSource { return emulatorLogin{token} }

const emulatorCommand = `eval "$(taskiam emulator env)"`

type emulatorLogin struct{ value secret.String }

func (e emulatorLogin) Token(context.Context) (secret.String, error) {
	if e.value.IsZero() {
		return secret.String{}, fault.WithHint(
			fault.New(fault.Unauthenticated, "there is no login for the emulator"), emulatorCommand)
	}
	return e.value, nil
}

func (e emulatorLogin) loginHints() []string { return []string{emulatorCommand} }

// KeySource returns the login of a service account by its key file. Its tokens are
// JWTs that the key signs itself, so that using them costs no exchange
// (google.aip.dev/auth/4111).
func KeySource(keyJSON secret.String) (TokenSource, error) {
	opts := options(nil, scopeCloudPlatform)
	opts.UseSelfSignedJWT = true
	creds, err := credentials.NewCredentialsFromJSON(credentials.ServiceAccount, []byte(keyJSON.Reveal()), opts)
	if err != nil {
		return nil, keyFault(err)
	}
	return keySource{creds}, nil
}

type keySource struct{ creds *auth.Credentials }

func (k keySource) Token(ctx context.Context) (secret.String, error) { return token(ctx, k.creds) }

// KeyToken exchanges a key file for an access token, at Google's token endpoint. A
// key that was deleted or has ended is a [fault.Unauthenticated]. It needs no login.
// Repeating it makes another token.
func (c *Client) KeyToken(ctx context.Context, keyJSON secret.String) (grants.Token, error) {
	opts := options(c.plain, scopeCloudPlatform)
	creds, err := credentials.NewCredentialsFromJSON(credentials.ServiceAccount, []byte(keyJSON.Reveal()), opts)
	if err != nil {
		return grants.Token{}, keyFault(err)
	}
	doing := task{"exchanging the key of", keyEmail(keyJSON)}
	fetched, err := call(ctx, c, doing, func(ctx context.Context) (grants.Token, error) {
		t, err := creds.Token(ctx)
		if err != nil {
			return grants.Token{}, loginError{err}
		}
		if t.Expiry.IsZero() || t.Value == "" {
			return grants.Token{}, errors.New("the answer has no token, or one without an end")
		}
		return grants.Token{Value: secret.New(t.Value), Expires: t.Expiry.Truncate(time.Second)}, nil
	})
	if fault.Local(err) { // to the operator it is not the login
		err = fmt.Errorf("%s %s: %w", doing.doing, doing.on, err)
	}
	return fetched, err
}

func keyFault(err error) error {
	// The library's error says what is wrong with the file, and nothing of what is in it.
	return fault.New(fault.Invalid, "reading a service account key: %w", err)
}

func keyEmail(keyJSON secret.String) string {
	var f struct {
		Email string `json:"client_email"`
	}
	if json.Unmarshal([]byte(keyJSON.Reveal()), &f) != nil || f.Email == "" {
		return "a service account"
	}
	return f.Email
}
