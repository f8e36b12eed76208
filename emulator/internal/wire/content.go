package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Content is what may be too long to be copied: the content of an object, say. It lies in memory once, in pieces, which
// are shared by whoever has it and never changed. The zero value is empty.
type Content struct {
	pieces [][]byte
	size   int
}

const (
	pieceSize  = 1 << 20  // of what is read
	smallPiece = 64 << 10 // is joined with the one before it
)

// NewContent returns b as content. The caller does not change b afterwards.
func NewContent(b []byte) Content {
	if len(b) == 0 {
		return Content{}
	}
	return Content{[][]byte{b}, len(b)}
}

// ReadContent reads r to its end. The size is what the reader is said to have, or -1; the content takes no more memory
// than it needs for either.
func ReadContent(r io.Reader, size int64) (Content, error) {
	var c Content
	for next := 4 << 10; ; next = min(2*next, pieceSize) {
		if rest := size - int64(c.size); rest > 0 {
			next = int(min(rest, pieceSize))
		} else if size >= 0 {
			next = bytes.MinRead // to see the end, most likely
		}
		piece := make([]byte, next)
		n, err := 0, error(nil) // not by io.ReadFull: it says the same of a reader that ends and of one that breaks off
		for n < len(piece) && err == nil {
			var more int
			more, err = r.Read(piece[n:])
			n += more
		}
		if n < len(piece)/2 {
			piece = bytes.Clone(piece[:n])
		}
		if n > 0 {
			c.pieces, c.size = append(c.pieces, piece[:n]), c.size+n
		}
		switch {
		case errors.Is(err, io.EOF):
			return c, nil
		case err != nil:
			return Content{}, err
		}
	}
}

// Len is the number of bytes.
func (c Content) Len() int { return c.size }

// Append adds more to the end of c, which nobody else has yet. It copies nothing but what is small.
func (c *Content) Append(more Content) {
	for _, piece := range more.pieces {
		if last := len(c.pieces) - 1; last >= 0 && len(piece) < smallPiece && len(c.pieces[last]) < pieceSize {
			c.pieces[last] = append(c.pieces[last], piece...)
		} else {
			c.pieces = append(c.pieces, slices.Clip(piece))
		}
		c.size += len(piece)
	}
}

// Slice returns the bytes from one offset to another, without copying them.
func (c Content) Slice(from, to int) Content {
	out := Content{size: to - from}
	for _, piece := range c.pieces {
		if first, last := max(from, 0), min(to, len(piece)); first < last {
			out.pieces = append(out.pieces, piece[first:last:last])
		}
		from, to = from-len(piece), to-len(piece)
	}
	return out
}

// Bytes returns what is short in one piece.
func (c Content) Bytes() []byte {
	if len(c.pieces) == 1 {
		return c.pieces[0]
	}
	return bytes.Join(c.pieces, nil)
}

// WriteTo writes the bytes to w.
func (c Content) WriteTo(w io.Writer) (n int64, err error) {
	for _, piece := range c.pieces {
		m, err := w.Write(piece)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Body returns the content as the body of a request that is handed over in memory: the server takes the pieces as
// they are.
func (c Content) Body() io.ReadCloser { return &contentBody{Content: c} }

type contentBody struct {
	Content
	piece, at int // where reading goes on
}

func (b *contentBody) Read(to []byte) (int, error) {
	for ; b.piece < len(b.pieces); b.piece, b.at = b.piece+1, 0 {
		if n := copy(to, b.pieces[b.piece][b.at:]); n > 0 || len(to) == 0 {
			b.at += n
			return n, nil
		}
	}
	return 0, io.EOF
}

func (b *contentBody) Close() error { return nil }

// MarshalJSON writes the bytes as JSON has those of a []byte.
func (c Content) MarshalJSON() ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, base64.StdEncoding.EncodedLen(c.size)+2))
	out.WriteByte('"')
	enc := base64.NewEncoder(base64.StdEncoding, out)
	if _, err := c.WriteTo(enc); err != nil {
		return nil, fmt.Errorf("encoding content: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("encoding content: %w", err)
	}
	out.WriteByte('"')
	return out.Bytes(), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Content) UnmarshalJSON(raw []byte) error {
	var b []byte
	if err := json.Unmarshal(raw, &b); err != nil {
		return err
	}
	*c = NewContent(b)
	return nil
}
