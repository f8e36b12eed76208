// Package metadata speaks the protocol of Compute Engine's metadata server for one run,
// so that unmodified clients get the tokens of the run's account when they need them,
// and no file holds anything worth stealing. For clients that insist on a credential
// file, it also serves the endpoints that such a file, without a secret, sends them to
// (exchange.go).
//
// Its invariant: a token goes only to a request that carries the protocol's header, or a
// value that only such a request could have read; only for the run's own account, within
// the configured scopes and audiences; and never after the run's end. Anybody who can
// connect and knows the protocol gets a token, as on Google's machines: the listener
// decides who can connect.
//
// The package does not know where tokens come from: it has no file, no environment and no
// login. It never logs a token.
package metadata

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// Tokens makes the tokens that a [Server] hands out, and caches them: it is called for
// every request, from several goroutines.
type Tokens interface {
	// AccessToken returns an access token of the run's account with these scopes.
	AccessToken(ctx context.Context, scopes []string) (grants.Token, error)
	// IDToken returns an identity token of it for the audience.
	IDToken(ctx context.Context, audience string) (grants.Token, error)
}

// Config configures a [Server].
type Config struct {
	Run grants.RunID
	// Account is the run's: its email, its unique id and its project.
	Account grants.Account
	// ProjectNumber is the number of the account's project. If it is "", clients are told
	// 0, which no project has. gcloud recognises a metadata server only if the number
	// consists of digits, and no client uses it for anything else.
	ProjectNumber string
	// Scopes are the scopes of a token if the request names none, and the most that any
	// token carries; nil is cloud-platform. [Server] says how a request can narrow them.
	Scopes []string
	// Audiences are those that identity tokens may be made out to.
	Audiences []string
	// Hosts are the values of the Host header that are answered. A value with a port
	// allows that port alone, one without allows any. Every other value could come from a
	// web page whose own name resolves to this machine (DNS rebinding).
	Hosts []string
	// Tokens makes the tokens.
	Tokens Tokens
	// Expires is the end of the run, from shortly before which on no token is handed out. The
	// zero time is no end.
	Expires time.Time
	// Gone reports that the run is down, as far as can be seen at once. It is asked for each token; nil is never.
	Gone func() bool
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Log is called for tokens handed out and requests refused, from several goroutines.
	// If there are very many, some are left out ([Event.Unlogged]).
	Log func(Event)
}

// maxExpiresIn is the longest life that an answer claims for a token. Clients keep a token
// until shortly before its end, so this is how soon they ask again. It is not shorter,
// because most of Google's clients fetch another token at once if one has less than four
// or five minutes left.
const maxExpiresIn = 2 * time.Minute

// lastCall is how long before the end of the run its tokens end: nobody can use one that is shorter.
const lastCall = 3 * time.Second

// Server is the metadata server of one run.
//
// A request for a token may name scopes. The token gets those of them that are within the
// configured ones; if there are none, the request is refused. A scope is within if it is
// configured itself, or if it is a scope of Google Cloud and cloud-platform, which includes
// all of these, is configured. A request for cloud-platform gets the configured scopes.
type Server struct {
	cfg    Config
	tree   map[string]*node
	end    atomic.Pointer[time.Time]
	log    *logger
	closed atomic.Bool

	// The values that clients carry from one endpoint of the exchange to the next. They
	// are random, and of no use anywhere else.
	subject, exchanged string
}

// New returns the server of a run.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{cloudPlatform}
	}
	if cfg.ProjectNumber == "" {
		cfg.ProjectNumber = "0"
	}
	cfg.Hosts = slices.Clone(cfg.Hosts)
	for i, h := range cfg.Hosts {
		cfg.Hosts[i] = strings.ToLower(h)
	}
	switch {
	case cfg.Run == "":
		return nil, errors.New("making a metadata server: the run is not known")
	case cfg.Account.Email == "" || strings.Contains(cfg.Account.Email, "/"):
		return nil, fmt.Errorf("making a metadata server: %q is not the email of an account", cfg.Account.Email)
	case cfg.Account.Project == "":
		return nil, errors.New("making a metadata server: the account's project is not known")
	case strings.Trim(cfg.ProjectNumber, "0123456789") != "":
		return nil, fmt.Errorf("making a metadata server: %q is not the number of a project", cfg.ProjectNumber)
	case len(cfg.Hosts) == 0 || slices.Contains(cfg.Hosts, ""):
		return nil, errors.New("making a metadata server: it has to know its own name")
	case cfg.Tokens == nil:
		return nil, errors.New("making a metadata server: it has no tokens")
	}
	s := &Server{
		cfg:       cfg,
		log:       &logger{to: cfg.Log, now: cfg.Now},
		subject:   "taskiam-subject-" + rand.Text(),
		exchanged: "taskiam-exchanged-" + rand.Text(),
	}
	s.end.Store(&cfg.Expires)
	s.tree = s.grow()
	return s, nil
}

// Hosts returns the names by which programs on this machine reach a server on a port of
// its loopback device, and the usual names of metadata servers.
func Hosts(port int) []string {
	var hosts []string
	for _, h := range []string{"127.0.0.1", "localhost", "::1"} {
		hosts = append(hosts, net.JoinHostPort(h, fmt.Sprint(port)))
	}
	return append(hosts, "metadata.google.internal", "169.254.169.254")
}

// Revoke makes the server refuse every token from now on, as after the run's end. A token
// that is being made for a waiting request is not handed out either.
func (s *Server) Revoke() { s.closed.Store(true) }

// Extend moves the end of the run. From then on, requests are judged by the new end.
func (s *Server) Extend(expires time.Time) { s.end.Store(&expires) }

