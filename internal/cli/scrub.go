package cli

import (
	"bytes"
	"io"
	"sync"
)

// scrubber stands before standard error and takes out what must never be seen
// there: access tokens and private keys, wherever they came from. Package secret
// keeps ours from getting this far; this catches those in other people's messages.
//
// A secret may be split over several writes. What could still become one is held
// back until the line ends or [scrubber.Flush] is called.
type scrubber struct {
	mu   sync.Mutex
	to   io.Writer
	held []byte
	// inKey is true between the BEGIN and the END line of a private key.
	inKey bool
}

const redactedText = "[redacted]"

var (
	tokenStart = []byte("ya29.")
	keyBegin   = []byte("-----BEGIN ")
	keyEnd     = []byte("-----END ")
	keyName    = []byte("PRIVATE KEY-----")
)

// Write writes p without its secrets. It always takes all of p unless the writer
// behind it fails.
func (s *scrubber) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, p...)
	end := bytes.LastIndexByte(s.held, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	out := s.clean(s.held[:end])
	s.held = append(s.held[:0], s.held[end:]...)
	if _, err := s.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what is held back of an unfinished line.
func (s *scrubber) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) == 0 {
		return nil
	}
	out := s.clean(s.held)
	s.held = s.held[:0]
	_, err := s.to.Write(out)
	return err
}

// clean returns text, which begins at the beginning of a line, without its secrets.
func (s *scrubber) clean(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		if s.inKey {
			at := bytes.Index(text, keyEnd)
			if at < 0 {
				return out
			}
			text = text[at+len(keyEnd):]
			if at := bytes.Index(text, keyName); at >= 0 {
				text = text[at+len(keyName):]
			}
			s.inKey = false
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
			s.inKey = true
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
