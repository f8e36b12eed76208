package grpcapi

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// upload is a resumable upload of the JSON API. Its id here has the bucket in it: BUCKET/ID.
type upload struct{ bucket, id string }

func (u upload) String() string { return u.bucket + "/" + u.id }

func uploadOf(id string) (upload, error) {
	bucket, id, ok := strings.Cut(id, "/")
	if !ok || bucket == "" || id == "" {
		return upload{}, status.Errorf(codes.InvalidArgument, "No such upload: %s", id)
	}
	return upload{bucket, id}, nil
}

func (u upload) target() string {
	return "/upload/storage/v1/b/" + url.PathEscape(u.bucket) + "/o?" +
		url.Values{"uploadType": {"resumable"}, "upload_id": {u.id}}.Encode()
}

// begin begins the upload that a specification describes. Who may not make the object is refused here.
func (c *call) begin(spec, sums fields) (upload, error) {
	if spec["appendable"] == true {
		return upload{}, c.unknown(spec, "appendable")
	}
	resource := spec.object("resource")
	path, err := bucketPath("/upload", resource.text("bucket"))
	if err != nil {
		return upload{}, err
	}
	q := spec.query(preconditions)
	q.Set("uploadType", "resumable")
	q.Set("name", resource.text("name"))
	if predefined := spec.text("predefinedAcl"); predefined != "" {
		q.Set("predefinedAcl", predefined)
	}
	metadata := map[string]any{}
	for _, name := range []string{
		"contentType", "contentEncoding", "contentLanguage", "contentDisposition", "cacheControl", "storageClass",
		"metadata",
	} {
		if v, ok := resource[name]; ok {
			metadata[name] = v
		}
	}
	if sum, ok := crcOf(sums); ok {
		metadata["crc32c"] = sum
	}
	if sum := sums.text("md5Hash"); sum != "" {
		metadata["md5Hash"] = sum
	}
	raw, err := json.Marshal(metadata)
	if err != nil {
		return upload{}, status.Errorf(codes.Internal, "encoding metadata: %v", err)
	}
	r, err := c.request(http.MethodPost, path+"/o?"+q.Encode(), raw)
	if err != nil {
		return upload{}, status.Errorf(codes.InvalidArgument, "making a request of %s: %v", c.name, err)
	}
	a, err := c.do(r, nil)
	if err != nil {
		return upload{}, err
	}
	at, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		return upload{}, status.Errorf(codes.Internal, "the emulator has a bug: the address of an upload: %v", err)
	}
	return upload{strings.TrimPrefix(resource.text("bucket"), "projects/_/buckets/"), at.Query().Get("upload_id")}, nil
}

// crcOf is the CRC32C among checksums, as the JSON API writes it.
func crcOf(sums fields) (string, bool) {
	v, ok := sums["crc32c"].(float64)
	if !ok {
		return "", false
	}
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, uint32(v))), true
}

// put sends bytes of an upload: those at an offset, and how many there are in all, -1 if more follow. It returns the
// object when the upload is done, and else how many bytes have arrived.
func (c *call) put(
	u upload, content []byte, from, total int64, sums fields,
) (o restObject, done bool, have int64, err error) {
	r, err := c.request(http.MethodPut, u.target(), nil)
	if err != nil {
		return o, false, 0, status.Errorf(codes.InvalidArgument, "making a request of %s: %v", c.name, err)
	}
	r.Body, r.ContentLength = wire.NewContent(content).Body(), int64(len(content)) // not copied
	of, span := "*", "*"
	if total >= 0 {
		of = strconv.FormatInt(total, 10)
	}
	if len(content) > 0 {
		span = fmt.Sprintf("%d-%d", from, from+int64(len(content))-1)
	}
	r.Header.Set("Content-Range", "bytes "+span+"/"+of)
	r.Header.Set("Content-Type", "application/octet-stream")
	var hashes []string
	if sum, ok := crcOf(sums); ok {
		hashes = append(hashes, "crc32c="+sum)
	}
	if sum := sums.text("md5Hash"); sum != "" {
		hashes = append(hashes, "md5="+sum)
	}
	if len(hashes) > 0 {
		r.Header.Set("X-Goog-Hash", strings.Join(hashes, ","))
	}
	a, err := c.do(r, nil)
	if err != nil {
		return o, false, 0, err
	}
	if a.code == http.StatusPermanentRedirect {
		if _, last, ok := strings.Cut(a.header.Get("Range"), "-"); ok {
			if have, err = strconv.ParseInt(last, 10, 64); err != nil {
				return o, false, 0, status.Errorf(codes.Internal, "the emulator has a bug: a range: %v", err)
			}
			have++
		}
		return o, false, have, nil
	}
	if err := json.Unmarshal(a.body, &o); err != nil {
		return o, false, 0, status.Errorf(codes.Internal, "the emulator has a bug: its answer to an upload: %v", err)
	}
	return o, true, o.Size, nil
}

