package egress

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/taskiam/taskiam/internal/secret"
)

// pass is how a request is passed on that was judged.
type pass struct {
	// header reports whether a field of the header goes on, and set is put into it.
	header func(name string) bool
	set    map[string]secret.String
	// upgrade lets the connection become one for both directions, as websockets do.
	upgrade bool
	// plain asks for an answer that is not compressed, so that it can be looked through.
	plain bool
	// url takes the place of the request's, whose end session is known to the client by a handle.
	url     *url.URL
	session *session
	names   []named
}

// methods are those that pass. TRACE would send back what was added.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodOptions,
}

// serve answers one request of an opened connection.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	t, ok := r.Context().Value(targetKey{}).(target)
	if !ok {
		panic("[unexpected] a connection without a target was opened")
	}
	e := Event{Time: p.cfg.Now(), Method: r.Method, Host: t.authority(), Path: r.URL.Path}
	done, why := (*pass)(nil), wellFormed(t, r)
	switch {
	case why != nil:
	case t.rule == nil:
		done, why = p.judgeGoogle(t, r)
	default:
		done, why = p.judgeHost(t, r)
	}
	if done != nil {
		for _, n := range done.names {
			e.Names = append(e.Names, n.String())
		}
		e.Under = p.reach.under(done.names)
	}
	if why != nil {
		e.Status, e.Refused = why.code, why.text
		p.cfg.Log(e)
		why.answer(w, r, t.rule == nil)
		return
	}
	p.forward(w, r, t, done, e)
}

// wellFormed refuses a request that means more than one thing, or another host than its connection.
func wellFormed(t target, r *http.Request) *refusal {
	switch {
	case !slices.Contains(methods, r.Method):
		return forbid("requests with the method %q are not passed on", r.Method)
	case !t.names(r.Host) || r.URL.IsAbs() || r.URL.Host != "" || r.URL.Opaque != "" || r.URL.User != nil:
		return forbid("the connection is one to %s, and the request is for another host", t.host)
	case !strings.HasPrefix(r.URL.Path, "/") || strings.ContainsAny(r.RequestURI, "#\\"):
		return forbid("the path of the request is none")
	case len(r.Trailer) > 0 || r.Header["Trailer"] != nil:
		return forbid("a request with trailers is not passed on")
	case r.Header[":protocol"] != nil || r.Header["Host"] != nil:
		return forbid("the request names its host twice, or is no request")
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return refuse(http.StatusBadRequest, "the query of the request can be read in more than one way")
	}
	return wellFormedFields(r)
}

// wellFormedFields refuses fields that change what a request is, or that only a server behind the
// proxy would see.
func wellFormedFields(r *http.Request) *refusal {
	for name := range r.Header {
		folded := fold(name)
		if strings.Contains(folded, "methodoverride") || folded == "xhttpmethod" ||
			strings.HasPrefix(folded, "proxy") || strings.Contains(name, "_") {
			return forbid("a request with %s is not passed on", name)
		}
	}
	for _, list := range r.Header["Connection"] {
		for word := range strings.SplitSeq(list, ",") {
			switch strings.ToLower(strings.TrimSpace(word)) {
			case "", "close", "keep-alive", "te", "upgrade":
			default:
				return forbid("a request in which Connection removes other fields is not passed on")
			}
		}
	}
	return nil
}

// errOver ends the body of a request that is more than may be sent.
var errOver = errors.New("more was sent than max_upload allows")

// spending counts what is sent.
type spending struct {
	proxy *Proxy
	host  *rule // nil is Google's
	sent  *atomic.Int64
	over  bool
}

// limited reports whether there is a number of bytes that must not be exceeded.
func (s *spending) limited() bool {
	return s.proxy.cfg.MaxUpload > 0 || s.host != nil && s.host.MaxUpload > 0
}

