package wire

import (
	"context"
	"net/http"
	"sync"
)

// grpcMethod is the key of a context's gRPC method.
type grpcMethod struct{}

// OverGRPC returns the context of a request that was made of a gRPC call. Its errors keep all of their details,
// whatever form the service gives them by REST; it reaches the methods that gRPC alone has; and the request log
// names the gRPC method, as in "google.pubsub.v1.Publisher/Publish".
func OverGRPC(ctx context.Context, method string) context.Context {
	return context.WithValue(ctx, grpcMethod{}, method)
}

// grpcMethodOf returns the gRPC method that a request was made of; "" for REST.
func grpcMethodOf(r *http.Request) string {
	name, _ := r.Context().Value(grpcMethod{}).(string)
	return name
}

// Has reports whether a request would reach a method of a service; one that takes every path does not count.
func (s *Server) Has(r *http.Request) bool {
	host, known := s.Router.service(requestHost(r))
	if !known {
		return false
	}
	m, _ := s.find(r, host)
	return m.Host != "" && !m.CatchAll() && m.ID != unknownID
}

// changes tells who waits that something may have changed.
type changes struct {
	mu   sync.Mutex
	next chan struct{} // closed at the next change; nil if nobody waits
}

// Changed returns a channel that is closed when the state or the clock is changed next. What time alone brings, such
// as the end of a token, closes nothing.
func (s *Server) Changed() <-chan struct{} {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	if s.changes.next == nil {
		s.changes.next = make(chan struct{})
	}
	return s.changes.next
}

func (s *Server) tellChange() {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	if s.changes.next != nil {
		close(s.changes.next)
		s.changes.next = nil
	}
}

// Idle says of an allowed call that it changed nothing and is no news: it is not saved, and not in the request log.
func (c *Call) Idle() { c.idle = true }
