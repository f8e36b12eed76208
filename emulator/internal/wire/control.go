package wire

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/internal/secret"
)

// The control API is what is under /_emulator/ on a loopback address: it moves the
// clock, and makes calls fail on purpose. It takes a token of its own, because to make Google Cloud misbehave is no
// right of anybody in it. What it sets belongs to the process and ends with it; what
// followed from it, such as when an account becomes visible, is part of the state.

// controlSchema begins the schema of each document of the control API. Fields are only
// ever added to a version.
const controlSchema = "taskiam.emulator."

// control serves the control API. It reports whether the request was for it.
func (s *Server) control(w http.ResponseWriter, r *http.Request) bool {
	name, ok := strings.CutPrefix(r.URL.Path, "/_emulator/")
	if !ok {
		return false
	}
	route := r.Method + " " + name
	if route == "GET health" {
		s.write(w, http.StatusOK, jsonHeader(), []byte(`{"status":"ok"}`+"\n"))
		return true
	}
	c := &control{server: s, r: r, path: name, body: http.MaxBytesReader(w, r.Body, 1<<20)}
	// The operator may read the state and the clock, and wait; everything else needs the control token.
	allowed := s.isController(r) || (route == "GET snapshot" || route == "GET clock" || route == "POST clock") &&
		s.isOperator(r)
	if !allowed {
		s.answerError(w, r, "", unauthenticated("emulator", "CREDENTIALS_MISSING",
			"The control token is required; for clock and snapshot, the operator's will do."))
		return true
	}
	v, err := c.serve()
	if err != nil {
		s.answerError(w, r, "", err)
		return true
	}
	header, body := jsonHeader(), []byte(nil)
	switch v := v.(type) {
	case []byte:
		body = v
	case string:
		header, body = http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, []byte(v)
	default:
		if body, err = json.MarshalIndent(v, "", "  "); err != nil {
			s.answerError(w, r, "", err)
			return true
		}
		body = append(body, '\n')
	}
	s.write(w, http.StatusOK, header, body)
	return true
}

// isController reports whether the request carries the control token.
func (s *Server) isController(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.ControlToken.Reveal())) == 1
}

// isOperator reports whether the request carries a live token of the operator's.
func (s *Server) isOperator(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.state.Tokens[iam.TokenHash(token)]
	if t == nil || t.Expired(s.Now()) {
		return false
	}
	p := s.state.PrincipalOf(t, s.Now())
	return p != nil && p.Member == s.state.Operator
}

// ControlToken returns the bearer token of the control API.
func (s *Server) ControlToken() secret.String { return s.cfg.ControlToken }

// SetControlToken sets the token of the control API, before calls are served.
func (s *Server) SetControlToken(token secret.String) { s.cfg.ControlToken = token }

// control is one request to the control API.
type control struct {
	server *Server
	r      *http.Request
	path   string // below /_emulator/
	name   string // what the path names: a fault, a snapshot
	body   io.Reader
}

// serve answers with a document to be encoded, with JSON as []byte, or with text.
func (c *control) serve() (any, error) {
	kind, name, named := strings.Cut(c.path, "/")
	if named && name == "" {
		return nil, Invalid("A name is expected after %s/.", kind)
	}
	c.name = name
	route := c.r.Method + " " + kind
	if named {
		route += "/{name}"
	}
	if endpoint := controlEndpoints[route]; endpoint != nil {
		return endpoint(c)
	}
	return nil, NotFound("The emulator has no endpoint %s %s.", c.r.Method, c.path)
}

// controlEndpoints are the endpoints of the control API.
var controlEndpoints = map[string]func(c *control) (any, error){
	"GET clock":               (*control).clock,
	"POST clock":              (*control).setClock,
	"GET lag":                 (*control).lag,
	"PUT lag":                 (*control).setLag,
	"GET quotas":              (*control).quotas,
	"PUT quotas":              (*control).setQuotas,
	"GET faults":              (*control).faults,
	"POST faults":             (*control).addFault,
	"DELETE faults":           (*control).removeFault,
	"DELETE faults/{name}":    (*control).removeFault,
	"POST release":            (*control).release,
	"GET snapshot":            func(c *control) (any, error) { return c.server.Snapshot() },
	"GET snapshots":           (*control).listSnapshots,
	"POST snapshots/{name}":   (*control).keepSnapshot,
	"GET snapshots/{name}":    func(c *control) (any, error) { return c.server.snapshots.get(c.name) },
	"DELETE snapshots/{name}": func(c *control) (any, error) { return struct{}{}, c.server.snapshots.drop(c.name) },
	"GET diff":                (*control).diff,
}

func (c *control) setLag() (any, error) {
	var lag Lag
	if err := decodeControl(c.body, &lag); err != nil {
		return nil, err
	}
	c.server.SetLag(lag)
	return c.lag()
}

