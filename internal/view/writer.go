package view

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode"

	"github.com/taskiam/taskiam/internal/lazy"
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
	key  keyState
}

// NewWriter returns a Writer before w.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

const redactedText = "[redacted]"

var (
	token    = lazy.Regexp(`ya29\.[\w.=/+-]*`)
	keyBegin = lazy.Regexp(`-----BEGIN ([A-Z0-9 ]+ )?PRIVATE KEY( BLOCK)?-----`)
	keyEdge  = lazy.Regexp(`-----(BEGIN|END) ([A-Z0-9 ]+ )?PRIVATE KEY( BLOCK)?-----`)
	// keyHeader is what may stand in front of a key's text.
	keyHeader = lazy.Regexp(`^[\s>"']*(Proc-Type|DEK-Info): `)
	// keyText are the characters of a key, and of the line breaks in it where it stands in JSON.
	keyText  = lazy.Regexp(`^[A-Za-z0-9+/=\\]+$`)
	keyPiece = lazy.Regexp(`[A-Za-z0-9+/=\\]{16,}`)
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

// clean returns text, which goes on where the last one ended, without its secrets.
func (w *Writer) clean(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		out = w.cleanLine(out, line)
	}
	return out
}

// cleanLine appends a line without its secrets. A key may begin in it and not end.
func (w *Writer) cleanLine(out, line []byte) []byte {
	for {
		if w.key == (keyState{}) {
			begin := keyBegin().FindIndex(line)
			if begin == nil {
				return append(out, withoutTokens(line)...)
			}
			out = append(append(out, withoutTokens(line[:begin[0]])...), redactedText...)
			line = line[begin[1]:]
			w.key = keyState{alone: true, lines: maxKeyLines, patience: keyPatience}
		}
		if out, line = w.cleanKey(out, line); line == nil {
			return out
		}
	}
}

// keyState is what is known after the BEGIN line of a private key; the zero value is outside of one.
type keyState struct {
	// alone is true as long as nothing but the key has come.
	alone bool
	// newline is true if a line break was left out with the last line.
	newline bool
	// A key without an END line is over after so many lines with other text in them, and after so many with no
	// piece of a key.
	lines, patience int
}

const (
	maxKeyLines = 100
	keyPatience = 3
)

// cleanKey appends a line, or the rest of one, that comes after the BEGIN line of a key, without the key. Lines of a
// key may be indented, quoted or joined. Only what can be part of a key is taken for one: a BEGIN line alone
// hides none of the words that come after it. It returns what follows the END line; nil if that has not come.
func (w *Writer) cleanKey(out, line []byte) (_, rest []byte) {
	body := line
	edge := keyEdge().FindSubmatchIndex(line)
	if edge != nil {
		body, rest = line[:edge[0]], line[edge[1]:]
		if string(line[edge[2]:edge[3]]) == "BEGIN" {
			rest = line[edge[0]:]
		}
	}
	words := bytes.FieldsFunc(body, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`>|"',;#*-`, r)
	})
	switch {
	case w.key.alone && (keyHeader().Match(body) || isKey(words)):
		w.key.newline = w.key.newline || bytes.HasSuffix(body, []byte("\n"))
	default:
		if w.key.newline {
			out = append(out, '\n')
		}
		w.key.alone, w.key.newline = false, false
		w.key.lines--
		w.key.patience--
		if keyPiece().Match(body) {
			w.key.patience = keyPatience
		}
		out = append(out, keyPiece().ReplaceAllLiteral(withoutTokens(body), []byte(redactedText))...)
	}
	if edge != nil || w.key.lines == 0 || w.key.patience == 0 {
		w.key = keyState{}
	}
	return out, rest
}

// isKey reports whether words are lines of a key, of which the last one may be short.
func isKey(words [][]byte) bool {
	for i, word := range words {
		if !keyText().Match(word) || i < len(words)-1 && !keyPiece().Match(word) {
			return false
		}
	}
	return true
}

func withoutTokens(text []byte) []byte { return token().ReplaceAllLiteral(text, []byte(redactedText)) }