// over returns why there are no more tokens, for the person who reads it in the message of a client; nil while there
// are. Its code is one after which no client tries again: gcloud, Python and Go do so after 429 and 5xx, Node after
// 408 too.
func (s *Server) over() *refusal {
	end, now := *s.end.Load(), s.cfg.Now()
	why := refusal{code: http.StatusForbidden}
	switch {
	case !end.IsZero() && !now.Before(end.Add(-lastCall)):
		verb := "expires"
		if !now.Before(end) {
			verb = "expired"
		}
		why.text = fmt.Sprintf("run %s %s at %s, and there are no more tokens: trying again or logging in does not "+
			"help; whoever started the run can start another, with a longer ttl or with: taskiam run --renew",
			s.cfg.Run, verb, end.UTC().Format("2006-01-02 15:04:05 UTC"))
	case s.closed.Load(), s.cfg.Gone != nil && s.cfg.Gone():
		why.text = fmt.Sprintf("run %s has ended, and there are no more tokens", s.cfg.Run)
	default:
		return nil
	}
	return &why
}

// claim is the life that an answer claims for what has so much left: whole seconds, at most two minutes, and not
// beyond the end of the run.
func (s *Server) claim(left time.Duration) time.Duration {
	if end := *s.end.Load(); !end.IsZero() {
		left = min(left, end.Sub(s.cfg.Now()))
	}
	return min(left, maxExpiresIn).Truncate(time.Second)
}

const root = "/computeMetadata/v1"

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Metadata-Flavor"] = flavor
	h["Server"] = server
	// Google refuses requests that came through a proxy, by this header. The other header
	// is its successor.
	if r.Header["X-Forwarded-For"] != nil || r.Header["Forwarded"] != nil {
		s.refuse(w, r, refusal{code: http.StatusForbidden, text: "a request that was forwarded is not answered"})
		return
	}
	if !s.named(r.Host) {
		s.refuse(w, r, refusal{
			code: http.StatusForbidden, text: "this server does not answer to the name in the Host header",
		})
		return
	}
	if serve := s.exchange(r.URL.Path); serve != nil {
		serve(w, r)
		return
	}
	if r.Method != http.MethodGet {
		h.Set("Allow", http.MethodGet)
		s.refuse(w, r, refusal{code: http.StatusMethodNotAllowed, text: "only GET is answered"})
		return
	}
	if r.URL.Path == "/" { // by which Python and gsutil look for a server, before they ask
		writeText(w, "computeMetadata/\n")
		return
	}
	if !flavored(r) {
		s.refuse(w, r, missingFlavor)
		return
	}
	if r.URL.Path == subjectPath {
		s.serveSubject(w, r)
		return
	}
	s.serveTree(w, r)
}

var (
	flavor = []string{"Google"}
	server = []string{"Metadata Server for VM"}

	missingFlavor = refusal{code: http.StatusForbidden, text: `Missing required header "Metadata-Flavor": "Google"`}
	notFound      = refusal{code: http.StatusNotFound, text: "there is no such metadata"}
)

// flavored reports whether the request carries the protocol's header, which a web page
// cannot make a browser send.
func flavored(r *http.Request) bool { return r.Header.Get("Metadata-Flavor") == "Google" }

// named reports whether the Host header is one of this server's names.
func (s *Server) named(host string) bool {
	host = strings.ToLower(host)
	if slices.Contains(s.cfg.Hosts, host) {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	return err == nil && slices.Contains(s.cfg.Hosts, name)
}

// same compares in constant time, so that a secret cannot be guessed byte by byte.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// refusal is an answer that refuses a request.
type refusal struct {
	code  int
	text  string
	retry time.Duration
	err   error // for the log
}

// refuse answers as metadata servers do, in plain text.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why refusal) {
	s.logRefusal(r, why)
	why.header(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(why.code)
	_, _ = io.WriteString(w, why.text+"\n")
}

func (why refusal) header(h http.Header) {
	if why.retry > 0 {
		h.Set("Retry-After", fmt.Sprint(int((why.retry+time.Second-1)/time.Second)))
	}
}

// explain turns an error of minting into an answer. It uses only the machine-readable
// part of the error, because the text may name the operator, whom the sandbox must not
// learn about.
func explain(err error) refusal {
	why := refusal{code: http.StatusServiceUnavailable, err: err}
	var said string
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		why.retry = e.RetryAfter
		if e.Code != 0 {
			said = strings.TrimRight(fmt.Sprintf(": %d %s %s", e.Code, e.Status, e.Reason), " ")
		}
	}
	switch fault.KindOf(err) {
	case fault.Denied, fault.Precondition, fault.Invalid:
		why.code, why.text = http.StatusForbidden, "the run is not given this token"
	case fault.NotFound:
		why.code, why.text = http.StatusNotFound, "the run's account is gone"
	case fault.Unauthenticated:
		why.text = "the login that makes tokens for this run is not accepted at present"
	case fault.Throttled:
		why.text = "Google makes no more tokens at present"
	default:
		why.text = "Google does not answer at present"
	}
	why.text += said
	return why
}

func writeText(w http.ResponseWriter, text string) {
	w.Header()["Content-Type"] = contentText
	_, _ = io.WriteString(w, text)
}

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = contentJSON
	_, _ = w.Write(body)
}

var (
	contentText = []string{"application/text"}
	contentJSON = []string{"application/json"} // Python decodes by it

	contentPlain = []string{"text/plain"}
)

// reveal is the only place where tokens leave this package.
func reveal(t secret.String) string { return t.Reveal() }
