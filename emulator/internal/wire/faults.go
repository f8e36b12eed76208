package wire

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is a rule that makes calls go wrong. A call matches if method and resource fit; the
// rule applies to those matches that Nth, Every, Probability and Count all leave. A rule
// with none of the four applies to every match.
type Fault struct {
	// Name tells rules apart; if it is empty, one is given.
	Name string `json:"name,omitempty"`
	// Method is a pattern over method ids as Google's discovery documents have them:
	// "storage.objects.get", "*.setIamPolicy". Empty is every method.
	Method string `json:"method,omitempty"`
	// Resource is a part of the request's path, unescaped. Empty is every path.
	Resource string `json:"resource,omitempty"`

	// Nth applies the rule to that match alone, counted from 1; FaultFreeze begins there.
	Nth int `json:"nth,omitempty"`
	// Every applies the rule to each match whose number it divides.
	Every int `json:"every,omitempty"`
	// Probability applies the rule to a match by chance, in a sequence that Seed starts.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	// Count is how often the rule applies at most; 0 is without end.
	Count int `json:"count,omitempty"`

	// Do is what happens.
	Do FaultKind `json:"do"`
	// After lets the call be applied first, so that its answer alone is lost.
	After bool `json:"after,omitempty"`
	// Code is the HTTP status of FaultAnswer: 400, 401, 403, 404, 409, 412, 429, 500, 502,
	// 503 or 504. The error is in the shape that the called service gives it.
	Code int `json:"code,omitempty"`
	// RetryAfter is what FaultAnswer says in the header of that name and, where the service's
	// errors have details, in a RetryInfo, in whole seconds; 0 leaves both out.
	RetryAfter Delay `json:"retry_after,omitzero"`
	// Spare is a part of the titles of conditions that FaultLossy leaves; empty spares none.
	Spare string `json:"spare,omitempty"`
	// For is how long FaultDelay waits. A range is drawn from in the sequence of Seed.
	For Delay `json:"for,omitzero"`
}

// FaultKind is what a [Fault] does to a call.
type FaultKind string

// The kinds of faults. FaultDelay and FaultLossy let the call go on, and several of them can
// apply to one call. Of the others, the first that was added and applies ends the call.
const (
	// FaultAnswer answers with an error.
	FaultAnswer FaultKind = "answer"
	// FaultHang holds the call until its client gives up, or until it is released; then
	// it goes on.
	FaultHang FaultKind = "hang"
	// FaultReset breaks the connection without an answer.
	FaultReset FaultKind = "reset"
	// FaultDelay waits.
	FaultDelay FaultKind = "delay"
	// FaultFreeze holds this call and each that comes later, of whatever method, until
	// they are released.
	FaultFreeze FaultKind = "freeze"
	// FaultKill calls Config.Kill, then breaks the connection.
	FaultKill FaultKind = "kill"
	// FaultLossy drops the conditions of a policy that is set, and says nothing.
	FaultLossy FaultKind = "lossy"
)

// Check refuses a rule that could never mean anything.
func (f Fault) Check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("fault %q: %s", f.Name, fmt.Sprintf(format, args...))
	}
	if _, err := path.Match(f.Method, ""); err != nil {
		return wrong("the method pattern %q is malformed", f.Method)
	}
	if f.Nth < 0 || f.Every < 0 || f.Count < 0 || f.Probability < 0 || f.Probability > 1 {
		return wrong("nth, every and count are not negative, probability is from 0 to 1")
	}
	switch f.Do {
	case FaultAnswer:
		if _, ok := faultAnswers[f.Code]; !ok {
			return wrong("there is no answer of code %d", f.Code)
		}
	case FaultDelay:
		if f.For == (Delay{}) {
			return wrong("it says not for how long")
		}
	case FaultLossy:
		if f.After {
			return wrong("conditions are lost before the policy is set")
		}
	case FaultHang, FaultReset, FaultFreeze, FaultKill:
	default:
		return wrong("there is no fault %q", f.Do)
	}
	return nil
}

// rule is a fault in use.
type rule struct {
	Fault
	released chan struct{} // closed to release what it holds
	matches  int
	applied  int
	source   *rand.Rand
}

// faults are the rules, in the order in which they were added.
type faults struct {
	some atomic.Bool // whether there is anything to look at: rules, or a frozen emulator

	mu     sync.Mutex
	rules  []*rule
	named  int           // how many names were given
	frozen chan struct{} // closed to go on; nil if not frozen
}

