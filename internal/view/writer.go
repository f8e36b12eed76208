package view

import (
	"bytes"
	"io"
	"sync"

	"github.com/taskiam/taskiam/internal/visible"
)

// Writer is used for every stream that people read. It removes what must never be seen there:
// access tokens and private keys, wherever they came from. (Package secret keeps our own from getting
// this far; this catches those in other people's messages.) And it makes visible what could change
// what a terminal shows, or pass for something else: see [visible.Text]. Newlines and tabs pass.
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
	out := visible.Text(string(w.clean(w.held[:end])))
	w.held = append(w.held[:0], w.held[end:]...)
	if _, err := io.WriteString(w.to, out); err != nil {
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
	out := visible.Text(string(w.clean(w.held)))
	w.held = w.held[:0]
	_, err := io.WriteString(w.to, out)
	return err
}

// redact returns a text of its own without its secrets.
func redact(text string) string { return string(new(Writer).clean([]byte(text))) }

// clean returns text, which begins at the beginning of a line, without its secrets. Only what can be part of a key
// is taken for one: a BEGIN line alone hides nothing that comes after it.
func (w *Writer) clean(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		if w.inKey {
			rest, part := afterKey(line)
			switch part {
			case keyGoesOn:
				continue
			case keyEnded:
				line = rest
			case noKey:
				out = append(out, '\n')
			}
			w.inKey = false
		}
		out = w.cleanLine(out, line)
	}
	return out
}

// cleanLine appends a line without its secrets. A key may begin in it and not end.
func (w *Writer) cleanLine(out, line []byte) []byte {
	for {
		token, key := bytes.Index(line, tokenStart), keyStart(line)
		switch {
		case token < 0 && key < 0:
			return append(out, line...)
		case key < 0 || token >= 0 && token < key:
			out = append(append(out, line[:token]...), redactedText...)
			line = bytes.TrimLeftFunc(line[token+len(tokenStart):], inToken)
		default:
			out = append(append(out, line[:key]...), redactedText...)
			line = line[key:]
			rest, part := afterKey(line[bytes.Index(line, keyName)+len(keyName):])
			if part == keyGoesOn {
				w.inKey = true
				return out
			}
			line = rest
		}
	}
}

// keyPart is what a line, or the rest of one, is to a private key.
type keyPart int

const (
	noKey     keyPart = iota // the key is over, and has no END line
	keyEnded                 // the END line is in it
	keyGoesOn                // all of it is part of the key
)

// keyBody are the characters of a key, and of the line breaks in it where it stands in JSON.
const keyBody = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\`

// afterKey returns what follows the rest of a key in a line.
func afterKey(line []byte) (rest []byte, part keyPart) {
	rest = bytes.TrimLeft(line, keyBody)
	if header := bytes.HasPrefix(line, []byte("Proc-Type:")) || bytes.HasPrefix(line, []byte("DEK-Info:")); header ||
		len(bytes.TrimRight(rest, "\r\n")) == 0 {
		return nil, keyGoesOn
	}
	if at := bytes.Index(rest, keyName); at >= 0 && bytes.HasPrefix(rest, keyEnd) {
		return rest[at+len(keyName):], keyEnded
	}
	return rest, noKey
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
