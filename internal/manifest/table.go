package manifest

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/spelling"
	"github.com/taskiam/taskiam/internal/visible"
)

// table is one table of the file, with its place.
type table struct {
	r      *reader
	values map[string]any
	place  *place
	name   string // as messages call it: "[task]"
}

// only records a problem for every key that is not one of known.
func (t *table) only(known ...string) {
	for key := range t.values {
		if slices.Contains(known, key) {
			continue
		}
		message := fmt.Sprintf("unknown key %q in %s", key, t.name)
		if near := spelling.Nearest(key, known); near != "" {
			message += fmt.Sprintf("; did you mean %s?", near)
		} else {
			message += "; allowed are " + strings.Join(known, ", ")
		}
		t.r.add(t.place.child(key).key, "", "%s", message)
	}
}

// missing records that a required key is not there.
func (t *table) missing(key, fix string) {
	t.r.add(t.place.key, fix, "%s has no %s", t.name, key)
}

// text returns a key's string. ok is false if the key is not there; if it has another type,
// that is recorded too. example is a valid line.
func (t *table) text(key, example string) (s string, ok bool) {
	s, ok = get[string](t, key, example)
	return s, ok && t.r.seen(t.place.child(key), s)
}

// seen reports whether every character of a string can be seen; the first that cannot is recorded as a problem.
func (r *reader) seen(p *place, s string) bool {
	at := visible.First(s)
	if at < 0 {
		return true
	}
	c, _ := utf8.DecodeRuneInString(s[at:])
	r.add(r.inside(p, utf8.RuneCountInString(s[:at])), "",
		"%U cannot be seen, and can change how the text around it looks; remove it", c)
	return false
}

// flag returns a key's true or false, and false if there is none.
func (t *table) flag(key string) bool {
	b, _ := get[bool](t, key, key+" = true")
	return b
}

// get returns a key's value if it is of type T. Another type is recorded as a problem.
func get[T string | bool | int64](t *table, key, example string) (value T, ok bool) {
	v, there := t.values[key]
	if !there {
		return value, false
	}
	if value, ok = v.(T); ok {
		return value, true
	}
	t.r.add(t.place.child(key).value, example, "%s is %s, and this is %s", key, kindOf(value), kindOf(v))
	return value, false
}

// word is one string, with its place.
type word struct {
	text  string
	place *place
}

// texts returns the strings of a key that has one string or a list of them. Anything else
// is recorded as a problem, and so is an empty list, which means nothing.
func (t *table) texts(key, example string) []word {
	v, there := t.values[key]
	if !there {
		return nil
	}
	p := t.place.child(key)
	elements, isList := v.([]any)
	if !isList {
		s, ok := v.(string)
		if !ok {
			t.r.add(p.value, example, "%s is a string or a list of strings, and this is %s", key, kindOf(v))
			return nil
		}
		if !t.r.seen(p, s) {
			return nil
		}
		return []word{{s, p}}
	}
	if len(elements) == 0 {
		t.r.add(p.value, example, "%s is an empty list", key)
	}
	var out []word
	for i, x := range elements {
		at := p.item(i)
		s, ok := x.(string)
		if !ok {
			t.r.add(at.value, example, "%s is a list of strings, and this element is %s", key, kindOf(x))
			continue
		}
		if t.r.seen(at, s) {
			out = append(out, word{s, at})
		}
	}
	return out
}

// sub returns a key's table; nil if there is none, or if the value is no table, which is
// recorded as a problem.
func (t *table) sub(key string) *table {
	v, there := t.values[key]
	if !there {
		return nil
	}
	name := "[" + key + "]"
	values, ok := v.(map[string]any)
	if !ok {
		t.r.add(t.place.child(key).key, name, "%s is a table, and this is %s", key, kindOf(v))
		return nil
	}
	return &table{t.r, values, t.place.child(key), name}
}

// list returns a key's tables, in the order of the file.
func (t *table) list(key string) []*table {
	v, there := t.values[key]
	if !there {
		return nil
	}
	name := "[[" + key + "]]"
	var elements []any
	switch v := v.(type) {
	case []map[string]any:
		for _, x := range v {
			elements = append(elements, x)
		}
	case []any:
		elements = v
	default:
		t.r.add(t.place.child(key).key, name, "%s is a list of tables, and this is %s", key, kindOf(v))
		return nil
	}
	var out []*table
	for i, x := range elements {
		p := t.place.child(key).item(i)
		if values, ok := x.(map[string]any); ok {
			out = append(out, &table{t.r, values, p, name})
			continue
		}
		t.r.add(p.value, name, "%s is a list of tables, and this element is %s", key, kindOf(x))
	}
	return out
}

// kindOf names the type of a TOML value.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case int64:
		return "an integer"
	case float64:
		return "a number with a point"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	}
	return "a list"
}
