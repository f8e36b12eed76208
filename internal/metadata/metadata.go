// Package metadata speaks the protocol of Compute Engine's metadata server for one run,
// so that unmodified clients get the tokens of the run's account when they need them,
// and nothing worth stealing lies in a file. Beside it, it serves what a credential
// file without a secret leads to (exchange.go), for clients that insist on a file.
//
// Its invariant: a token goes out only to a request that carries the protocol's header,
// or what only such a request could learn; only for the run's own account, within the
// scopes and audiences that were configured; and never after the run's end. Whoever can
// connect and knows the protocol gets a token, as on Google's machines: who can connect
// is for the listener to decide.
//
// The package does not know where tokens come from, nor who asks for the run: it has no
// file, no environment and no login. It never logs a token.
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

// Tokens makes the tokens that a [Server] hands out, and keeps them while they are good:
// it is asked for every request, by several goroutines.
type Tokens interface {
	// AccessToken returns an access token of the run's account with these scopes.
	AccessToken(ctx context.Context, scopes []string) (grants.Token, error)
	// IDToken returns an identity token of it for the audience.
	IDToken(ctx context.Context, audience string) (grants.Token, error)
}

// Config says for whom a [Server] speaks, and to whom.
type Config struct {
	Run grants.RunID
	// Account is the run's: its email, its unique id and its project.
	Account grants.Account
	// ProjectNumber is the number of the account's project. If it is "", clients are told
	// 0, which is no project's: gcloud takes a server for one of Google's only if this is
	// in digits, and no client does anything else with it.
	ProjectNumber string
	// Scopes is what tokens carry that are asked for without scopes, and the most that they
	// carry at all; nil is cloud-platform. See [Server] for what a request can narrow.
	Scopes []string
	// Audiences are those for which there are identity tokens.
	Audiences []string
	// Hosts are the values of the Host header that are answered. One with a port stands
	// for that port, one without for any. Everything else could be a web page that had
	// its own name resolved to this machine.
	Hosts []string
	// Tokens makes the tokens.
	Tokens Tokens
	// Expires is the end of the run, from which on no token is handed out. The zero time
	// is no end.
	Expires time.Time
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Log is told about tokens handed out, and requests refused. It is called from several
	// goroutines, and not for every request if there are very many ([Event.Unlogged]).
	Log func(Event)
}

// MaxExpiresIn is the most that an answer claims of a token's life, whatever is left of
// it. Clients keep a token until shortly before its end, so this is how soon they
// come back; and all of Google's but a few refetch at once what has less than four or
// five minutes left.
const MaxExpiresIn = 2 * time.Minute

// Server is the metadata server of one run.
//
// A request for a token may name scopes. It gets those among them that lie within the
// configured ones, and is refused if there are none: within means the same, or one for
// Google Cloud where cloud-platform is configured, which is the widest of these. Who
// asks for cloud-platform where less is configured gets what is configured.
type Server struct {
	cfg    Config
	tree   map[string]*node
	over   refusal // after the end
	end    atomic.Pointer[time.Time]
	log    *logger
	closed atomic.Bool

	// What the credential file without a secret leads to is passed from one endpoint to
	// the next. Both are of this server alone, and mean nothing elsewhere.
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
	ended := "run " + string(cfg.Run) + " has ended: there are no more tokens"
	s := &Server{
		cfg:       cfg,
		over:      refusal{code: http.StatusForbidden, text: ended},
		log:       &logger{to: cfg.Log, now: cfg.Now},
		subject:   "taskiam-subject-" + rand.Text(),
		exchanged: "taskiam-exchanged-" + rand.Text(),
	}
	s.end.Store(&cfg.Expires)
	s.tree = s.grow()
	return s, nil
}

// Hosts returns the names under which a server on a port of this machine's loopback
// device is reached by what runs on this machine, or has the usual names lead here.
func Hosts(port int) []string {
	var hosts []string
	for _, h := range []string{"127.0.0.1", "localhost", "::1"} {
		hosts = append(hosts, net.JoinHostPort(h, fmt.Sprint(port)))
	}
	return append(hosts, "metadata.google.internal", "169.254.169.254")
}

// Revoke makes the server refuse every token from now on, as after the run's end. What
// is being made for a request that waits is not handed out any more.
func (s *Server) Revoke() { s.closed.Store(true) }

// Extend moves the end of the run. What was refused because of the earlier one is not
// refused any more.
func (s *Server) Extend(expires time.Time) { s.end.Store(&expires) }

func (s *Server) ended() bool {
	end := *s.end.Load()
	return s.closed.Load() || !end.IsZero() && !s.cfg.Now().Before(end)
}

const root = "/computeMetadata/v1"

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Metadata-Flavor"] = flavor
	h["Server"] = server
	// Google refuses what came through a proxy, by this header; the other is its successor.
	if r.Header["X-Forwarded-For"] != nil || r.Header["Forwarded"] != nil {
		s.refuse(w, r, refusal{code: http.StatusForbidden, text: "a request that was forwarded is not answered"})
		return
	}
	if !s.named(r.Host) {
		s.refuse(w, r, refusal{
			code: http.StatusForbidden, text: "this server does not go by the name of the Host header",
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

// flavored reports whether the request carries the header that no web page can make a
// browser send.
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

// same compares with what must not be guessed.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// refusal is an answer that is not what was asked for.
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

// explain turns what minting ended with into an answer. It says what happened by the
// machine-readable half of the error alone: its words may be about the operator, whom
// the sandbox need not know.
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
)

// reveal is where tokens leave this package.
func reveal(t secret.String) string { return t.Reveal() }
