package wire

import (
	"encoding/json"
	"time"
)

// logLine is one line of the request log. It holds no credential: of a request it
// shows the path and the reason given, never the query, another header or the body.
type logLine struct {
	Time       string `json:"time"`
	Principal  string `json:"principal,omitempty"`
	Method     string `json:"method"`
	HTTP       string `json:"http"`
	Resource   string `json:"resource,omitempty"`
	Permission string `json:"permission,omitempty"`
	Decision   string `json:"decision"` // allowed, denied; or none, where IAM was not asked
	By         string `json:"by,omitempty"`
	Code       int    `json:"code"`
	GRPC       string `json:"grpc,omitempty"`   // the gRPC method that the call was made by
	Fault      string `json:"fault,omitempty"`  // the fault that was applied; code is then 0 if there was no answer
	Reason     string `json:"reason,omitempty"` // what the client gave as X-Goog-Request-Reason
}

// record writes the request log: a line for each decision of a call, one at least.
func (s *Server) record(c *Call, code int) {
	if s.cfg.Log == nil || c.idle && c.fault == "" {
		return
	}
	line := logLine{
		Time: c.Now.UTC().Format(time.RFC3339Nano), Method: c.Method.ID, GRPC: grpcMethodOf(c.Request),
		HTTP:     c.Request.Method + " " + c.Request.URL.Path,
		Decision: "none", Code: code, Fault: c.fault, Reason: c.Request.Header.Get("X-Goog-Request-Reason"),
	}
	if c.Caller != nil {
		line.Principal = c.Caller.Member
	}
	s.logMu.Lock()
	defer s.logMu.Unlock()
	enc := json.NewEncoder(s.cfg.Log)
	enc.SetEscapeHTML(false)
	if len(c.Decisions) == 0 {
		_ = enc.Encode(line) // a log that cannot be written is no reason to fail calls
	}
	for _, d := range c.Decisions {
		line.Resource, line.Permission, line.By = d.Resource, d.Permission, d.By
		line.Decision = "denied"
		if d.Allowed {
			line.Decision = "allowed"
		}
		_ = enc.Encode(line)
	}
}
