package grpcapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskiam/taskiam/emulator/internal/grpcapi"
	"github.com/taskiam/taskiam/internal/racetest"
)

// An object lies in memory once, and is copied once for each time that it is written: by gRPC out of the messages, by
// REST off the network, and out of a multipart body once more. Reading it copies nothing that is not used again. This
// test runs alone, because it measures.
func TestNothingIsBuffered(t *testing.T) {
	racetest.Skip(t, "buffers that could be used again are thrown away at random")
	const size, piece = 96 << 20, 2 << 20
	l := newLab(t)
	conn := l.dial("")
	content := make([]byte, piece)
	const form = "multipart/related; boundary=b"
	put := func(kind, name, contentType string, parts ...io.Reader) error {
		url := "http://" + l.addr + "/upload/storage/v1/b/acme-files/o?uploadType=" + kind + "&name=" + name
		return l.rest("POST", url, contentType, io.MultiReader(parts...), 0)
	}
	get := func(name string) error {
		return l.rest("GET", "http://"+l.addr+"/storage/v1/b/acme-files/o/"+name+"?alt=media", "", nil, size)
	}
	for _, tt := range []struct {
		name        string
		write, read func() error
		copies      float64 // of the content, the client's included
	}{
		{"grpc", func() error { return l.writeByGRPC(conn, content, size) }, func() error { return l.readByGRPC(conn, size) }, 2},
		{"media", func() error { return put("media", "media", "text/plain", zeros(size)) }, func() error { return get("media") }, 1},
		{"multipart", func() error {
			return put("multipart", "multipart", form, strings.NewReader("--b\r\n\r\n{}\r\n--b\r\n\r\n"), zeros(size), strings.NewReader("\r\n--b--"))
		}, func() error { return get("multipart") }, 2},
	} {
		live, allocated := heap()
		if err := tt.write(); err != nil {
			t.Fatalf("%s: writing: %v", tt.name, err)
		}
		after, _ := heap()
		if grown := float64(after-live) / size; grown < 0.9 || grown > 1.1 {
			t.Errorf("%s: an object takes %.2f times its size", tt.name, grown)
		}
		if err := tt.read(); err != nil {
			t.Fatalf("%s: reading: %v", tt.name, err)
		}
		_, total := heap()
		if copies := float64(total-allocated) / size; copies > tt.copies+0.9 { // the rest are buffers, which are used again
			t.Errorf("%s: written and read, an object was copied %.2f times, want %.1f", tt.name, copies, tt.copies)
		}
	}
}

// heap returns how much is in use, and how much was ever allocated.
func heap() (live, allocated int64) {
	var m runtime.MemStats
	runtime.GC() // twice: buffers that are used again are given up at the second
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.TotalAlloc)
}

func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// rest makes a request by REST, whose answer has so many bytes, if any number is given.
func (l *lab) rest(verb, url, contentType string, body io.Reader, want int64) error {
	r, err := http.NewRequestWithContext(l.t.Context(), verb, url, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+noah)
	r.Header.Set("Content-Type", contentType)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	n, err := io.Copy(io.Discard, a.Body)
	if err == nil && (a.StatusCode != http.StatusOK || want > 0 && n != want) {
		err = fmt.Errorf("%s with %d bytes", a.Status, n)
	}
	return err
}

// writeByGRPC writes an object of pieces that are all the same.
func (l *lab) writeByGRPC(conn *grpc.ClientConn, piece []byte, size int) error {
	const name = storage + "BidiWriteObject"
	stream, err := conn.NewStream(as(l.t.Context(), noah), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+name)
	if err != nil {
		return err
	}
	for at := 0; at < size; at += len(piece) {
		in, _, err := grpcapi.Messages(name)
		if err != nil {
			return err
		}
		request := fmt.Sprintf(`{"writeOffset":"%d","finishWrite":%t`, at, at+len(piece) == size)
		if at == 0 {
			request += "," + spec + "}"
		}
		if err := grpcapi.FromJSON([]byte(request+"}"), in); err != nil {
			return err
		}
		m := in.ProtoReflect()
		data := m.Mutable(m.Descriptor().Fields().ByName("checksummed_data")).Message()
		data.Set(data.Descriptor().Fields().ByName("content"), protoreflect.ValueOfBytes(piece))
		if err := stream.SendMsg(in); err != nil {
			break // RecvMsg knows more
		}
	}
	_, out, err := grpcapi.Messages(name)
	if err != nil {
		return err
	}
	return errors.Join(stream.RecvMsg(out), stream.CloseSend())
}

func (l *lab) readByGRPC(conn *grpc.ClientConn, size int) error {
	const name = storage + "ReadObject"
	stream, err := conn.NewStream(as(l.t.Context(), noah), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+name)
	if err != nil {
		return err
	}
	in, out, err := grpcapi.Messages(name)
	if err == nil {
		err = grpcapi.FromJSON([]byte(`{"bucket":"projects/_/buckets/acme-files","object":"a/b.txt"}`), in)
	}
	if err == nil {
		err = stream.SendMsg(in)
	}
	if err != nil {
		return err
	}
	for got := 0; ; {
		proto.Reset(out)
		if err := stream.RecvMsg(out); errors.Is(err, io.EOF) && got == size {
			return nil
		} else if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
		m := out.ProtoReflect()
		data := m.Get(m.Descriptor().Fields().ByName("checksummed_data")).Message()
		got += len(data.Get(data.Descriptor().Fields().ByName("content")).Bytes())
	}
}
