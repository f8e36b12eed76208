package grpcapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/emulator/internal/grpcapi"
)

// object is one more thing that the company has.
const object = `
[[bucket.object]]
name    = "a/b.txt"
content = "sesame"
`

// FuzzCall: whatever is sent as a gRPC call ends with a status that is no bug of the emulator's, and never panics.
func FuzzCall(f *testing.F) {
	requests := &log{}
	s, err := emulator.New(emulator.Config{Seed: []byte(company + object), Log: requests})
	if err != nil {
		f.Fatal(err)
	}
	_, token := s.Operator()
	for _, seed := range seeds(f) {
		f.Add(seed.method, seed.host, seed.encoding, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, host, encoding string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", bytes.NewReader(body))
		r.URL.Path, r.Host, r.ProtoMajor = "/"+method, host, 2
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Grpc-Timeout", "100m") // a streaming pull has no end of its own
		if encoding != "" {
			r.Header.Set("Grpc-Encoding", encoding)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		code, err := strconv.Atoi(w.Header().Get("Grpc-Status"))
		if w.Code != 200 || err != nil || code < 0 || code > 16 {
			t.Errorf("%s ends with %d, status %q", method, w.Code, w.Header().Get("Grpc-Status"))
		}
		if message := w.Header().Get("Grpc-Message"); strings.Contains(message, "emulator has a bug") {
			t.Errorf("%s ends with status %d: %s", method, code, message)
		}
		requests.mu.Lock()
		defer requests.mu.Unlock()
		if text := requests.b.String(); strings.Contains(text, `"panic":`) {
			t.Errorf("%s panics: %s", method, text)
		}
		requests.b.Reset()
	})
}

type seed struct {
	method, host, encoding string
	body                   []byte
}

// seeds are calls of every method, with nothing in them and with something in every field; and frames that are none.
func seeds(f *testing.F) []seed {
	names, err := grpcapi.Names()
	if err != nil {
		f.Fatal(err)
	}
	var out []seed
	for _, name := range names {
		in, _, err := grpcapi.Messages(name)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, seed{name, "127.0.0.1:8790", "", frame(nil)})
		for _, deep := range []bool{false, true} {
			if deep {
				fill(in.ProtoReflect(), 3)
			}
			if err := grpcapi.Fit(name, in, ids); err != nil {
				f.Fatal(err)
			}
			raw, err := proto.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			out = append(out, seed{name, "127.0.0.1:8790", "", frame(raw)})
		}
	}
	for name, requests := range map[string][]string{
		storage + "WriteObject":                     {`{` + spec + `},"checksummedData":{"content":"c2Vz"}}`, `{"writeOffset":"3","checksummedData":{"content":"YW1l"},"finishWrite":true}`},
		storage + "BidiWriteObject":                 {`{` + spec + `},"checksummedData":{"content":"c2Vz"},"stateLookup":true}`, `{"writeOffset":"9223372036854775807","finishWrite":true}`},
		storage + "ReadObject":                      {`{"bucket":"projects/_/buckets/acme-files","object":"a/b.txt","readOffset":"-9223372036854775808","readLimit":"9223372036854775807"}`},
		storage + "BidiReadObject":                  {`{"readObjectSpec":{"bucket":"projects/_/buckets/acme-files","object":"a/b.txt"},"readRanges":[{"readId":"1","readOffset":"2"}]}`, `{"readRanges":[{"readLength":"-1"}]}`},
		storage + "QueryWriteStatus":                {`{"uploadId":"acme-files/x"}`},
		"google.iam.admin.v1.IAM/ListRoles":         {`{"pageSize":-1,"pageToken":"?","parent":"projects/acme-data"}`},
		"google.pubsub.v1.Subscriber/StreamingPull": {`{"subscription":"projects/acme-data/subscriptions/reader","streamAckDeadlineSeconds":10}`, `{"ackIds":["x"],"modifyDeadlineAckIds":["y"],"modifyDeadlineSeconds":[1,2]}`},
	} {
		var body []byte
		for _, request := range requests {
			in, _, err := grpcapi.Messages(name)
			if err == nil {
				err = grpcapi.FromJSON([]byte(request), in)
			}
			if err != nil {
				f.Fatal(err)
			}
			raw, err := proto.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			body = append(body, frame(raw)...)
		}
		out = append(out, seed{name, "127.0.0.1", "", body}, seed{name, "storage.googleapis.com", "", body})
	}
	const get = storage + "GetObject"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("\x0a\x01x"))
	_ = z.Close()
	return append(out,
		seed{get, "storage.googleapis.com", "", nil},
		seed{get, "storage.googleapis.com", "", []byte{0, 0, 0}},
		seed{get, "storage.googleapis.com", "", []byte{0, 0xff, 0xff, 0xff, 0xff}},
		seed{get, "storage.googleapis.com", "", []byte{0, 0, 0, 0, 9, 1}},
		seed{get, "storage.googleapis.com", "", append(frame(nil), frame(nil)...)},
		seed{get, "storage.googleapis.com", "", frame([]byte("\x0a\x02\xff\xfe"))},
		seed{get, "storage.googleapis.com", "gzip", append([]byte{1}, frame(zipped.Bytes())[1:]...)},
		seed{get, "storage.googleapis.com", "gzip", []byte{1, 0, 0, 0, 1, 7}},
		seed{get, "storage.googleapis.com", "none", []byte{1, 0, 0, 0, 1, 7}},
		seed{get, "example.com", "", frame(nil)}, seed{get, "", "", frame(nil)},
		seed{"", "storage.googleapis.com", "", frame(nil)}, seed{"a/b/c", "storage.googleapis.com", "", frame(nil)},
		seed{storage, "storage.googleapis.com", "", frame(nil)},
	)
}

// frame is a message as gRPC sends it.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// ids are what the company has of each collection.
var ids = map[string]string{
	"projects": "acme-data", "secrets": "word", "versions": "1", "topics": "news", "subscriptions": "reader", "locations": "global",
	"keyRings": "ring", "cryptoKeys": "key", "cryptoKeyVersions": "1", "serviceAccounts": "builder@acme-data.iam.gserviceaccount.com",
}

// unfilled are messages that the emulator refuses if anything is in them, or that have a form of their own in JSON.
var unfilled = []protoreflect.Name{"CommonObjectRequestParams", "FieldMask", "AppendObjectSpec", "Any", "Timestamp", "Duration"}

// fill puts something into every field of a message, and of those in it, as deep as said.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap() || f.ContainingOneof() != nil && m.WhichOneof(f.ContainingOneof()) != nil:
		case f.Message() != nil && (depth == 0 || slices.Contains(unfilled, f.Message().Name())):
		case f.IsList() && f.Message() != nil:
			fill(m.Mutable(f).List().AppendMutable().Message(), depth-1)
		case f.IsList():
			m.Mutable(f).List().Append(scalar(f))
		case f.Message() != nil:
			fill(m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, scalar(f))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		if f.Name() == "bucket" || f.Name() == "parent" || f.Name() == "name" {
			return protoreflect.ValueOfString("projects/_/buckets/acme-files") // what has other names gets them by its path
		}
		return protoreflect.ValueOfString("a/b.txt")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("hi"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	}
	return f.Default()
}
