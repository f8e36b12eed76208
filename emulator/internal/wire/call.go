package wire

import (
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Method is one API method.
type Method struct {
	ID   string // as in Google's discovery documents: "storage.objects.get"
	Host string // the production host: "storage.googleapis.com"
	// "GET /storage/v1/b/{bucket}/o/{object}"; {name...} takes the rest; a custom verb is a suffix: "{topic}:publish"
	Pattern string
	Writes  bool // holds the lock alone
	Alone   bool // holds the lock alone too, though it only reads: it may have to make what it shows
	Public  bool // served without a caller, such as the token endpoint
	Always  bool // served in projects whose API is not enabled too
	Colons  bool // the last part of its path may contain ":"
	// Bearer returns who makes a call that brings its identity in something else than an Authorization header with a
	// token: an address that is its own permission, say. It is nil for a method that knows nothing of the kind, and
	// returns nil for a call that brings none.
	Bearer func(c *Call) (*iam.Principal, error)
	// Large is a method whose request has content in its body, of any length: it is in Call.Content, not in Call.Body.
	Large bool
	// Open is a method that whoever has no login may call, too: as iam.Nobody, whom allUsers means.
	Open bool
	// OverGRPC is a method that Google has over gRPC alone: no other request reaches it.
	OverGRPC bool
	// Refuse writes a refusal that is made before the method is asked, or instead of it; nil is the form of the
	// service's errors.
	Refuse func(*Error) (any, error)
	// Serve answers the call: with a value to be encoded as JSON, a *Raw, or an error (an *Error for one of Google's).
	Serve func(c *Call) (any, error)
}

// CatchAll reports whether the method takes every path: what else fits one comes first.
func (m *Method) CatchAll() bool { return strings.HasSuffix(m.Pattern, "...}") }

// Updates reports whether the method changes the metadata of a resource that is there.
func (m *Method) Updates() bool {
	return slices.Contains([]string{"patch", "update", "setIamPolicy"}, m.ID[strings.LastIndex(m.ID, ".")+1:])
}

// Raw is an answer that is not JSON, or that needs headers of its own.
type Raw struct {
	Code   int // 0 means 200
	Header http.Header
	Body   []byte
	// Content follows the body; it is written as it is.
	Content Content
}

// Call is one request to a method, with the state locked as the method asked.
type Call struct {
	server  *Server
	Method  *Method
	Request *http.Request
	Body    []byte
	Content Content           // the body for methods that say so
	Vars    map[string]string // path variables, unescaped
	Caller  *iam.Principal    // nil for public methods
	Now     time.Time

	Decisions []iam.Decision // what was asked of IAM, for the request log
	keys      []*APIKey      // that came with it
	fault     string         // the rule that was applied, for the request log
	idle      bool
}

// State returns what the methods work on.
func (c *Call) State() *State { return c.server.state }

// Company returns what IAM knows.
func (c *Call) Company() *iam.Company { return &c.server.state.Company }

// Decode reads the JSON body into v. An empty body leaves v as it is.
func (c *Call) Decode(v any) error {
	if len(c.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.Body, v); err != nil {
		return Invalid("Invalid JSON payload received. %v", err)
	}
	return nil
}

// Query returns the named query parameter, or "".
func (c *Call) Query(name string) string { return c.Request.URL.Query().Get(name) }

// decide answers whether the caller holds permission on n.
func (c *Call) decide(permission string, n iam.Node, attributes map[string]any) iam.Decision {
	return c.Company().Decide(c.Caller, permission, n, c.Now, attributes)
}

// May reports whether the caller holds the permission on n.
func (c *Call) May(permission string, n iam.Node) bool {
	return c.decide(permission, n, nil).Allowed
}

// Require returns nil if the caller holds the permission on n, else the 403 that
// Google answers. The decision goes into the request log.
func (c *Call) Require(permission string, n iam.Node) error {
	return c.RequireWith(permission, n, nil)
}

// RequireWith is [Call.Require] with API attributes, as api.getAttribute reads them.
func (c *Call) RequireWith(permission string, n iam.Node, attributes map[string]any) error {
	d := c.decide(permission, n, attributes)
	c.Decisions = append(c.Decisions, d)
	if d.Allowed {
		return nil
	}
	return c.State().denied(c.Method.Host, c.Caller, permission, n)
}

// BaseURL is where the client believes the API to be, without a trailing slash, for
// the absolute links in answers: a production name, or the emulator's own address.
func (c *Call) BaseURL() string {
	host := requestHost(c.Request)
	if c.Host() == "" && c.Request.TLS == nil {
		return "http://" + host
	}
	return "https://" + host
}

// Host is the service that the request's host names; "" for an address that all services
// share.
func (c *Call) Host() string {
	host, _ := c.server.Router.service(requestHost(c.Request))
	return host
}

// NewKey makes an RSA key.
func (c *Call) NewKey() (*rsa.PrivateKey, error) { return c.server.cfg.NewKey() }

// CheckDue makes the next call look for what has become due.
func (c *Call) CheckDue() { c.server.checkDue() }
