package view

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Writer is used for every stream that people read. It removes what must never be seen there:
// access tokens and private keys, wherever they came from. (Package secret keeps our own from getting
// this far; this catches those in other people's messages.) And it makes visible what could change
// what a terminal shows: a control character, a change of the direction of text or a byte that is not
// UTF-8 is written as Go escapes it. Newlines and tabs pass.
//
// A secret may be split over several writes. An unfinished line is held back until it ends or
// [Writer.Flush] is called.
type Writer struct {
	mu   sync.Mutex
	to   io.Writer
	held []byte
	// inKey is true between the BEGIN and the END line of a private key.
	inKey bool
}

// NewWriter returns a Writer before w.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

const redactedText = "[redacted]"

var (
	tokenStart = []byte("ya29.")
	keyBegin   = []byte("-----BEGIN ")
	keyEnd     = []byte("-----END ")
	keyName    = []byte("PRIVATE KEY-----")
)

// Write writes p without its secrets and with its control characters escaped. It always takes all of p
// unless the writer behind it fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, p...)
	end := bytes.LastIndexByte(w.held, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	out := escape(w.clean(w.held[:end]))
	w.held = append(w.held[:0], w.held[end:]...)
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes the unfinished line that was held back.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	out := escape(w.clean(w.held))
	w.held = w.held[:0]
	_, err := w.to.Write(out)
	return err
}

// clean returns text, which begins at the beginning of a line, without its secrets.
func (w *Writer) clean(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		if w.inKey {
			at := bytes.Index(text, keyEnd)
			if at < 0 {
				return out
			}
			text = text[at+len(keyEnd):]
			if at := bytes.Index(text, keyName); at >= 0 {
				text = text[at+len(keyName):]
			}
			w.inKey = false
			continue
		}
		token, key := bytes.Index(text, tokenStart), keyStart(text)
		switch {
		case token < 0 && key < 0:
			return append(out, text...)
		case key < 0 || token >= 0 && token < key:
			out = append(append(out, text[:token]...), redactedText...)
			text = bytes.TrimLeftFunc(text[token+len(tokenStart):], inToken)
		default:
			out = append(append(out, text[:key]...), redactedText...)
			text = text[key+len(keyBegin):]
			w.inKey = true
		}
	}
	return out
}

// keyStart returns where the first BEGIN line of a private key is, else -1.
func keyStart(text []byte) int {
	for from := 0; ; {
		at := bytes.Index(text[from:], keyBegin)
		if at < 0 {
			return -1
		}
		at += from
		from = at + len(keyBegin)
		label := text[from:]
		if end := bytes.Index(label, []byte("-----")); end >= 0 && bytes.HasSuffix(label[:end+5], keyName) {
			return at
		}
	}
}

// inToken reports whether r can be part of an access token.
func inToken(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
		r == '-' || r == '_' || r == '.' || r == '=' || r == '/' || r == '+'
}

// escape returns text with everything but newlines, tabs and what can be seen escaped.
func escape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\x`...)
			out = append(out, "0123456789abcdef"[text[0]>>4], "0123456789abcdef"[text[0]&0xF])
		case r == '\n', r == '\t', unicode.IsPrint(r):
			out = append(out, text[:size]...)
		default:
			quoted := strconv.QuoteRune(r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		text = text[size:]
	}
	return out
}