func startWrite(c *call, in *dynamicpb.Message) (*dynamicpb.Message, error) {
	f, err := c.fieldsOf(in)
	if err != nil {
		return nil, err
	}
	u, err := c.begin(f.object("writeObjectSpec"), f.object("objectChecksums"))
	if err != nil {
		return nil, err
	}
	return c.answerWith(map[string]any{"uploadId": u.String()})
}

func queryWrite(c *call, in *dynamicpb.Message) (*dynamicpb.Message, error) {
	f, err := c.fieldsOf(in)
	if err != nil {
		return nil, err
	}
	u, err := uploadOf(f.text("uploadId"))
	if err != nil {
		return nil, err
	}
	_, _, have, err := c.put(u, nil, 0, -1, nil)
	if err != nil {
		return nil, err
	}
	return c.answerWith(map[string]any{"persistedSize": have})
}

// piece is one message of a stream that writes: what it says, and the bytes apart.
type piece struct {
	fields
	content []byte
	crc     *uint32
}

// receivePiece reads a message of a stream that writes. Its bytes are not copied.
func (c *call) receivePiece() (piece, error) {
	in, err := c.receive()
	if err != nil {
		return piece{}, err
	}
	var p piece
	field := in.Descriptor().Fields().ByName("checksummed_data")
	if in.Has(field) {
		data := in.Get(field).Message()
		of := data.Descriptor().Fields()
		p.content = data.Get(of.ByName("content")).Bytes()
		if data.Has(of.ByName("crc32c")) {
			sum := uint32(data.Get(of.ByName("crc32c")).Uint())
			p.crc = &sum
		}
		in.Set(field, protoreflect.ValueOfMessage(data.New()))
	}
	if p.crc != nil && *p.crc != crc32.Checksum(p.content, castagnoli) {
		return p, status.Error(codes.InvalidArgument, "The checksum of a message does not match its content.")
	}
	p.fields, err = c.fieldsOf(in)
	return p, err
}

// writeObject takes an object, or the rest of an upload, and answers once.
func writeObject(c *call) error { return c.write(false) }

// bidiWriteObject does the same, and says how much it has whenever it is asked.
func bidiWriteObject(c *call) error { return c.write(true) }

// write takes the pieces of an object as they arrive, each by a request to REST.
func (c *call) write(tells bool) (err error) {
	p, err := c.receivePiece()
	if err != nil {
		return err
	}
	var u upload
	whole := p.text("uploadId") == "" // in this stream alone
	if whole {
		u, err = c.begin(p.object("writeObjectSpec"), nil)
	} else {
		u, err = uploadOf(p.text("uploadId"))
	}
	if err != nil {
		return err
	}
	finished := false
	defer func() {
		if whole && !finished {
			c.cancel(u)
		}
	}()
	var have int64
	for {
		from, total := number(p.fields, "writeOffset"), int64(-1)
		if p.fields["finishWrite"] == true {
			total = from + int64(len(p.content))
		}
		if total >= 0 || len(p.content) > 0 || p.fields["stateLookup"] == true {
			var o restObject
			o, finished, have, err = c.put(u, p.content, from, total, p.object("objectChecksums"))
			if err != nil {
				return err
			}
			if finished {
				return c.say(map[string]any{"resource": o.resource()})
			}
			if total >= 0 {
				return status.Errorf(codes.OutOfRange, "The upload has %d bytes; it cannot end at %d.", have, total)
			}
		}
		if tells && p.fields["stateLookup"] == true {
			if err := c.say(map[string]any{"persistedSize": have}); err != nil {
				return err
			}
		}
		p, err = c.receivePiece()
		if errors.Is(err, io.EOF) {
			if tells {
				return nil
			}
			return c.say(map[string]any{"persistedSize": have})
		}
		if err != nil {
			return err
		}
	}
}

// cancel forgets an upload that nobody can continue, because its id was never told.
func (c *call) cancel(u upload) {
	if r, err := c.request(http.MethodDelete, u.target(), nil); err == nil {
		_, _ = c.do(r, nil) // the stream has ended as it has
	}
}
