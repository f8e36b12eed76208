// Package gcp is the only package that speaks to Google Cloud. It offers verbs, such
// as creating an account or writing a policy, and no workflow: what follows what, and
// what a failure means for a run, is for its callers to know.
//
// Every call goes through one retry loop ([Client]'s, in retry.go) and every error is
// classified exactly once into a [fault.Error] (classify.go), by code, status and
// reason and never by text. URLs are always those of production; [Config.EmulatorHost]
// changes where they lead, not what they say, so that no code is taken by tests alone.
//
// The package knows nothing of manifests, journals, plans or the command line, and it
// prints nothing.
package gcp

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	credentials "cloud.google.com/go/iam/credentials/apiv1"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

// Config says how a [Client] reaches Google, and as whom.
type Config struct {
	// Transport carries the requests; nil is a copy of [http.DefaultTransport] that
	// keeps enough connections for everything that taskiam does side by side.
	Transport http.RoundTripper
	// EmulatorHost is the host:port of an emulator, as in TASKIAM_EMULATOR_HOST. If
	// set, every request goes there over plain HTTP, with its Host header kept.
	EmulatorHost string
	// Credential is the operator's login. Nil leaves only the calls that need none.
	Credential TokenSource
	// QuotaProject is who pays for the calls of application default credentials, as in
	// GOOGLE_CLOUD_QUOTA_PROJECT; "" leaves it to the credentials' file.
	QuotaProject string
	// LoginFile is what GOOGLE_APPLICATION_CREDENTIALS names, "" if it is not set: for hints alone.
	LoginFile string
	// Reason is sent as X-Goog-Request-Reason, which Google's audit logs record.
	Reason string
	// UserAgent is sent with every request, such as taskiam/1.2.0.
	UserAgent string
	// Progress is told about waits, if it is set. It is called from several goroutines.
	Progress func(Event)
	// Trace is told about every request, if it is set. It is called from several goroutines.
	Trace func(Call)
	// OperatorMember is who the operator is, as policies say it. It stands in for
	// asking Google, which cannot name a federated identity.
	OperatorMember string
}

// Event is a wait before a call is tried again.
type Event struct {
	Op      string        // what is being done: "creating service account"
	Object  string        // to what: "ti-report-0… in project p"
	Attempt int           // how many times it has been tried, from 1
	Wait    time.Duration // how long until the next try
	Err     error         // why the last try failed, classified
}

// TokenSource supplies the access token of one principal. It is called for every
// request, from several goroutines, and is to keep its token while that is good.
type TokenSource interface {
	Token(ctx context.Context) (secret.String, error)
}

// Client speaks to Google as one principal. It may be used by several goroutines.
//
// Its methods try again by themselves where Google asks for that, and all of them
// can safely be repeated after an answer was lost; each says what a repetition finds.
// A stale etag is not tried again, since only the caller can repeat the whole
// read-modify-write.
type Client struct {
	cfg  Config
	base *dated // shared by every Client that As makes of this one

	as    *http.Client // sends the principal's token
	plain *http.Client // sends none: for endpoints that are handed one, or that make one

	// Made on first use: a command that makes no call pays for no client.
	iam    func() (*iam.Service, error)
	minter func() (*credentials.IamCredentialsClient, error)

	retry retry
}

// New returns a client. It makes no call.
func New(cfg Config) (*Client, error) {
	if cfg.EmulatorHost != "" {
		if _, port, err := net.SplitHostPort(cfg.EmulatorHost); err != nil || port == "" {
			return nil, fault.New(fault.Usage, "%q is not the host:port of an emulator", cfg.EmulatorHost)
		}
	}
	if strings.ContainsFunc(cfg.Reason, isControl) {
		return nil, fault.New(fault.Usage,
			"the reason %q has a control character, which no HTTP header takes", cfg.Reason)
	}
	return newClient(cfg, &dated{base: newTransport(cfg)}), nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func newClient(cfg Config, base *dated) *Client {
	c := &Client{
		cfg:   cfg,
		base:  base,
		as:    httpClient(cfg, base, cfg.Credential),
		plain: httpClient(cfg, base, anonymous{}),
		retry: retry{
			attempts: maxAttempts, throttledFor: throttledFor, timeout: attemptTimeout,
			jitter: rand.N[time.Duration], progress: cfg.Progress,
		},
	}
	c.iam = sync.OnceValues(func() (*iam.Service, error) {
		return iam.NewService(context.Background(), c.options("https://iam.googleapis.com/")...)
	})
	c.minter = sync.OnceValues(func() (*credentials.IamCredentialsClient, error) {
		options := c.options("https://iamcredentials.googleapis.com")
		m, err := credentials.NewIamCredentialsRESTClient(context.Background(), options...)
		if err != nil {
			return nil, err
		}
		// The library's own retries and timeouts go: there is one loop, and it is ours.
		m.CallOptions.GenerateAccessToken = nil
		m.CallOptions.GenerateIdToken = nil
		return m, nil
	})
	return c
}

// options pins what Google's clients would otherwise take from the environment: the
// endpoint, and a debug log that would hold tokens.
func (c *Client) options(endpoint string) []option.ClientOption {
	return []option.ClientOption{
		option.WithHTTPClient(c.as),
		option.WithEndpoint(endpoint),
		option.WithLogger(slog.New(slog.DiscardHandler)),
	}
}

// As returns a client that is the same in all but who it speaks for. Connections
// are shared.
func (c *Client) As(src TokenSource) *Client {
	cfg := c.cfg
	cfg.Credential = src
	cfg.OperatorMember = ""
	other := newClient(cfg, c.base)
	other.retry = c.retry
	return other
}

// Cloud returns the name and the endpoint of what this client speaks to:
// "google" and "googleapis.com", or "emulator" and its host:port.
func (c *Client) Cloud() (name, endpoint string) { return CloudAt(c.cfg.EmulatorHost) }

// CloudAt returns what [Client.Cloud] does for a client with this [Config.EmulatorHost].
func CloudAt(emulatorHost string) (name, endpoint string) {
	if emulatorHost != "" {
		return "emulator", emulatorHost
	}
	return "google", "googleapis.com"
}
