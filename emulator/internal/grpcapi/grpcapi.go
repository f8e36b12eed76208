// Package grpcapi serves Google's APIs over gRPC, by their REST methods: each gRPC call becomes one or more REST
// requests to the same emulator, and the answer or the refusal of those becomes that of the call.
//
// Its invariant: it decides nothing. Who calls, what IAM allows, which fault applies, and what the request log says is
// all left to the REST methods, which get the credentials of the call and its host. What a REST method does not do
// is not done over gRPC either: such a call ends with status UNIMPLEMENTED.
//
// It knows the services by an embedded set of descriptors, which is registered nowhere else: a program may link the
// emulator beside any of Google's clients.
package grpcapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // some clients compress what they send
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// maxMessage is the longest message that is read, as long as the longest body of a REST request.
const maxMessage = 64 << 20

// Server serves gRPC. It is safe for concurrent use.
type Server struct {
	rest *wire.Server
	grpc func() *grpc.Server

	mu    sync.Mutex
	ended chan struct{} // closed to end the streams that have no end of their own
}

// New returns a server of gRPC over the methods of rest.
func New(rest *wire.Server) *Server {
	s := &Server{rest: rest, ended: make(chan struct{})}
	// Most emulators are never asked over gRPC.
	s.grpc = sync.OnceValue(func() *grpc.Server {
		return grpc.NewServer(grpc.UnknownServiceHandler(s.handle), grpc.MaxRecvMsgSize(maxMessage),
			grpc.MaxSendMsgSize(maxMessage), grpc.ForceServerCodecV2(codec{}))
	})
	return s
}

// Serves reports whether a request is one of gRPC.
func Serves(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// ServeHTTP serves one gRPC call over HTTP/2.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.grpc().ServeHTTP(w, r) }

// EndStreams ends the streams that have no end of their own, so that a server can shut down.
func (s *Server) EndStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ended)
	s.ended = make(chan struct{})
}

func (s *Server) ending() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

type connKey struct{}

// WithConn is a [http.Server]'s ConnContext. With it a fault can break the connection of a gRPC call, instead of
// ending the call alone.
func WithConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// call is one gRPC call.
type call struct {
	*Server
	stream grpc.ServerStream
	method protoreflect.MethodDescriptor
	name   string      // "google.pubsub.v1.Publisher/Publish"
	host   string      // that its REST requests go to
	header http.Header // that goes with each of them
}

// handle serves every method.
func (s *Server) handle(_ any, stream grpc.ServerStream) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = bug(v)
		}
	}()
	path, _ := grpc.MethodFromServerStream(stream)
	c := &call{Server: s, stream: stream, name: strings.TrimPrefix(path, "/")}
	a, err := known()
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	m := a.methods[c.name]
	if m == nil {
		return c.unimplemented()
	}
	c.method = m.descriptor
	c.forward(m.host)
	if serve := streams[c.name]; serve != nil {
		return serve(c)
	}
	if serve := storageCalls[c.name]; serve != nil {
		return c.unary(serve)
	}
	if len(m.bindings) == 0 || c.method.IsStreamingClient() || c.method.IsStreamingServer() {
		return c.unimplemented()
	}
	return c.unary(func(c *call, in *dynamicpb.Message) (*dynamicpb.Message, error) { return c.transcode(m, in) })
}

// forward finds out where the call's REST requests go, and with which headers: the client's credentials, and what it
// says of who pays and why.
func (c *call) forward(host string) {
	md, _ := metadata.FromIncomingContext(c.stream.Context())
	if authority := md.Get(":authority"); len(authority) > 0 {
		c.host = authority[0]
	}
	// At an address that all services share it is the gRPC service that says which is meant.
	if shared, known := c.rest.Host(c.host); known && shared == "" && host != "" {
		c.host = host
	}
	c.header = http.Header{}
	for name, values := range md {
		if name == "authorization" || strings.HasPrefix(name, "x-goog-") {
			c.header[http.CanonicalHeaderKey(name)] = values
		}
	}
}

// unimplemented is the answer to a method that is not here.
func (c *call) unimplemented() error {
	return status.Errorf(codes.Unimplemented, "The emulator has no gRPC method %s at %s. Over gRPC it has what its "+
		"REST methods do of IAM, IAM Credentials, Resource Manager, Secret Manager, Pub/Sub and Cloud KMS, "+
		"StreamingPull of Pub/Sub, and reading, writing, listing and deleting objects of Cloud Storage. Ask for "+
		"anything else over REST, where it says what it has.", c.name, c.host)
}

// unary serves a method with one request and one answer.
func (c *call) unary(serve func(*call, *dynamicpb.Message) (*dynamicpb.Message, error)) error {
	in, err := c.receive()
	if err != nil {
		return err
	}
	out, err := serve(c, in)
	if err != nil {
		return err
	}
	return c.stream.SendMsg(out)
}

// receive reads a message of the client.
func (c *call) receive() (*dynamicpb.Message, error) {
	in := dynamicpb.NewMessage(c.method.Input())
	if err := c.stream.RecvMsg(in); err != nil {
		return nil, err
	}
	return in, nil
}

// transcode carries out a method by the REST request that Google documents for it (google.api.http).
func (c *call) transcode(m *method, in *dynamicpb.Message) (*dynamicpb.Message, error) {
	fits := false
	for _, b := range m.bindings {
		target, body, ok, err := b.request(in)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "Reading the request of %s: %v", c.name, err)
		}
		if !ok {
			continue
		}
		fits = true
		r, err := c.request(b.verb, target, body)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "Making a request of %s: %v", c.name, err)
		}
		// A host that is no part of the emulator is refused by REST, as every request to it is.
		if _, known := c.rest.Host(c.host); known && !c.rest.Has(r) {
			continue
		}
		a, err := c.do(r, nil)
		if err != nil {
			return nil, err
		}
		return c.message(c.method.Output(), a.body)
	}
	if !fits {
		return nil, status.Errorf(codes.InvalidArgument, "The request of %s names no resource as that method wants it.",
			c.name)
	}
	return nil, c.unimplemented()
}

// message reads the JSON of a REST answer.
func (c *call) message(d protoreflect.MessageDescriptor, body []byte) (*dynamicpb.Message, error) {
	out := dynamicpb.NewMessage(d)
	if err := fromJSON(body, out); err != nil {
		return nil, status.Errorf(codes.Internal, "The emulator has a bug: its answer is no %s: %v", d.FullName(), err)
	}
	return out, nil
}

// breakConnection breaks the connection of the call, as a fault does it to a REST call.
func (c *call) breakConnection() error {
	if conn, ok := c.stream.Context().Value(connKey{}).(net.Conn); ok {
		_ = conn.Close()
	}
	return status.Error(codes.Unavailable, "the connection was broken")
}

// bug is the answer to a panic, of which the request log has more.
func bug(v any) error {
	return status.Error(codes.Internal, fmt.Sprintf("The emulator has a bug: %T.", v))
}
