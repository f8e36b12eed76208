package emulator

import (
	"net/http"

	"google.golang.org/api/option"
)

// Client returns an HTTP client that reaches the emulator at Google's production URLs,
// without sockets. Each request carries token, as [Server.Operator] returns one and a seed
// gives them to principals and service accounts; a request with a credential of its own
// keeps that, and with an empty token none is added.
func (s *Server) Client(token string) *http.Client {
	return &http.Client{Transport: bearer{token, s.Transport()}}
}

// ClientOptions are what Google's client libraries need to reach the emulator by HTTP in the
// name of the token's owner; see [Server.Client].
func (s *Server) ClientOptions(token string) []option.ClientOption {
	return []option.ClientOption{option.WithHTTPClient(s.Client(token))}
}

// bearer adds a bearer token to requests without a credential.
type bearer struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" && r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}
