package egress

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/taskiam/taskiam/internal/secret"
)

// errComesBack ends an answer in which a credential that was added comes back.
var errComesBack = errors.New("the answer has the credential in it that was added to the request")

// review looks at an answer before it goes back. What it cannot see are values that the host has
// encoded: it keeps what a host echoes by mistake from coming back, and not what one sends on purpose.
func (p *Proxy) review(resp *http.Response, t target, how *pass) error {
	// By this field a client would look for a way around the proxy.
	resp.Header.Del("Alt-Svc")
	if t.rule == nil {
		resp.Header.Del("Set-Cookie")
		if err := p.hideSession(resp, t, how); err != nil {
			return err
		}
	}
	var needles [][]byte
	for _, value := range how.set {
		needles = append(needles, needle(value))
	}
	if len(needles) == 0 {
		return nil
	}
	if inFields(needles, resp.Header) {
		return errComesBack
	}
	if _, both := resp.Body.(io.Writer); !both {
		resp.Body = &scanner{from: resp.Body, needles: needles, after: resp}
	}
	return nil
}

func inFields(needles [][]byte, fields http.Header) bool {
	for _, values := range fields {
		for _, v := range values {
			if found(needles, []byte(v)) {
				return true
			}
		}
	}
	return false
}

// needle is the part of a credential that is looked for: what follows the scheme.
func needle(value secret.String) []byte {
	b := []byte(value.Reveal())
	if at := bytes.LastIndexByte(b, ' '); at >= 0 {
		b = b[at+1:]
	}
	return b
}

func found(needles [][]byte, in []byte) bool {
	for _, n := range needles {
		if len(n) > 0 && bytes.Contains(in, n) {
			return true
		}
	}
	return false
}

// scanner reads an answer, and fails where a needle is in it. It keeps back only bytes that may be
// the beginning of one, so that a stream is not held up.
type scanner struct {
	from    io.ReadCloser
	needles [][]byte
	after   *http.Response // whose trailers are there at the end; nil is none
	buffer  []byte
	ready   []byte // of the buffer: read, and without a needle
	keep    []byte // of the buffer, behind ready: a needle may begin in it
	err     error
}

const scanBuffer = 64 << 10

// Read returns what cannot be part of a needle.
func (s *scanner) Read(b []byte) (int, error) {
	for len(s.ready) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.fill()
	}
	n := copy(b, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// fill reads once more.
func (s *scanner) fill() {
	if s.buffer == nil {
		s.buffer = make([]byte, scanBuffer)
	}
	held := copy(s.buffer, s.keep)
	n, err := s.from.Read(s.buffer[held:])
	window := s.buffer[:held+n]
	if found(s.needles, window) || err == io.EOF && s.after != nil && inFields(s.needles, s.after.Trailer) {
		s.ready, s.keep, s.err = nil, nil, errComesBack
		return
	}
	keep := 0
	if err == nil {
		keep = begun(s.needles, window)
	}
	s.ready, s.keep, s.err = window[:len(window)-keep], window[len(window)-keep:], err
}

// begun returns how many bytes at the end may be the beginning of a needle.
func begun(needles [][]byte, window []byte) int {
	most := 0
	for _, n := range needles {
		for k := min(len(n)-1, len(window)); k > most; k-- {
			if bytes.HasSuffix(window, n[:k]) {
				most = k
				break
			}
		}
	}
	return most
}

// Close closes the answer.
func (s *scanner) Close() error { return s.from.Close() }
