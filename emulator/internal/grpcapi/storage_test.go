package grpcapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskiam/taskiam/emulator/internal/grpcapi"
)

const storage = "google.storage.v2.Storage/"

// exchange sends messages on a stream, ends it, and returns all answers.
func (l *lab) exchange(conn *grpc.ClientConn, token, name string, messages ...string) ([]map[string]any, error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(as(l.t.Context(), token), time.Minute)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+name)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		in, _, err := grpcapi.Messages(name)
		if err == nil {
			err = grpcapi.FromJSON([]byte(m), in)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		if err := stream.SendMsg(in); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var answers []map[string]any
	for {
		_, out, err := grpcapi.Messages(name)
		if err != nil {
			l.t.Fatal(err)
		}
		if err := stream.RecvMsg(out); errors.Is(err, io.EOF) {
			return answers, nil
		} else if err != nil {
			return answers, err
		}
		raw, err := grpcapi.ToJSON(out)
		if err != nil {
			l.t.Fatal(err)
		}
		var a map[string]any
		if err := json.Unmarshal(raw, &a); err != nil {
			l.t.Fatal(err)
		}
		answers = append(answers, a)
	}
}

// at returns what lies at a path in an answer.
func at(v any, path ...any) string {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return ""
			}
			v = l[p]
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

const spec = `"writeObjectSpec":{"resource":{"name":"a/b.txt","bucket":"projects/_/buckets/acme-files","contentType":"text/plain","metadata":{"k":"v"}}`

