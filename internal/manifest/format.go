package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/fault"
)

// Format returns a TOML file in the one layout of manifests. It changes white space outside of strings and nothing
// else: comments, values and their order stay. The name of the file is only for messages. A file that is no TOML is
// refused as [Parse] does; one that is no valid manifest is formatted all the same, because people format what they
// are still writing.
func Format(file string, src []byte) ([]byte, error) {
	before, err := contents(file, src)
	if err != nil {
		return nil, err
	}
	tokens := scan(trimBOM(src))
	lines := entries(tokens)
	setGaps(lines)
	align(lines)
	var out []byte
	for _, e := range lines {
		out = append(out, e.line()...)
	}
	// Nobody looks at what was formatted before it is used: it has to say what it said before, comments included.
	after, err := contents(file, out)
	if err != nil || after != before || !slices.Equal(said(tokens), said(scan(out))) {
		return nil, fault.New(fault.Other, "formatting %s would change what it says, which is a defect of this "+
			"program: it is left as it is", file)
	}
	return out, nil
}

// contents returns everything that a TOML file says as text that is equal for files that say the same.
func contents(file string, src []byte) (string, error) {
	r := reader{file: file, src: src, lines: newLines(src)}
	values, _ := r.decode()
	if len(r.problems) > 0 {
		return "", &fault.Error{Kind: fault.Usage, Err: r.problems}
	}
	return fmt.Sprintf("%#v", values), nil
}

// token is a part of a TOML file that white space can stand around.
type token struct {
	kind tokenKind
	text string
}

type tokenKind int

const (
	bare    tokenKind = iota // a bare key, a number, a date, true or false
	quoted                   // a string with its quotes
	comment                  // from # to the end of its line
	newline                  // the end of a line outside of strings
	mark                     // one of [ ] { } , = . and [[ ]] in headers
)

// said returns the tokens that mean something.
func said(tokens []token) []token {
	return slices.DeleteFunc(slices.Clone(tokens), func(t token) bool { return t.kind == newline })
}

// scan splits a valid TOML file into tokens.
func scan(src []byte) []token {
	var out []token
	var open []byte // the brackets of a value that are open
	value := false  // after the = of a line, where a dot is part of a word
	for i := 0; i < len(src); {
		c, from := src[i], i
		kind := mark
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			i++
			continue
		case c == '\n':
			i++
			kind = newline
			value = value && len(open) > 0
		case c == '#':
			i += lineEnd(src[i:])
			kind = comment
		case c == '"' || c == '\'':
			i += stringEnd(src[i:])
			kind = quoted
		case c == '.' && !value:
			i++
		case !value && len(open) == 0 && doubled(src[i:]):
			i += 2
		case strings.IndexByte("[]{},=", c) >= 0:
			i++
			open, value = after(c, open, value)
		default:
			i += wordEnd(src[i:], value)
			kind = bare
		}
		text := string(src[from:i])
		if kind == comment {
			text = strings.TrimRight(text, " \t\r")
		}
		out = append(out, token{kind, text})
	}
	return out
}

// after returns the open brackets after a mark, and whether what follows is a value and not a key.
func after(c byte, open []byte, value bool) ([]byte, bool) {
	switch {
	case c == '=':
		return open, true
	case !value && len(open) == 0: // the brackets of a header
		return open, false
	case c == '[' || c == '{':
		return append(open, c), c == '['
	case c == ',':
		return open, len(open) > 0 && open[len(open)-1] == '['
	case len(open) > 0: // ] or }
		return open[:len(open)-1], true
	}
	return open, value
}

// doubled reports whether src begins with the brackets of a header that has two.
func doubled(src []byte) bool {
	return bytes.HasPrefix(src, []byte("[[")) || bytes.HasPrefix(src, []byte("]]"))
}

// wordEnd returns the length of the word that src begins with. A dot is part of a value, and no part of a key.
func wordEnd(src []byte, value bool) int {
	i := 0
	for i < len(src) && strings.IndexByte(" \t\r\n#\"'[]{},=", src[i]) < 0 && (value || src[i] != '.') {
		i++
	}
	return i
}

func lineEnd(src []byte) int {
	if n := bytes.IndexByte(src, '\n'); n >= 0 {
		return n
	}
	return len(src)
}

// stringEnd returns the length of the string that src begins with.
func stringEnd(src []byte) int {
	quote := src[0]
	quotes := 1
	if len(src) >= 3 && src[1] == quote && src[2] == quote {
		quotes = 3
	}
	for i := quotes; i < len(src); i++ {
		switch {
		case src[i] == '\\' && quote == '"':
			i++
		case src[i] == quote && quotes == 1:
			return i + 1
		case src[i] == quote && bytes.Count(src[i:min(i+3, len(src))], src[:1]) == 3:
			// Up to two quotes right before the three that end a string belong to it.
			for i += 3; i < len(src) && src[i] == quote; i++ {
			}
			return i
		}
	}
	return len(src)
}

