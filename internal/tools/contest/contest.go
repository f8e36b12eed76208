// Package contest watches many writers edit the same policies, and plays one of them.
//
// A [Watch] is a handler in front of an emulator. It records the versions of every policy,
// counts the writes that were tried, and checks each write that was accepted: it may change
// what belongs to its writer, and nothing else. So a lost update is seen when it happens. A
// [Neighbour] edits the policies all the time, and keeps a log of what they must contain.
//
// The package is for tests and benchmarks. It knows the form of Google's policies, and
// nothing about how the other writers edit them.
package contest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/wait"
)

// Agent is the User-Agent of the neighbours.
const Agent = "neighbour"

// Count says how the writes of policies ended.
type Count struct {
	Tried, Done int
	// Lost are the writes that came too late: the policy had changed since it was read.
	Lost int
	// Interfered are the lost writes where only neighbours had changed it.
	Interfered int
	// Throttled are the writes that a quota refused.
	Throttled int
}

// PerDone is how many writes were tried for one that was done.
func (c Count) PerDone() float64 { return float64(c.Tried) / float64(max(1, c.Done)) }

// PerDoneAlone is PerDone without the writes that only neighbours made fail.
func (c Count) PerDoneAlone() float64 {
	return float64(c.Tried-c.Interfered) / float64(max(1, c.Done))
}

func (c Count) plus(o Count) Count {
	return Count{c.Tried + o.Tried, c.Done + o.Done, c.Lost + o.Lost, c.Interfered + o.Interfered,
		c.Throttled + o.Throttled}
}

// String returns the counts in words.
func (c Count) String() string {
	return fmt.Sprintf("%d writes tried, %d done (%.2f per done; %.2f without the neighbour), %d lost, %d of them to "+
		"the neighbour, %d throttled",
		c.Tried, c.Done, c.PerDone(), c.PerDoneAlone(), c.Lost, c.Interfered, c.Throttled)
}

// Watch is a handler that passes every call on to an emulator.
type Watch struct {
	next http.Handler
	rtt  time.Duration

	mu         sync.Mutex // guards what follows
	policies   map[string]*history
	violations []string
}

// history is the history of one policy.
type history struct {
	writing chan struct{} // of one place: one write at a time, so that their order is known
	entries map[string]bool
	versions
	ours, theirs Count
}

// versions are the etags that a policy had, the latest last, and who wrote them.
type versions []version

type version struct {
	etag      string
	neighbour bool
}

// New returns a watch in front of the emulator's handler. It waits for a round trip before
// each call.
func New(next http.Handler, rtt time.Duration) *Watch {
	return &Watch{next: next, rtt: rtt, policies: map[string]*history{}}
}

// Ours returns how the writes of everybody but the neighbours ended, by policy.
func (w *Watch) Ours() map[string]Count {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]Count{}
	for name, p := range w.policies {
		if p.ours.Tried > 0 {
			out[name] = p.ours
		}
	}
	return out
}

// Total returns the sums, of our writes and of the neighbours'.
func (w *Watch) Total() (ours, theirs Count) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.policies {
		ours, theirs = ours.plus(p.ours), theirs.plus(p.theirs)
	}
	return ours, theirs
}

// Violations describes the writes that changed what was not their writer's.
func (w *Watch) Violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.violations)
}

// editing matches the URLs of policies, and of the datasets that hold access lists.
var editing = regexp.MustCompile(
	`^/(?:storage/v1/b/[^/]+/iam|bigquery/v2/projects/[^/]+/datasets/[^/]+|[^:]*:[gs]etIamPolicy)$`)

// ServeHTTP passes a call on.
func (w *Watch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if w.rtt > 0 && wait.For(r.Context(), w.rtt) != nil {
		return
	}
	// The policy of a service account is one run's alone.
	if !editing.MatchString(r.URL.Path) || strings.Contains(r.URL.Path, "/serviceAccounts/") {
		w.next.ServeHTTP(rw, r)
		return
	}
	name := r.Host + strings.NewReplacer(":getIamPolicy", "", ":setIamPolicy", "", "/iam", "").Replace(r.URL.Path)
	w.mu.Lock()
	p := w.policies[name]
	if p == nil {
		p = &history{writing: make(chan struct{}, 1)}
		w.policies[name] = p
	}
	w.mu.Unlock()
	write := r.Method == http.MethodPut || r.Method == http.MethodPatch ||
		strings.HasSuffix(r.URL.Path, ":setIamPolicy")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := &response{header: http.Header{}, code: http.StatusOK}
	w.next.ServeHTTP(answer, r)
	if write {
		w.took(name, p, r, body, answer)
	} else if answer.code == http.StatusOK {
		w.read(p, answer.body.Bytes())
	}
	maps.Copy(rw.Header(), answer.header)
	rw.WriteHeader(answer.code)
	_, _ = rw.Write(answer.body.Bytes()) // a client that has gone does not want it
}

