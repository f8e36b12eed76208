package egress

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// refusal is why a request is not passed on.
type refusal struct {
	code int
	text string
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// forbid refuses with the usual status.
func forbid(format string, args ...any) *refusal {
	return refuse(http.StatusForbidden, format, args...)
}

// line is the reason in one line of printable ASCII. Parts of it the client has chosen.
func (why *refusal) line() string {
	const most = 500
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, "taskiam: "+why.text)
	return line[:min(len(line), most)]
}

// inStatusLine answers a CONNECT. Clients throw the body of a refused CONNECT away; some show the
// status line.
func (why *refusal) inStatusLine(w io.Writer) {
	body := why.line() + "\n"
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s", why.code, why.line(), len(body), body)
}

// answer answers a request in an opened connection, in the form in which the client expects errors.
func (why *refusal) answer(w http.ResponseWriter, r *http.Request, google bool) {
	h := w.Header()
	h.Set("Taskiam-Refused", why.line())
	switch {
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(grpcStatus(why.code)))
		h.Set("Grpc-Message", strings.ReplaceAll(why.line(), "%", "%25"))
	case google:
		h.Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(why.code)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
			"code": why.code, "message": why.line(), "status": statusName(why.code),
			"errors": []map[string]string{{"domain": "global", "reason": "forbidden", "message": why.line()}},
		}})
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(why.code)
		_, _ = io.WriteString(w, why.line()+"\n")
	}
}

func grpcStatus(code int) int {
	switch code {
	case http.StatusForbidden:
		return 7
	case http.StatusBadRequest:
		return 3
	}
	return 14
}

func statusName(code int) string {
	switch code {
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT"
	case http.StatusNotFound:
		return "NOT_FOUND"
	}
	return "UNAVAILABLE"
}
