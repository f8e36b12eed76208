package emulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// control serves what is under /_emulator/: the emulator's own endpoints, for the
// operator alone, save for health. It reports whether the request was one of them.
func (s *Server) control(w http.ResponseWriter, r *http.Request) bool {
	name, ok := strings.CutPrefix(r.URL.Path, "/_emulator/")
	if !ok {
		return false
	}
	route := r.Method + " " + name
	if route == "GET health" {
		s.write(w, http.StatusOK, jsonHeader(), []byte(`{"status":"ok"}`+"\n"))
		return true
	}
	if !s.isOperator(r) {
		s.answerError(w, r, "", unauthenticated("emulator", "CREDENTIALS_MISSING", "The operator's token is required."))
		return true
	}
	switch route {
	case "GET snapshot":
		snapshot, err := s.Snapshot()
		if err != nil {
			s.answerError(w, r, "", err)
			return true
		}
		s.write(w, http.StatusOK, jsonHeader(), snapshot)
	case "POST clock":
		var body struct {
			Advance string `json:"advance"`
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&body)
		d, parseErr := time.ParseDuration(body.Advance)
		if err != nil || parseErr != nil || d < 0 {
			s.answerError(w, r, "", invalid(`A body such as {"advance":"2h"} is expected.`))
			return true
		}
		s.Advance(d)
		s.write(w, http.StatusOK, jsonHeader(), []byte(`{"now":"`+apiTime(s.now())+`"}`+"\n"))
	default:
		s.answerError(w, r, "", notFound("The emulator has no endpoint %s.", route))
	}
	return true
}

// isOperator reports whether the request carries a live token of the operator's.
func (s *Server) isOperator(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.state.Tokens[tokenHash(token)]
	return t != nil && t.Person != "" && t.Person == s.state.Operator && !t.expired(s.now())
}
