package egress

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

const (
	// uploadID is the parameter by which the address of a resumable upload is a credential: whoever
	// knows it can go on with the upload, without a login, for a week.
	uploadID = "upload_id"
	// handlePrefix begins what the client gets in its place.
	handlePrefix = "taskiam-upload-"
	// maxSessions is how many may be open at a time.
	maxSessions = 4096
)

// errSession ends an answer that would hand out the address of an upload.
var errSession = errors.New("the answer has the address of an upload in a place where it cannot be replaced, " +
	"or too many uploads are open")

// session is a resumable upload that was begun and not ended.
type session struct {
	handle string
	host   string
	url    *url.URL
	names  []named
}

// sessions are those of a proxy, by their handles.
type sessions struct {
	mu   sync.Mutex
	open map[string]*session
}

// resume finds the session that a request goes on with; nil is none.
func (p *Proxy) resume(t target, r *http.Request) (*session, *refusal) {
	ids, named := r.URL.Query()[uploadID]
	if !named {
		return nil, nil
	}
	if len(ids) != 1 {
		return nil, refuse(http.StatusBadRequest, "the request names more than one upload")
	}
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	s := p.sessions.open[ids[0]]
	if s == nil || s.host != t.host {
		return nil, forbid("the upload that the request goes on with was not begun in this run, or has ended")
	}
	return s, nil
}

// hideSession replaces the address of an upload in an answer by a handle, and forgets a session
// that has ended.
func (p *Proxy) hideSession(resp *http.Response, t target, how *pass) error {
	for name := range resp.Header {
		if strings.HasPrefix(name, "X-Guploader-") || strings.HasPrefix(name, "X-Goog-Upload-") {
			resp.Header.Del(name)
		}
	}
	if s := how.session; s != nil {
		method := resp.Request.Method
		if ended := resp.StatusCode < 300 && method != http.MethodGet || resp.StatusCode == 499 ||
			resp.StatusCode == http.StatusGone; ended {
			p.sessions.forget(s)
		}
	}
	for _, field := range []string{"Location", "Content-Location"} {
		if err := p.hideAddress(resp, field, t, how); err != nil {
			return err
		}
	}
	return nil
}

// hideAddress replaces the address of an upload in one field of an answer.
func (p *Proxy) hideAddress(resp *http.Response, field string, t target, how *pass) error {
	at := resp.Header.Get(field)
	if at == "" {
		return nil
	}
	u, err := resp.Request.URL.Parse(at)
	if err != nil || len(resp.Header[field]) != 1 {
		return errSession
	}
	if !u.Query().Has(uploadID) {
		return nil
	}
	if u.Scheme != "https" || u.Hostname() != t.host || u.Port() != "" && u.Port() != "443" {
		return errSession
	}
	s := how.session
	if s == nil || s.url.Query().Get(uploadID) != u.Query().Get(uploadID) {
		if s = p.sessions.begin(t, u, how.names); s == nil {
			return errSession
		}
	}
	query := u.Query()
	query.Set(uploadID, s.handle)
	shown := *u
	shown.RawQuery = query.Encode()
	resp.Header.Set(field, shown.String())
	return nil
}

// begin notes a session, and returns nil if there are too many.
func (s *sessions) begin(t target, u *url.URL, names []named) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxSessions {
		return nil
	}
	begun := &session{handle: handlePrefix + rand.Text(), host: t.host, url: u, names: names}
	s.open[begun.handle] = begun
	return begun
}

func (s *sessions) forget(ended *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, ended.handle)
}

// cancelSessions cancels what is open, side by side.
func (p *Proxy) cancelSessions(ctx context.Context) error {
	p.sessions.mu.Lock()
	open := p.sessions.open
	p.sessions.open = map[string]*session{}
	p.sessions.mu.Unlock()
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	slots := make(chan struct{}, 8)
	for _, s := range open {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := p.cancel(ctx, s); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return failed
}

// cancel ends an upload. Google answers 499 if it was open.
func (p *Proxy) cancel(ctx context.Context, s *session) error {
	at := *s.url
	at.Scheme, at.Host = "https", s.host
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, at.String(), nil)
	if err != nil {
		return errors.New("cancelling an upload: its address is none")
	}
	what := "what was granted"
	if len(s.names) > 0 {
		what = s.names[0].String()
	}
	resp, err := p.transport.RoundTrip(r)
	if err != nil {
		// The error has the address in it.
		return fmt.Errorf("cancelling an upload into %s: %s does not answer", what, s.host)
	}
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case 499, http.StatusOK, http.StatusNoContent, http.StatusNotFound, http.StatusGone:
		return nil
	}
	return fmt.Errorf("cancelling an upload into %s: %s answers %d", what, s.host, resp.StatusCode)
}
