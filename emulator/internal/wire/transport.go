package wire

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
)

// Transport returns the emulator as the transport of an [http.Client], without sockets.
// It does to the client what a network would: a connection that a [Fault] breaks is an
// error that wraps [syscall.ECONNRESET], and a request whose context ends returns that
// context's error, while the emulator may or may not have applied it. Each request is
// served by the goroutine that sends it, so that it can be used under testing/synctest.
//
// [Server.ServeHTTP] called directly panics with [http.ErrAbortHandler] where a connection
// would break, as net/http expects of handlers.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ handler http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := r.Clone(ctx)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.Host = requestHost(r)
	in.RequestURI = r.URL.RequestURI()
	w := &memoryAnswer{header: http.Header{}}
	if broken(func() { t.handler.ServeHTTP(w, in) }) {
		return nil, &net.OpError{Op: "read", Net: "memory", Err: syscall.ECONNRESET}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.code == 0 {
		w.code = http.StatusOK
	}
	answer = &http.Response{
		StatusCode: w.code, Status: strconv.Itoa(w.code) + " " + http.StatusText(w.code),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Request: r, ContentLength: int64(w.body.Len()), Body: io.NopCloser(&w.body),
	}
	if r.Method == http.MethodHead {
		answer.Body = http.NoBody
	}
	return answer, nil
}

// broken runs a handler and reports whether it broke the connection.
func broken(serve func()) (aborted bool) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			panic(v)
		}
	}()
	serve()
	return false
}

// memoryAnswer keeps an answer until it is whole.
type memoryAnswer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (w *memoryAnswer) Header() http.Header { return w.header }

func (w *memoryAnswer) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

func (w *memoryAnswer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
