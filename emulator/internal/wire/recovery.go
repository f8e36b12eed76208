package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"
)

// crash is the line of the request log about a panic: where it came from, and of what
// kind it is. Values are left out, since they may hold credentials.
type crash struct {
	Time  string   `json:"time"`
	HTTP  string   `json:"http"`
	Code  int      `json:"code"`
	Panic string   `json:"panic"`
	Stack []string `json:"stack"` // innermost first
}

// Recovering serves a request by what is no method of a service, with the same answer to a panic
// as a call gets.
func (s *Server) Recovering(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	defer s.recovery(w, r)
	serve(w, r)
}

// recovery answers a panic of the handler with 500, so that one bad call does not end
// the emulator. A connection that is to break does break.
func (s *Server) recovery(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.recordCrash(r, v)
	s.answerError(w, r, "", Fail(http.StatusInternalServerError, "INTERNAL", "backendError",
		"The emulator has a bug: its request log says where."))
}

func (s *Server) recordCrash(r *http.Request, v any) {
	if s.cfg.Log == nil {
		return
	}
	line := crash{Time: s.Now().UTC().Format(time.RFC3339Nano), HTTP: r.Method + " " + r.URL.Path,
		Code: http.StatusInternalServerError, Panic: fmt.Sprintf("%T", v)}
	if e, ok := v.(runtime.Error); ok { // it speaks of types and indices
		line.Panic = e.Error()
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.HasPrefix(f.Function, "net/http.") {
			break
		}
		line.Stack = append(line.Stack, fmt.Sprintf("%s:%d", f.Function, f.Line))
	}
	s.logMu.Lock()
	defer s.logMu.Unlock()
	_ = json.NewEncoder(s.cfg.Log).Encode(line) // as in record
}
