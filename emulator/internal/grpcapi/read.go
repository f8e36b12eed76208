package grpcapi

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxRead is how much content one message holds, as Cloud Storage says (MAX_READ_CHUNK_BYTES).
const maxRead = 2 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// span is a part of an object.
type span struct{ from, length int64 }

// spanOf is the part that a request means: a negative offset counts from the end, and 0 is no limit.
func spanOf(o restObject, offset, limit int64) (span, error) {
	if offset < 0 {
		offset = max(o.Size+offset, 0)
	}
	switch {
	case limit < 0:
		return span{}, status.Error(codes.InvalidArgument, "The number of bytes to be read must not be negative.")
	case offset > o.Size:
		return span{}, status.Errorf(codes.OutOfRange, "The object has %d bytes; reading cannot begin at %d.", o.Size,
			offset)
	case limit == 0 || limit > o.Size-offset:
		limit = o.Size - offset
	}
	return span{offset, limit}, nil
}

// content reads a part of an object, and sends it piece by piece, one at least. It is never copied as a whole.
func (c *call) content(f fields, o restObject, s span, send func(piece []byte, at int64, last bool) error) error {
	if s.length == 0 {
		return send(nil, s.from, true)
	}
	path, err := objectPath("", f)
	if err != nil {
		return err
	}
	q := f.query(preconditions)
	q.Set("generation", o.Generation) // the one whose metadata was sent
	q.Set("alt", "media")
	r, err := c.request(http.MethodGet, path+"?"+q.Encode(), nil)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "making a request of %s: %v", c.name, err)
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", s.from, s.from+s.length-1))
	at, end := s.from, s.from+s.length
	_, err = c.do(r, func(body []byte) error {
		for len(body) > 0 {
			n := min(len(body), maxRead)
			if err := send(body[:n], at, at+int64(n) == end); err != nil {
				return err
			}
			at, body = at+int64(n), body[n:]
		}
		return nil
	})
	return err
}

// setContent puts a piece of content, and its checksum, into a message that has a field for both.
func setContent(m protoreflect.Message, piece []byte) {
	data := m.Mutable(m.Descriptor().Fields().ByName("checksummed_data")).Message()
	of := data.Descriptor().Fields()
	data.Set(of.ByName("content"), protoreflect.ValueOfBytes(piece))
	data.Set(of.ByName("crc32c"), protoreflect.ValueOfUint32(crc32.Checksum(piece, castagnoli)))
}

// readObject sends an object, or a part of it: its metadata with the first piece.
func readObject(c *call) error {
	in, err := c.receive()
	if err != nil {
		return err
	}
	f, err := c.fieldsOf(in)
	if err != nil {
		return err
	}
	o, err := c.findObject(f)
	if err != nil {
		return err
	}
	s, err := spanOf(o, number(f, "readOffset"), number(f, "readLimit"))
	if err != nil {
		return err
	}
	first := map[string]any{
		"metadata": o.resource(), "objectChecksums": o.checksums(),
		"contentRange": map[string]any{"start": s.from, "end": s.from + s.length, "completeLength": o.Size},
	}
	return c.content(f, o, s, func(piece []byte, _ int64, _ bool) error {
		out, err := c.answerWith(first)
		if err != nil {
			return err
		}
		first = map[string]any{}
		setContent(out, piece)
		return c.stream.SendMsg(out)
	})
}

// bidiReadObject sends the parts of an object that the client asks for, one after the other.
func bidiReadObject(c *call) error {
	var spec fields
	var o restObject
	for {
		in, err := c.receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := c.fieldsOf(in)
		if err != nil {
			return err
		}
		first := map[string]any{}
		ranges, _ := f["readRanges"].([]any)
		if spec == nil {
			spec = f.object("readObjectSpec")
			if err := c.unknown(spec, "commonObjectRequestParams"); err != nil {
				return err
			}
			if o, err = c.findObject(spec); err != nil {
				return err
			}
			first["metadata"] = o.resource()
			if len(ranges) == 0 {
				if err := c.say(first); err != nil {
					return err
				}
			}
		}
		for _, r := range ranges {
			if err := c.readRange(spec, o, r, first); err != nil {
				return err
			}
			first = map[string]any{}
		}
	}
}

// readRange sends one part of an object; its first message has what is in first, too.
func (c *call) readRange(spec fields, o restObject, asked any, first map[string]any) error {
	m, _ := asked.(map[string]any)
	f := fields(m)
	s, err := spanOf(o, number(f, "readOffset"), number(f, "readLength"))
	if err != nil {
		return err
	}
	return c.content(spec, o, s, func(piece []byte, at int64, last bool) error {
		first["objectDataRanges"] = []any{map[string]any{
			"readRange": map[string]any{"readId": f.text("readId"), "readOffset": at, "readLength": len(piece)},
			"rangeEnd":  last,
		}}
		out, err := c.answerWith(first)
		if err != nil {
			return err
		}
		first = map[string]any{}
		ranges := out.Get(c.method.Output().Fields().ByName("object_data_ranges")).List()
		setContent(ranges.Get(0).Message(), piece)
		return c.stream.SendMsg(out)
	})
}

// say sends an answer, said in JSON.
func (c *call) say(v any) error {
	out, err := c.answerWith(v)
	if err != nil {
		return err
	}
	return c.stream.SendMsg(out)
}

// number is a field that is a number; 0 if it is absent.
func number(f fields, name string) int64 {
	n, err := strconv.ParseInt(f.text(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