// statement returns the tokens up to the end of a header, a key with its value, a comment or an empty line, and
// those after it. The end of the line is not part of it.
func statement(tokens []token) (s, rest []token) {
	depth, value := 0, false
	for i, t := range tokens {
		switch {
		case t.kind == newline && depth == 0:
			return tokens[:i], tokens[i+1:]
		case t.kind == mark && t.text == "=":
			value = true
		case t.kind == mark && value && (t.text == "[" || t.text == "{"):
			depth++
		case t.kind == mark && value && (t.text == "]" || t.text == "}"):
			depth--
		}
	}
	return tokens, nil
}

// entry is a statement as it will be written.
type entry struct {
	gap     bool   // an empty line stands before it
	key     string // "" for a header and for a line with nothing but a comment
	text    string // the value, the header, or ""
	comment string // what ends the line, or ""
}

func (e entry) header() bool { return e.key == "" && e.text != "" }

// alone reports whether the entry is a line with nothing but a comment.
func (e entry) alone() bool { return e.key == "" && e.text == "" }

// line returns the entry with its line breaks.
func (e entry) line() string {
	s := ""
	if e.gap {
		s = "\n"
	}
	if e.key != "" {
		s += e.key + " = "
	}
	s += e.text
	if e.text != "" && e.comment != "" {
		s += " "
	}
	return s + e.comment + "\n"
}

// entries returns the statements of a file. Several empty lines are one, and none comes first or last.
func entries(tokens []token) []entry {
	var out []entry
	gap := false
	for len(tokens) > 0 {
		var s []token
		if s, tokens = statement(tokens); len(s) == 0 {
			gap = len(out) > 0
			continue
		}
		e := entry{gap: gap}
		gap = false
		if last := s[len(s)-1]; last.kind == comment {
			e.comment, s = last.text, s[:len(s)-1]
		}
		switch equals := slices.Index(s, token{mark, "="}); {
		case equals >= 0:
			e.key, e.text = joined(s[:equals]), written(s[equals+1:])
		default:
			e.text = joined(s)
		}
		out = append(out, e)
	}
	return out
}

// setGaps leaves no empty line after the header of a table, and one before it and the comment that belongs to it.
func setGaps(entries []entry) {
	for i := 1; i < len(entries); i++ {
		if entries[i-1].header() {
			entries[i].gap = false
		}
	}
	for i, e := range entries {
		if !e.header() {
			continue
		}
		for i > 0 && !entries[i].gap && entries[i-1].alone() {
			i--
		}
		entries[i].gap = i > 0
	}
}

// align makes the keys of lines that stand together equally wide, and then what is before their comments.
func align(entries []entry) {
	for len(entries) > 0 {
		n := 0
		for n < len(entries) && entries[n].key != "" && !strings.Contains(entries[n].text, "\n") &&
			(n == 0 || !entries[n].gap) {
			n++
		}
		block := entries[:n]
		entries = entries[max(n, 1):]
		keys := 0
		for _, e := range block {
			keys = max(keys, utf8.RuneCountInString(e.key))
		}
		lines := 0
		for i := range block {
			e := &block[i]
			e.key = padded(e.key, keys)
			if e.comment != "" {
				lines = max(lines, utf8.RuneCountInString(e.text))
			}
		}
		for i := range block {
			if block[i].comment != "" {
				block[i].text = padded(block[i].text, lines)
			}
		}
	}
}

func padded(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// joined returns a key or a header, in which nothing stands apart.
func joined(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(t.text)
	}
	return b.String()
}

const indent = "    "

// written returns a value. Its lines are kept, and indented by the brackets that are open.
func written(tokens []token) string {
	var b strings.Builder
	depth := 0
	for i, t := range tokens {
		var last token
		if i > 0 {
			last = tokens[i-1]
		}
		closes := t.kind == mark && (t.text == "]" || t.text == "}")
		if closes {
			depth--
		}
		switch {
		case t.kind == newline:
			// One line that is empty may stay, but not beside a bracket.
			if last.kind == newline &&
				(i < 2 || opening(tokens[i-2]) || tokens[i-2].kind == newline || ends(tokens[i+1:])) {
				continue
			}
			b.WriteByte('\n')
			continue
		case last.kind == newline:
			b.WriteString(strings.Repeat(indent, max(depth, 0)))
		case i > 0 && apart(last, t):
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
		if opening(t) {
			depth++
		}
	}
	return b.String()
}

func opening(t token) bool { return t.kind == mark && (t.text == "[" || t.text == "{") }

// ends reports whether the next token that means something closes a bracket.
func ends(tokens []token) bool {
	rest := said(tokens)
	return len(rest) == 0 || rest[0].kind == mark && (rest[0].text == "]" || rest[0].text == "}")
}

// apart reports whether a space stands between two tokens of a value that are on one line.
func apart(a, b token) bool {
	am, bm := a.kind == mark, b.kind == mark
	switch {
	case b.kind == comment:
		return true
	case bm && (b.text == "," || b.text == "."), am && (a.text == "[" || a.text == "."), bm && b.text == "]":
		return false
	case am && a.text == "{" && bm && b.text == "}":
		return false
	}
	return true
}
