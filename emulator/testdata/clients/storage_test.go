package clients_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func bucket(t testing.TB, options ...option.ClientOption) *storage.BucketHandle {
	t.Helper()
	client, err := storage.NewGRPCClient(t.Context(), append(options, storage.WithDisabledClientMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client.Bucket("acme-files")
}

// Objects are written and read in each of the ways that the client has.
func TestStorage(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way func(string) []option.ClientOption) {
		large := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16*7) // 21 MiB: more than one chunk
		write := func(b *storage.BucketHandle, name string, content []byte, chunk int) error {
			w := b.Object(name).NewWriter(t.Context())
			w.ChunkSize = chunk
			w.Metadata = map[string]string{"k": "v"}
			if _, err := w.Write(content); err != nil {
				_ = w.Close()
				return err
			}
			return w.Close()
		}
		read := func(b *storage.BucketHandle, name string, from, length int64) ([]byte, error) {
			r, err := b.Object(name).NewRangeReader(t.Context(), from, length)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		}
		prefix := strings.ToLower(t.Name()) + "/"
		b := bucket(t, way(noah)...)
		check(t, write(b, prefix+"small", []byte("sesame"), 0))
		check(t, write(b, prefix+"empty", nil, 0))
		check(t, write(b, prefix+"large", large, 8<<20))
		check(t, write(b, prefix+"large", large, 0)) // in one stream, over the first
		for kind, b := range map[string]*storage.BucketHandle{
			"read": b, "bidi read": bucket(t, append(way(noah), storage.WithGRPCBidiReads())...),
		} {
			for _, tt := range []struct {
				name         string
				from, length int64
				want         []byte
			}{
				{"small", 0, -1, []byte("sesame")}, {"small", 2, 3, []byte("sam")}, {"small", -2, -1, []byte("me")},
				{"empty", 0, -1, []byte{}}, {"large", 0, -1, large}, {"large", 5 << 20, 4 << 20, large[5<<20 : 9<<20]},
			} {
				got, err := read(b, prefix+tt.name, tt.from, tt.length)
				if err != nil || !bytes.Equal(got, tt.want) {
					t.Errorf("%s of %s from %d: %d bytes, %v", kind, tt.name, tt.from, len(got), err)
				}
			}
		}
		attrs, err := b.Object(prefix + "small").Attrs(t.Context())
		check(t, err)
		if attrs.Size != 6 || attrs.Metadata["k"] != "v" || attrs.ContentType == "" {
			t.Errorf("the object is %+v", attrs)
		}
		names := 0
		for objects := b.Objects(t.Context(), &storage.Query{Prefix: prefix}); ; names++ {
			if _, err := objects.Next(); errors.Is(err, iterator.Done) {
				break
			} else {
				check(t, err)
			}
		}
		if names != 3 {
			t.Errorf("%d objects are listed, want 3", names)
		}
		other := bucket(t, way(mara)...)
		if _, err := read(other, prefix+"small", 0, -1); status.Code(err) != codes.PermissionDenied {
			t.Errorf("reading what is not granted: %v", err)
		}
		if err := write(other, prefix+"other", []byte("x"), 0); status.Code(err) != codes.PermissionDenied {
			t.Errorf("writing what is not granted: %v", err)
		}
		if err := write(other, prefix+"other", large, 8<<20); status.Code(err) != codes.PermissionDenied {
			t.Errorf("beginning an upload that is not granted: %v", err)
		}
		check(t, b.Object(prefix+"small").Delete(t.Context()))
		if _, err := b.Object(prefix + "small").Attrs(t.Context()); !errors.Is(err, storage.ErrObjectNotExist) {
			t.Errorf("after it was deleted: %v", err)
		}
		owner := bucket(t, way(operator)...)
		if attrs, err := owner.Attrs(t.Context()); err != nil || attrs.Name != "acme-files" {
			t.Errorf("the bucket is %+v, %v", attrs, err)
		}
	})
}

// zeros is a reader of n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// copyObject writes n bytes and reads them again.
func copyObject(ctx context.Context, o *storage.ObjectHandle, n int64) error {
	w := o.NewWriter(ctx)
	if _, err := io.Copy(w, zeros(n)); err != nil {
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	r, err := o.NewReader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.Copy(io.Discard, r)
	if err == nil && got != n {
		err = io.ErrUnexpectedEOF
	}
	return err
}
