package emulator

import (
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// method is one API method.
type method struct {
	id      string // as in Google's discovery documents: "storage.objects.get"
	host    string // the production host: "storage.googleapis.com"
	pattern string // "GET /storage/v1/b/{bucket}/o/{object}"; {name...} takes the rest; a custom verb is a suffix: "{topic}:publish"
	writes  bool   // holds the lock alone
	public  bool   // served without a caller, such as the token endpoint
	always  bool   // served in projects whose API is not enabled too
	colons  bool   // the last part of its path may contain ":"
	// refuse writes a refusal that the emulator makes instead of the method; nil is the form
	// of the service's errors.
	refuse func(*apiError) (any, error)
	// serve answers the call: with a value to be encoded as JSON, a *rawAnswer, or an *apiError.
	serve func(c *call) (any, error)
}

// catchAll reports whether the method takes every path: what else fits one comes first.
func (m *method) catchAll() bool { return strings.HasSuffix(m.pattern, "...}") }

// updates reports whether the method changes the metadata of a resource that is there.
func (m *method) updates() bool {
	return slices.Contains([]string{"patch", "update", "setIamPolicy"}, m.id[strings.LastIndex(m.id, ".")+1:])
}

// rawAnswer is an answer that is not JSON, or that needs headers of its own.
type rawAnswer struct {
	code   int // 0 means 200
	header http.Header
	body   []byte
}

// call is one request to a method, with the state locked as the method asked.
type call struct {
	server *wireServer
	method *method
	r      *http.Request
	body   []byte
	vars   map[string]string // path variables, unescaped
	caller *principal        // nil for public methods
	now    time.Time

	decisions []decision // what was asked of IAM, for the request log
	fault     string     // the rule that was applied, for the request log
}

// state returns what the methods work on.
func (c *call) state() *state { return c.server.state }

// company returns what IAM knows.
func (c *call) company() *company { return &c.server.state.company }

// decode reads the JSON body into v. An empty body leaves v as it is.
func (c *call) decode(v any) error {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		return invalid("Invalid JSON payload received. %v", err)
	}
	return nil
}

// query returns the named query parameter, or "".
func (c *call) query(name string) string { return c.r.URL.Query().Get(name) }

// decide answers whether the caller holds permission on n.
func (c *call) decide(permission string, n node, attributes map[string]any) decision {
	return c.company().decide(c.caller, permission, n, c.now, attributes)
}

// may reports whether the caller holds the permission on n.
func (c *call) may(permission string, n node) bool {
	return c.decide(permission, n, nil).allowed
}

// require returns nil if the caller holds the permission on n, else the 403 that
// Google answers. The decision goes into the request log.
func (c *call) require(permission string, n node) error {
	return c.requireWith(permission, n, nil)
}

// requireWith is require with API attributes, as api.getAttribute reads them.
func (c *call) requireWith(permission string, n node, attributes map[string]any) error {
	d := c.decide(permission, n, attributes)
	c.decisions = append(c.decisions, d)
	if d.allowed {
		return nil
	}
	return c.state().denied(c.method.host, c.caller, permission, n)
}

// baseURL is where the client believes the API to be, without a trailing slash, for
// the absolute links in answers: a production name, or the emulator's own address.
func (c *call) baseURL() string {
	host := requestHost(c.r)
	if c.host() == "" && c.r.TLS == nil {
		return "http://" + host
	}
	return "https://" + host
}

// host is the service that the request's host names; "" for an address that all services
// share.
func (c *call) host() string {
	host, _ := c.server.router.service(requestHost(c.r))
	return host
}

// newKey makes an RSA key.
func (c *call) newKey() (*rsa.PrivateKey, error) { return c.server.cfg.NewKey() }

// checkDue makes the next call look for what has become due.
func (c *call) checkDue() { c.server.checkDue() }