// Write counts bytes that are to be sent, and fails if they may not be.
func (s *spending) Write(b []byte) (int, error) {
	if err := s.take(int64(len(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// take counts n bytes, and fails once there are too many.
func (s *spending) take(n int64) error {
	s.sent.Add(n)
	all := s.proxy.sent.Add(n)
	if most := s.proxy.cfg.MaxUpload; most > 0 && all > most {
		s.over = true
	}
	if s.host != nil {
		if to := s.host.sent.Add(n); s.host.MaxUpload > 0 && to > s.host.MaxUpload {
			s.over = true
		}
	}
	if s.over {
		return errOver
	}
	return nil
}

// body is the body of a request, which is counted before it is sent.
type body struct {
	io.ReadCloser
	*spending
}

// Read counts what it returns.
func (b *body) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if n > 0 {
		if _, over := b.Write(into[:n]); over != nil {
			return 0, over
		}
	}
	return n, err
}

// forward passes a request on, and its answer back.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, t target, how *pass, e Event) {
	var sent, received atomic.Int64
	spent := &spending{proxy: p, host: t.rule, sent: &sent}
	// The address is sent too, and is as good as a body for carrying something off.
	if _, err := spent.Write([]byte(r.RequestURI)); err != nil {
		e.Status, e.Refused = http.StatusForbidden, err.Error()
		p.cfg.Log(e)
		forbid("%v", err).answer(w, r, t.rule == nil)
		return
	}
	sent.Store(0)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &body{r.Body, spent}
	}
	proxy := httputil.ReverseProxy{
		Transport:     p.transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		Rewrite:       func(pr *httputil.ProxyRequest) { how.rewrite(pr, t) },
		ModifyResponse: func(resp *http.Response) error {
			e.Status = resp.StatusCode
			if err := p.review(resp, t, how); err != nil {
				return err
			}
			resp.Body = countAnswer(resp.Body, spent, &received)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			why := explain(t, err)
			e.Status, e.Refused = why.code, why.text
			why.answer(w, r, t.rule == nil)
		},
	}
	defer func() {
		e.Sent, e.Received = sent.Load(), received.Load()
		p.cfg.Log(e)
		if end := recover(); end != nil {
			panic(end) // an answer that broke off breaks off here too
		}
	}()
	proxy.ServeHTTP(w, r)
}

// rewrite makes the request that leaves. Its fields for single connections are gone already.
func (how *pass) rewrite(pr *httputil.ProxyRequest, t target) {
	out := pr.Out
	upgrade := how.upgrade && out.Header.Get("Upgrade") != ""
	for name := range out.Header {
		hop := name == "Connection" || name == "Upgrade"
		if hop && !upgrade || !hop && !how.header(name) {
			delete(out.Header, name)
		}
	}
	if _, has := out.Header["User-Agent"]; !has {
		out.Header["User-Agent"] = []string{""} // so that none is made up
	}
	if how.url != nil {
		out.URL = how.url
	}
	out.URL.Scheme, out.URL.Host, out.Host = "https", t.authority(), t.authority()
	for name, value := range how.set {
		out.Header[name] = []string{value.Reveal()}
	}
	if how.plain {
		out.Header["Accept-Encoding"] = []string{"identity"}
	}
}

// explain says why a request was not answered. The error itself may name what is outside.
func explain(t target, err error) *refusal {
	var address *addressError
	switch {
	case errors.Is(err, errOver):
		return forbid("%v", errOver)
	case errors.Is(err, errComesBack), errors.Is(err, errSession):
		return refuse(http.StatusBadGateway, "%v", err)
	case errors.As(err, &address):
		return forbid("%s has an address that is not one of the internet", t.host)
	case errors.Is(err, context.Canceled):
		return refuse(http.StatusBadGateway, "the client ended the request")
	}
	return refuse(http.StatusBadGateway, "%s does not answer", t.host)
}

// counting counts an answer.
type counting struct {
	io.ReadCloser
	received *atomic.Int64
}

// Read counts what it returns.
func (c *counting) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.received.Add(int64(n))
	return n, err
}

// duplex is the connection that an upgrade makes: what is sent on it is counted as a body is.
type duplex struct {
	counting
	out   io.Writer
	spent *spending
}

// Write sends what may still be sent.
func (d *duplex) Write(b []byte) (int, error) {
	if _, err := d.spent.Write(b); err != nil {
		return 0, err
	}
	return d.out.Write(b)
}

// countAnswer counts what an answer brings.
func countAnswer(body io.ReadCloser, spent *spending, received *atomic.Int64) io.ReadCloser {
	if out, both := body.(io.Writer); both {
		return &duplex{counting{body, received}, out, spent}
	}
	return &counting{body, received}
}
