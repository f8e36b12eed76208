package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"testing/iotest"
)

// in returns text as content in pieces, which are as long as said.
func in(text string, lengths ...int) Content {
	var c Content
	for _, n := range lengths {
		c.pieces = append(c.pieces, []byte(text[c.size:c.size+n]))
		c.size += n
	}
	c.pieces = append(c.pieces, []byte(text[c.size:]))
	c.size = len(text)
	return c
}

// What is in pieces is the same as what is in one.
func TestContent(t *testing.T) {
	t.Parallel()
	const text = "one--two--three---four"
	for _, lengths := range [][]int{nil, {1}, {3, 1}, {4, 1, 4}, {0, 4, 0, 5}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}} {
		c := in(text, lengths...)
		for from := range len(text) + 1 {
			for to := from; to <= len(text); to++ {
				part := c.Slice(from, to)
				got, err := io.ReadAll(iotest.OneByteReader(part.Body()))
				if string(got) != text[from:to] || err != nil || string(part.Bytes()) != text[from:to] || part.Len() != to-from {
					t.Errorf("%v: %d to %d is %q, %v", lengths, from, to, got, err)
				}
			}
		}
		raw, err := json.Marshal(c)
		want, _ := json.Marshal([]byte(text))
		var back Content
		if err != nil || !bytes.Equal(raw, want) || json.Unmarshal(raw, &back) != nil || string(back.Bytes()) != text {
			t.Errorf("%v: as JSON it is %s, %v, and read back %q", lengths, raw, err, back.Bytes())
		}
		var joined Content
		joined.Append(c)
		joined.Append(in(text, lengths...))
		if string(joined.Bytes()) != text+text || string(c.Bytes()) != text {
			t.Errorf("%v: twice it is %q, and once %q", lengths, joined.Bytes(), c.Bytes())
		}
	}
}

// What is read takes the memory that it needs, whether its length is known, unknown or wrong.
func TestReadContent(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 511, 4096, 4097, 1 << 20, 3<<20 + 5} {
		want := bytes.Repeat([]byte("x"), n)
		for _, said := range []int64{-1, int64(n), int64(n) + 9, int64(n) / 2} {
			c, err := ReadContent(iotest.DataErrReader(bytes.NewReader(want)), said)
			if err != nil || c.Len() != n || !bytes.Equal(c.Bytes(), want) {
				t.Errorf("of %d bytes, said to be %d, %d are read: %v", n, said, c.Len(), err)
			}
			room := 0
			for _, piece := range c.pieces {
				room += cap(piece)
			}
			if room > 2*n+4096 {
				t.Errorf("%d bytes, said to be %d, take %d", n, said, room)
			}
		}
	}
	for _, want := range []error{io.ErrClosedPipe, io.ErrUnexpectedEOF} {
		broken := io.MultiReader(bytes.NewReader([]byte("x")), iotest.ErrReader(want))
		if _, err := ReadContent(broken, -1); err != want {
			t.Errorf("reading what breaks off with %v: %v", want, err)
		}
	}
}