// AddFault adds a rule and returns its name. It is an error if the rule makes no sense
// or its name is taken.
func (s *Server) AddFault(f Fault) (name string, err error) {
	if err := f.Check(); err != nil {
		return "", err
	}
	fs := &s.faults
	fs.mu.Lock()
	defer fs.mu.Unlock()
	taken := func(name string) bool {
		return slices.ContainsFunc(fs.rules, func(r *rule) bool { return r.Name == name })
	}
	if taken(f.Name) {
		return "", fmt.Errorf("fault %q is there already", f.Name)
	}
	for f.Name == "" || taken(f.Name) {
		fs.named++
		f.Name = "fault-" + strconv.Itoa(fs.named)
	}
	fs.rules = append(fs.rules, &rule{Fault: f, released: make(chan struct{}),
		source: rand.New(rand.NewPCG(f.Seed, 1))})
	fs.some.Store(true)
	return f.Name, nil
}

// RemoveFault removes the rule of that name, or all of them if it is "", and releases the
// calls that they hold. It reports whether there was such a rule.
func (s *Server) RemoveFault(name string) bool {
	fs := &s.faults
	fs.mu.Lock()
	defer fs.mu.Unlock()
	found := false
	fs.rules = slices.DeleteFunc(fs.rules, func(r *rule) bool {
		if name != "" && r.Name != name {
			return false
		}
		found = true
		close(r.released)
		return true
	})
	if name == "" {
		fs.thaw()
	}
	fs.some.Store(len(fs.rules) > 0 || fs.frozen != nil)
	return found
}

// Release releases every call that a rule holds, and ends a freeze. The rules stay.
func (s *Server) Release() {
	fs := &s.faults
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, r := range fs.rules {
		close(r.released)
		r.released = make(chan struct{})
	}
	fs.thaw()
	fs.some.Store(len(fs.rules) > 0)
}

func (fs *faults) thaw() {
	if fs.frozen != nil {
		close(fs.frozen)
		fs.frozen = nil
	}
}

// FaultStatus is a rule, and how often it was used.
type FaultStatus struct {
	Fault
	Matches int `json:"matches"` // calls that fit
	Applied int `json:"struck"`  // of these, to how many it was applied
}

// Faults returns the rules in the order in which they were added.
func (s *Server) Faults() []FaultStatus {
	fs := &s.faults
	fs.mu.Lock()
	defer fs.mu.Unlock()
	out := []FaultStatus{}
	for _, r := range fs.rules {
		out = append(out, FaultStatus{Fault: r.Fault, Matches: r.matches, Applied: r.applied})
	}
	return out
}

// appliedFault is a rule that applies to a call.
type appliedFault struct {
	Fault
	wait     time.Duration
	released <-chan struct{}
}

