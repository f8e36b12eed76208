package grpcapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"google.golang.org/genproto/googleapis/rpc/errdetails" // the details that errors have
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// The types of details are known by being linked.
var _ = (*errdetails.ErrorInfo)(nil)

// answer is what REST answered, kept until it is whole, unless a sink takes it.
type answer struct {
	code   int
	header http.Header
	body   []byte
	sink   func([]byte) error // takes the body of what is no refusal
	failed error              // of the sink
}

// Header, WriteHeader and Write make it a [http.ResponseWriter].
func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.sink != nil && a.code < http.StatusMultipleChoices {
		if a.failed == nil {
			a.failed = a.sink(b)
		}
		return len(b), a.failed
	}
	a.body = append(a.body, b...)
	return len(b), nil
}

// request makes a REST request of the call. The target is an escaped path with its query.
func (c *call) request(verb, target string, body []byte) (*http.Request, error) {
	ctx := wire.OverGRPC(c.stream.Context(), c.name)
	r, err := http.NewRequestWithContext(ctx, verb, "https://"+c.host+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = c.header.Clone()
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Del("X-Guploader-No-308") // what makes a 308 a 200
	return r, nil
}

// do makes a REST request, without a network, and returns its answer; a refusal is the error of the call. The body of
// an answer goes to the sink, if there is one, as it is written.
func (c *call) do(r *http.Request, sink func([]byte) error) (a *answer, err error) {
	a = &answer{header: http.Header{}, sink: sink}
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			err = c.breakConnection()
		default:
			err = bug(v)
		}
	}()
	c.rest.ServeHTTP(a, r)
	switch {
	case a.failed != nil:
		return nil, a.failed
	case a.code == 0: // the client has gone
		return nil, status.FromContextError(r.Context().Err()).Err()
	case a.code >= http.StatusMultipleChoices && a.code != http.StatusPermanentRedirect:
		return nil, refusal(a.code, a.body)
	}
	return a, nil
}

// ask makes a REST request with a JSON body, and reads the JSON of its answer into out.
func (c *call) ask(verb, path string, query url.Values, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return status.Errorf(codes.Internal, "encoding a request of %s: %v", c.name, err)
		}
	}
	r, err := c.request(verb, path+"?"+query.Encode(), body)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "making a request of %s: %v", c.name, err)
	}
	a, err := c.do(r, nil)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return status.Errorf(codes.Internal, "the emulator has a bug: its answer to %s: %v", c.name, err)
	}
	return nil
}

// codeOf are the status codes of refusals that name none.
var codeOf = map[int]codes.Code{
	http.StatusNotModified: codes.FailedPrecondition, http.StatusBadRequest: codes.InvalidArgument,
	http.StatusUnauthorized: codes.Unauthenticated, http.StatusForbidden: codes.PermissionDenied,
	http.StatusNotFound: codes.NotFound, http.StatusConflict: codes.Aborted,
	http.StatusPreconditionFailed: codes.FailedPrecondition, http.StatusTooManyRequests: codes.ResourceExhausted,
	http.StatusInternalServerError: codes.Internal, http.StatusNotImplemented: codes.Unimplemented,
	http.StatusBadGateway: codes.Unavailable, http.StatusServiceUnavailable: codes.Unavailable,
	http.StatusGatewayTimeout: codes.DeadlineExceeded, http.StatusRequestedRangeNotSatisfiable: codes.OutOfRange,
}

// refusal is a refusal of REST as that of a gRPC call, with its details.
func refusal(httpCode int, body []byte) error {
	var in struct {
		Error struct {
			Message string            `json:"message"`
			Status  string            `json:"status"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Error.Message == "" {
		in.Error.Message = fmt.Sprintf("%d %s", httpCode, http.StatusText(httpCode))
	}
	var code codes.Code
	if err := code.UnmarshalJSON(fmt.Appendf(nil, "%q", in.Error.Status)); err != nil || code == codes.OK {
		var ok bool
		if code, ok = codeOf[httpCode]; !ok {
			code = codes.Unknown
		}
	}
	out := &spb.Status{Code: int32(code), Message: in.Error.Message}
	for _, raw := range in.Error.Details {
		var detail anypb.Any
		if protojson.Unmarshal(raw, &detail) == nil { // what has no type of its own cannot be sent
			out.Details = append(out.Details, &detail)
		}
	}
	return status.ErrorProto(out)
}