// An object is written, read, listed and deleted, in each of the ways that clients take.
func TestObjects(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conn := l.dial("")
	const bucket, object = `"bucket":"projects/_/buckets/acme-files"`, `"object":"a/b.txt"`
	got, err := l.exchange(conn, noah, storage+"WriteObject", `{`+spec+`},"checksummedData":{"content":"c2Vz"}}`, `{"writeOffset":"3","checksummedData":{"content":"YW1l"},"finishWrite":true}`)
	if err != nil || at(got[0], "resource", "size") != "6" || at(got[0], "resource", "metadata", "k") != "v" {
		t.Fatalf("writing: %v, %v", got, err)
	}
	got, err = l.exchange(conn, noah, storage+"BidiWriteObject", `{`+spec+`,"ifGenerationMatch":"`+at(got[0], "resource", "generation")+`","appendable":false},"checksummedData":{"content":"c2Vz","crc32c":1}}`)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a wrong checksum: %v, %v", got, err)
	}
	got, err = l.exchange(conn, noah, storage+"BidiWriteObject", `{`+spec+`},"checksummedData":{"content":"c2Vz"},"stateLookup":true,"flush":true}`,
		`{"writeOffset":"3","checksummedData":{"content":"YW1l"}}`, `{"writeOffset":"6","finishWrite":true}`)
	if err != nil || len(got) != 2 || at(got[0], "persistedSize") != "3" || at(got[1], "resource", "size") != "6" {
		t.Fatalf("writing both ways: %v, %v", got, err)
	}
	start, err := l.call(conn, noah, storage+"StartResumableWrite", `{`+spec+`}}`)
	if err != nil {
		t.Fatal(err)
	}
	id := `{"uploadId":"` + at(start, "uploadId") + `"`
	if got, err := l.exchange(conn, noah, storage+"BidiWriteObject", id+`,"checksummedData":{"content":"c2Vz"}}`); err != nil || len(got) != 0 {
		t.Errorf("a part of an upload: %v, %v", got, err)
	}
	if got, err := l.call(conn, noah, storage+"QueryWriteStatus", id+`}`); err != nil || at(got, "persistedSize") != "3" {
		t.Errorf("its status: %v, %v", got, err)
	}
	if got, err := l.exchange(conn, noah, storage+"BidiWriteObject", id+`,"writeOffset":"3","checksummedData":{"content":"YW1l"},"finishWrite":true,"objectChecksums":{"crc32c":1}}`); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a wrong checksum of the whole: %v, %v", got, err)
	}

	for _, tt := range []struct{ offset, limit, want string }{
		{"0", "0", "sesame"}, {"2", "0", "same"}, {"1", "2", "es"}, {"-2", "0", "me"}, {"-9", "0", "sesame"}, {"6", "0", ""}, {"4", "9", "me"},
	} {
		got, err := l.exchange(conn, noah, storage+"ReadObject", `{`+bucket+`,`+object+`,"readOffset":"`+tt.offset+`","readLimit":"`+tt.limit+`"}`)
		if err != nil || len(got) != 1 || at(got[0], "metadata", "size") != "6" || text(t, at(got[0], "checksummedData", "content")) != tt.want {
			t.Errorf("reading from %s, %s bytes: %v, %v, want %q", tt.offset, tt.limit, got, err, tt.want)
		}
	}
	if _, err := l.exchange(conn, noah, storage+"ReadObject", `{`+bucket+`,`+object+`,"readOffset":"7"}`); status.Code(err) != codes.OutOfRange {
		t.Errorf("reading past the end: %v, want OutOfRange", err)
	}
	got, err = l.exchange(conn, noah, storage+"BidiReadObject", `{"readObjectSpec":{`+bucket+`,`+object+`},"readRanges":[{"readId":"7","readLength":"2"},{"readId":"8","readOffset":"4"}]}`, `{"readRanges":[{"readId":"9","readOffset":"-1"}]}`)
	var texts []string
	for _, a := range got {
		texts = append(texts, at(a, "objectDataRanges", 0, "readRange", "readId")+text(t, at(a, "objectDataRanges", 0, "checksummedData", "content"))+at(a, "objectDataRanges", 0, "rangeEnd"))
	}
	if joined := strings.Join(texts, " "); err != nil || joined != "7setrue 8metrue 9etrue" || at(got[0], "metadata", "name") != "a/b.txt" || at(got[1], "metadata") != "" {
		t.Errorf("reading ranges: %v, %v", got, err)
	}
	list, err := l.call(conn, noah, storage+"ListObjects", `{"parent":"projects/_/buckets/acme-files","delimiter":"/","pageSize":1}`)
	if err != nil || at(list, "prefixes", 0) != "a/" {
		t.Errorf("listing: %v, %v", list, err)
	}
	if b, err := l.call(conn, l.operator, storage+"GetBucket", `{"name":"projects/_/buckets/acme-files"}`); err != nil || at(b, "bucketId") != "acme-files" || at(b, "project") != "projects/678901234567" {
		t.Errorf("the bucket: %v, %v", b, err)
	}
	in, out, err := grpcapi.Messages(storage + "GetObject")
	if err == nil {
		err = grpcapi.FromJSON([]byte(`{`+bucket+`,`+object+`,"readMask":"name"}`), in)
	}
	if err != nil {
		t.Fatal(err)
	}
	grpcapi.MaskAll(in)
	if err := conn.Invoke(as(t.Context(), noah), "/"+storage+"GetObject", in, out); err != nil {
		t.Errorf("with the mask of all fields: %v", err)
	}
	if _, err := l.call(conn, noah, storage+"GetObject", `{`+bucket+`,`+object+`,"ifGenerationMatch":"1"}`); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a stale generation: %v, want FailedPrecondition", err)
	}
	for name, request := range map[string]string{
		"GetObject": `{` + bucket + `,` + object + `}`, "DeleteObject": `{` + bucket + `,` + object + `}`,
		"ListObjects": `{"parent":"projects/_/buckets/acme-files"}`, "GetBucket": `{"name":"projects/_/buckets/acme-files"}`,
		"StartResumableWrite": `{` + spec + `}}`, "QueryWriteStatus": id + `}`,
	} {
		if _, err := l.call(conn, mara, storage+name, request); name != "QueryWriteStatus" && status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s by nobody: %v, want PermissionDenied", name, err)
		}
	}
	for name, request := range map[string]string{
		"ReadObject": `{` + bucket + `,` + object + `}`, "BidiReadObject": `{"readObjectSpec":{` + bucket + `,` + object + `}}`,
		"WriteObject": `{` + spec + `},"finishWrite":true}`, "BidiWriteObject": `{` + spec + `},"finishWrite":true}`,
	} {
		if _, err := l.exchange(conn, mara, storage+name, request); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s by nobody: %v, want PermissionDenied", name, err)
		}
		if _, err := l.exchange(conn, "", storage+name, request); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s without a login: %v, want Unauthenticated", name, err)
		}
	}
	if _, err := l.call(conn, noah, storage+"DeleteObject", `{`+bucket+`,`+object+`}`); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if _, err := l.call(conn, noah, storage+"GetObject", `{`+bucket+`,`+object+`}`); status.Code(err) != codes.NotFound {
		t.Errorf("what was deleted: %v, want NotFound", err)
	}
	if _, err := l.call(conn, noah, storage+"RewriteObject", `{}`); status.Code(err) != codes.Unimplemented {
		t.Errorf("what is not here: %v, want Unimplemented", err)
	}
	for _, unknown := range []string{`"appendable":true`, `"predefinedAcl":"publicRead"`} {
		if _, err := l.exchange(conn, noah, storage+"BidiWriteObject", `{`+spec+`,`+unknown+`},"finishWrite":true}`); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v, want Unimplemented", unknown, err)
		}
	}
}

// A stream that breaks off leaves no upload behind, unless its id was told.
func TestNoUploadIsLeft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conn := l.dial("")
	before, err := l.server.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.exchange(conn, noah, storage+"WriteObject", `{`+spec+`},"checksummedData":{"content":"c2Vz"}}`); err != nil || at(got[0], "persistedSize") != "3" {
		t.Errorf("an object that has no end: %v, %v", got, err)
	}
	after, err := l.server.Snapshot()
	if err != nil || string(after) != string(before) {
		t.Errorf("it left %s, %v", after, err)
	}
}

func text(t *testing.T, base64 string) string {
	t.Helper()
	var b []byte
	if err := json.Unmarshal(fmt.Appendf(nil, "%q", base64), &b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}
