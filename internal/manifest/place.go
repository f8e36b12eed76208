package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is the place of a value in the file, with the places inside it.
type place struct {
	depth int // in how many tables and lists it is
	key   int // offset in bytes of the key, or of the header of a table
	value int // offset of the value, or of the key if the value has no place of its own
	kind  unstable.Kind
	raw   string // a string as it is written, with its quotes
	text  string // the value of the string
	keys  map[string]*place
	items []*place
}

// child returns the place of a key, or p's own if the file has none.
func (p *place) child(key string) *place {
	if c := p.keys[key]; c != nil {
		return c
	}
	return p
}

// item returns the place of an element, or p's own if the file has none.
func (p *place) item(i int) *place {
	if i < len(p.items) {
		return p.items[i]
	}
	return p
}

// maxDepth is more than any manifest needs. Reading takes time quadratic in the depth.
const maxDepth = 16

// placeError is a syntax error, with its offset.
type placeError struct {
	at      int
	message string
	deep    bool // the file is nested too deeply, and not worth reading further
}

func (e *placeError) Error() string { return e.message }

var bom = []byte("\xef\xbb\xbf")

func trimBOM(src []byte) []byte { return bytes.TrimPrefix(src, bom) }

func invalidUTF8(src []byte) int {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// locate finds the place of everything in a TOML file.
func locate(src []byte) (*place, error) {
	l := locator{src: trimBOM(src), skipped: len(src) - len(trimBOM(src))}
	root := &place{kind: unstable.Table}
	current := root
	l.parser.Reset(l.src)
	for l.deep == nil && l.parser.NextExpression() {
		switch e := l.parser.Expression(); e.Kind {
		case unstable.Table:
			current = l.descend(root, e.Key(), l.header(e))
			current.kind = unstable.Table
		case unstable.ArrayTable:
			at := l.header(e)
			list := l.descendTo(root, e.Key(), at)
			current = &place{depth: list.depth + 1, key: at, value: at, kind: unstable.Table}
			list.kind = unstable.Array
			list.items = append(list.items, current)
		case unstable.KeyValue:
			l.keyValue(current, e)
		}
	}
	if l.deep != nil {
		return nil, l.deep
	}
	if err := l.parser.Error(); err != nil {
		var syntax *unstable.ParserError
		if errors.As(err, &syntax) {
			at := l.skipped + int(l.parser.Range(syntax.Highlight).Offset)
			return nil, &placeError{at: at, message: syntax.Message}
		}
		return nil, err
	}
	return root, nil
}

type locator struct {
	parser  unstable.Parser
	src     []byte
	skipped int // bytes of the file before src
	deep    *placeError
}

func (l *locator) offset(r unstable.Range) int { return l.skipped + int(r.Offset) }

// header returns the offset of the bracket that begins a table's header.
func (l *locator) header(e *unstable.Node) int {
	keys := e.Key()
	keys.Next()
	start := bytes.LastIndexByte(l.src[:keys.Node().Raw.Offset], '\n') + 1
	line := l.src[start:]
	return l.skipped + start + len(line) - len(bytes.TrimLeft(line, " \t"))
}

// inside returns a new place inside p, or nil if that is too deep.
func (l *locator) inside(p *place, at int) *place {
	if p.depth == maxDepth {
		l.deep = &placeError{at, fmt.Sprintf("tables and lists are nested more than %d deep", maxDepth), true}
		return nil
	}
	return &place{depth: p.depth + 1, key: at, value: at, kind: unstable.Table}
}

// descendTo walks from p along keys. A place that does not exist yet is made, at an offset.
func (l *locator) descendTo(p *place, keys unstable.Iterator, at int) *place {
	for keys.Next() {
		if len(p.items) > 0 { // in a list of tables, a key belongs to the last one
			p = p.items[len(p.items)-1]
		}
		name := string(keys.Node().Data)
		next := p.keys[name]
		if next == nil {
			if next = l.inside(p, at); next == nil {
				return p
			}
			if p.keys == nil {
				p.keys = map[string]*place{}
			}
			p.keys[name] = next
		}
		p = next
	}
	return p
}

// descend is descendTo, and continues into the last element of a list.
func (l *locator) descend(p *place, keys unstable.Iterator, at int) *place {
	p = l.descendTo(p, keys, at)
	if len(p.items) > 0 {
		p = p.items[len(p.items)-1]
	}
	return p
}

func (l *locator) keyValue(p *place, e *unstable.Node) {
	keys := e.Key()
	keys.Next()
	if p = l.descendTo(p, e.Key(), l.offset(keys.Node().Raw)); l.deep == nil {
		l.fill(p, e.Value())
	}
}

func (l *locator) fill(p *place, v *unstable.Node) {
	p.kind = v.Kind
	if v.Raw.Length > 0 {
		p.value = l.offset(v.Raw)
	}
	switch v.Kind {
	case unstable.String:
		p.raw, p.text = string(l.parser.Raw(v.Raw)), string(v.Data)
	case unstable.InlineTable:
		for it := v.Children(); l.deep == nil && it.Next(); {
			l.keyValue(p, it.Node())
		}
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			item := l.inside(p, p.value)
			if item == nil {
				return
			}
			l.fill(item, it.Node())
			item.key = item.value
			p.items = append(p.items, item)
		}
	}
}

// lines turns offsets in bytes into lines and columns.
type lines struct {
	src    []byte
	starts []int // the offset at which each line begins
}

func newLines(src []byte) lines {
	starts := []int{0}
	for i, c := range src {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return lines{src, starts}
}

// position returns the line and the column of an offset, in characters and from 1. A
// byte order mark takes no column.
func (l lines) position(at int) (line, column int) {
	at = min(max(at, 0), len(l.src))
	for at > 0 && at < len(l.src) && !utf8.RuneStart(l.src[at]) {
		at--
	}
	line, found := slices.BinarySearch(l.starts, at)
	if found {
		line++
	}
	return line, 1 + utf8.RuneCount(bytes.TrimPrefix(l.src[l.starts[line-1]:at], bom))
}