// read begins the history of a policy that was not seen before.
func (w *Watch) read(p *history, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if etag, entries := decode(body); p.entries == nil {
		p.entries = entries
		p.versions = append(p.versions, version{etag, false})
	}
}

// took counts a write, and checks what it changed.
func (w *Watch) took(name string, p *history, r *http.Request, sent []byte, answer *response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	neighbour := strings.Contains(r.UserAgent(), Agent)
	count := &p.ours
	if neighbour {
		count = &p.theirs
	}
	count.Tried++
	switch answer.code {
	case http.StatusOK:
		count.Done++
		etag, entries := decode(answer.body.Bytes())
		if p.entries != nil {
			w.judge(name, neighbour, p.entries, entries)
		}
		p.entries = entries
		p.versions = append(p.versions, version{etag, neighbour})
	case http.StatusConflict, http.StatusPreconditionFailed:
		count.Lost++
		if p.onlyNeighbours(sentEtag(r, sent)) {
			count.Interfered++
		}
	case http.StatusTooManyRequests:
		count.Throttled++
	case http.StatusForbidden: // BigQuery's way to say so
		if bytes.Contains(answer.body.Bytes(), []byte("rateLimitExceeded")) {
			count.Throttled++
		}
	}
}

// onlyNeighbours reports whether neighbours alone have written since the version.
func (v versions) onlyNeighbours(since string) bool {
	for _, version := range slices.Backward(v) {
		if version.etag == since {
			return true
		}
		if !version.neighbour {
			return false
		}
	}
	return false
}

// account finds the accounts of runs.
var account = regexp.MustCompile(`ti-[a-z0-9-]+@`)

// judge records what a write changed that does not belong to its writer. Members of a
// neighbour are known by their addresses; any other writer may add or remove one account.
func (w *Watch) judge(name string, neighbour bool, before, after map[string]bool) {
	owner := ""
	for _, entry := range slices.Concat(missing(before, after), missing(after, before)) {
		mine := account.FindString(entry)
		switch {
		case neighbour && strings.Contains(entry, person):
		case !neighbour && mine != "" && (owner == "" || owner == mine):
			owner = mine
		default:
			w.violations = append(w.violations, fmt.Sprintf("%s: a write (of a neighbour: %t) changed %s", name,
				neighbour, entry))
		}
	}
}

// missing returns what is in one set and not in another.
func missing(in, from map[string]bool) []string {
	var out []string
	for e := range in {
		if !from[e] {
			out = append(out, e)
		}
	}
	return out
}

// document is a policy, or a dataset.
type document struct {
	Etag     string
	Bindings []struct {
		Role      string
		Members   []string
		Condition json.RawMessage
	}
	Access       []json.RawMessage
	AuditConfigs []json.RawMessage
}

// decode returns the etag of a policy, and one entry for each role that somebody has.
func decode(body []byte) (etag string, entries map[string]bool) {
	var d document
	if json.Unmarshal(body, &d) != nil {
		return "", nil
	}
	entries = map[string]bool{}
	for _, b := range d.Bindings {
		for _, m := range b.Members {
			entries[b.Role+" "+m+" "+string(b.Condition)] = true
		}
	}
	for _, e := range slices.Concat(d.Access, d.AuditConfigs) {
		entries[string(e)] = true
	}
	return d.Etag, entries
}

// sentEtag returns the version that a writer had read.
func sentEtag(r *http.Request, body []byte) string {
	if etag := r.Header.Get("If-Match"); etag != "" {
		return etag
	}
	var sent struct {
		Etag   string
		Policy struct{ Etag string }
	}
	_ = json.Unmarshal(body, &sent) // what has no etag has none
	return sent.Etag + sent.Policy.Etag
}

// response keeps an answer.
type response struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) WriteHeader(code int)        { r.code = code }
func (r *response) Write(b []byte) (int, error) { return r.body.Write(b) }