func (c *control) setQuotas() (any, error) {
	var quotas Quotas
	if err := decodeControl(c.body, &quotas); err != nil {
		return nil, err
	}
	if min(quotas.IAMWrites, quotas.AccountCreations, quotas.BucketUpdates, quotas.DatasetUpdates) < 0 {
		return nil, Invalid("A quota must not be negative.")
	}
	c.server.SetQuotas(quotas)
	return c.quotas()
}

func (c *control) addFault() (any, error) {
	var f Fault
	if err := decodeControl(c.body, &f); err != nil {
		return nil, err
	}
	if _, err := c.server.AddFault(f); err != nil {
		return nil, Invalid("%v", err)
	}
	return c.faults()
}

// removeFault removes the rule of a name, or all rules.
func (c *control) removeFault() (any, error) {
	if !c.server.RemoveFault(c.name) && c.name != "" {
		return nil, NotFound("There is no fault %q.", c.name)
	}
	return c.faults()
}

func (c *control) release() (any, error) {
	c.server.Release()
	return c.faults()
}

func (c *control) listSnapshots() (any, error) {
	return struct {
		Schema    string   `json:"schema"`
		Snapshots []string `json:"snapshots"`
	}{controlSchema + "snapshots/v1", c.server.snapshots.names()}, nil
}

func (c *control) keepSnapshot() (any, error) {
	snapshot, err := c.server.Snapshot()
	if err != nil {
		return nil, err
	}
	return snapshot, c.server.snapshots.keep(c.name, snapshot)
}

// decodeControl reads a request's body strictly: a misspelt fault must not be taken for
// none.
func decodeControl(body io.Reader, v any) error {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil && dec.More() {
		err = errors.New("there is more than one value")
	}
	if err != nil {
		return Invalid("Reading the request: %v", err)
	}
	return nil
}

type clockDocument struct {
	Schema  string    `json:"schema"`
	Now     time.Time `json:"now"`
	Stopped bool      `json:"stopped"`
}

func (c *control) clock() (any, error) {
	return clockDocument{controlSchema + "clock/v1", c.server.Now().UTC(), c.server.clock.stands()}, nil
}

// setClock does what the request names: it stops or starts the clock, sets it, and moves
// it forward, in this order.
func (c *control) setClock() (any, error) {
	var in struct {
		Advance string    `json:"advance"`
		Set     time.Time `json:"set"`
		Stopped *bool     `json:"stopped"`
	}
	if err := decodeControl(c.body, &in); err != nil {
		return nil, err
	}
	var by time.Duration
	if in.Advance != "" {
		var err error
		if by, err = time.ParseDuration(in.Advance); err != nil || by < 0 {
			return nil, Invalid("%q is no duration such as 90m.", in.Advance)
		}
	}
	if in.Advance == "" && in.Set.IsZero() && in.Stopped == nil {
		return nil, Invalid("A body such as %s, %s or %s is expected.",
			`{"advance":"2h"}`, `{"set":"2030-01-01T00:00:00Z"}`, `{"stopped":true}`)
	}
	switch {
	case in.Stopped == nil:
	case *in.Stopped:
		c.server.StopClock()
	default:
		c.server.StartClock()
	}
	if !in.Set.IsZero() {
		c.server.SetTime(in.Set)
	}
	c.server.Advance(by)
	return c.clock()
}

type lagDocument struct {
	Schema string `json:"schema"`
	Lag
}

func (c *control) lag() (any, error) {
	return lagDocument{controlSchema + "lag/v1", c.server.Lag()}, nil
}

type quotasDocument struct {
	Schema string `json:"schema"`
	Quotas
}

func (c *control) quotas() (any, error) {
	return quotasDocument{controlSchema + "quotas/v1", c.server.Quotas()}, nil
}

type faultsDocument struct {
	Schema string        `json:"schema"`
	Faults []FaultStatus `json:"faults"`
}

func (c *control) faults() (any, error) {
	return faultsDocument{controlSchema + "faults/v1", c.server.Faults()}, nil
}

type diffDocument struct {
	Schema  string   `json:"schema"`
	Equal   bool     `json:"equal"`
	Changes []change `json:"changes"`
}

// diff compares the snapshot named by from with that named by to, or with the state as
// it is now. With format=text it answers lines for people to read.
func (c *control) diff() (any, error) {
	q := c.r.URL.Query()
	before, err := c.server.snapshots.get(q.Get("from"))
	if err != nil {
		return nil, err
	}
	var after []byte
	if to := q.Get("to"); to != "" {
		after, err = c.server.snapshots.get(to)
	} else {
		after, err = c.server.Snapshot()
	}
	if err != nil {
		return nil, err
	}
	if q.Get("format") == "text" {
		return Diff(before, after), nil
	}
	changes, err := changesOf(before, after)
	if err != nil {
		return nil, err
	}
	return diffDocument{controlSchema + "diff/v1", len(changes) == 0, changes}, nil
}