// applying returns the rules that apply to a call of the method.
func (fs *faults) applying(m *Method, r *http.Request) []appliedFault {
	if !fs.some.Load() {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var out []appliedFault
	if fs.frozen != nil {
		out = append(out, appliedFault{Fault: Fault{Name: "frozen", Do: FaultHang}, released: fs.frozen})
	}
	ended := false
	for _, rl := range fs.rules {
		if ok, _ := path.Match(rl.Method, m.ID); rl.Method != "" && !ok || !strings.Contains(r.URL.Path, rl.Resource) {
			continue
		}
		rl.matches++
		if ended && !rl.passes() || !rl.due() {
			continue
		}
		rl.applied++
		hit := appliedFault{Fault: rl.Fault, wait: rl.draw(rl.For), released: rl.released}
		if rl.Do == FaultFreeze {
			if fs.frozen == nil {
				fs.frozen = make(chan struct{})
			}
			hit.released = fs.frozen
		}
		ended = ended || !rl.passes()
		out = append(out, hit)
	}
	return out
}

// passes reports whether the call goes on by itself.
func (f Fault) passes() bool { return f.Do == FaultDelay || f.Do == FaultLossy }

// due reports whether the rule applies to the match that was just counted.
func (r *rule) due() bool {
	return (r.Nth == 0 || r.matches == r.Nth) &&
		(r.Every == 0 || r.matches%r.Every == 0) &&
		(r.Count == 0 || r.applied < r.Count) &&
		(r.Probability == 0 || r.source.Float64() < r.Probability)
}

func (r *rule) draw(d Delay) time.Duration {
	if d.Max > d.Min {
		return d.Min + time.Duration(r.source.Int64N(int64(d.Max-d.Min)+1))
	}
	return d.Min
}

// applyFaults applies the rules that are for the time before the call is served, or after.
// It returns the answer to give instead of the call's own, if there is one. It reports false
// if the client no longer waits. A broken connection is a panic with [http.ErrAbortHandler].
func (s *Server) applyFaults(c *Call, rules []appliedFault, after bool) (answer *Error, waits bool) {
	for _, hit := range rules {
		if hit.After != after {
			continue
		}
		c.fault = hit.Name
		switch hit.Do {
		case FaultDelay:
			if !waited(c.Request.Context(), hit.wait) {
				return nil, false
			}
		case FaultHang, FaultFreeze:
			select {
			case <-hit.released:
			case <-c.Request.Context().Done():
				return nil, false
			}
		case FaultReset:
			s.abort(c)
		case FaultKill:
			s.cfg.Kill()
			s.abort(c)
		case FaultAnswer:
			return faultAnswer(c.Method.Host, s.errorForm(c.Method.Host, c.Request), hit.Fault), true
		case FaultLossy:
			c.Body = withoutConditions(c.Body, hit.Spare)
		}
	}
	return nil, c.Request.Context().Err() == nil
}

// abort breaks the connection of a call.
func (s *Server) abort(c *Call) {
	s.record(c, 0)
	panic(http.ErrAbortHandler)
}

// faultAnswers are the errors that [FaultAnswer] can give, as transcoded gRPC words them.
var faultAnswers = map[int]struct{ status, reason, message string }{
	400: {"INVALID_ARGUMENT", "invalid", "Request contains an invalid argument."},
	401: {"UNAUTHENTICATED", "authError", invalidCredentials},
	403: {"PERMISSION_DENIED", "forbidden", "The caller does not have permission"},
	404: {"NOT_FOUND", "notFound", "Requested entity was not found."},
	409: {"ABORTED", "conflict", "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."},
	412: {"FAILED_PRECONDITION", "conditionNotMet", "At least one of the pre-conditions you specified did not hold."},
	429: {"RESOURCE_EXHAUSTED", "rateLimitExceeded", "Quota exceeded for this request."},
	500: {"INTERNAL", "backendError", "Internal error encountered."},
	502: {"UNAVAILABLE", "backendError", "Bad gateway."},
	503: {"UNAVAILABLE", "backendError", "The service is currently unavailable."},
	504: {"DEADLINE_EXCEEDED", "backendError", "The request timed out."},
}

// oauthFaults are what the token endpoint says instead.
var oauthFaults = map[int]string{
	400: "invalid_grant", 401: "unauthorized_client", 403: "access_denied", 429: "rate_limit_exceeded",
}

// faultAnswer is the error of f in the shape of the service at host.
func faultAnswer(host string, form ErrorForm, f Fault) *Error {
	of := faultAnswers[f.Code]
	e := Fail(f.Code, of.status, of.reason, "%s", of.message)
	if f.Code == http.StatusTooManyRequests && form != StorageErrors && form != LegacyErrors {
		e = e.WithDetails(ErrorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]string{"service": host}))
	}
	if form == OAuthErrors {
		if e.oauth = oauthFaults[f.Code]; e.oauth == "" {
			e.oauth = "internal_failure"
		}
	}
	if f.RetryAfter != (Delay{}) {
		seconds := strconv.Itoa(int(f.RetryAfter.Min.Seconds()))
		e.Header = http.Header{"Retry-After": {seconds}}
		if form != StorageErrors && form != LegacyErrors && form != OAuthErrors {
			e = e.WithDetails(map[string]any{
				"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds + "s",
			})
		}
	}
	return e
}

// withoutConditions returns the body of a request that sets a policy, in whichever form
// the service takes it, without its conditions, but for those with a title that has spare in
// it. Any other body stays as it is.
func withoutConditions(body []byte, spare string) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return body
	}
	if policy, ok := fields["policy"]; ok {
		fields["policy"] = withoutConditions(policy, spare)
	}
	for _, name := range []string{"bindings", "access"} {
		var entries []map[string]json.RawMessage
		if json.Unmarshal(fields[name], &entries) != nil || entries == nil {
			continue
		}
		for _, e := range entries {
			var c struct{ Title string }
			if spare == "" || json.Unmarshal(e["condition"], &c) != nil || !strings.Contains(c.Title, spare) {
				delete(e, "condition")
			}
		}
		if raw, err := json.Marshal(entries); err == nil {
			fields[name] = raw
		}
	}
	lost, err := json.Marshal(fields)
	if err != nil {
		return body
	}
	return lost
}
