package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Difference is what a document that was stored has otherwise than the one that was sent.
type Difference struct {
	// Lost are the bindings that were sent and are not stored; Gained those that are stored and
	// were not sent. A binding that lost its condition is in both.
	Lost, Gained []Binding
	// Others says that something beside the bindings differs: audit configurations, or what a
	// dataset shares with views, routines and other datasets.
	Others bool
}

// Compare returns what a document that a service stored has otherwise than the one that it was
// sent. Order, etag and version do not count, nor how often something stands there, the case of
// an email, or whether its account was deleted in the meantime.
func Compare(sent, stored Document) Difference {
	left := bindingSet(sent.Bindings())
	for _, b := range sent.Dropped() { // is never sent
		delete(left, alike(b))
	}
	right := bindingSet(stored.Bindings())
	d := Difference{Others: !slices.Equal(others(sent), others(stored))}
	for key, b := range left {
		if _, ok := right[key]; !ok {
			d.Lost = append(d.Lost, b)
		}
	}
	for key, b := range right {
		if _, ok := left[key]; !ok {
			d.Gained = append(d.Gained, b)
		}
	}
	slices.SortFunc(d.Lost, order)
	slices.SortFunc(d.Gained, order)
	return d
}

// IsZero reports whether there is no difference.
func (d Difference) IsZero() bool { return len(d.Lost) == 0 && len(d.Gained) == 0 && !d.Others }

// Without returns the difference without the bindings that match.
func (d Difference) Without(match func(Binding) bool) Difference {
	d.Lost = slices.DeleteFunc(slices.Clone(d.Lost), match)
	d.Gained = slices.DeleteFunc(slices.Clone(d.Gained), match)
	return d
}

// In returns which bindings of the difference are still to be seen in a document. In a later one
// what is simply not there, or there in addition, may be somebody else's doing: then only a binding
// counts that stands there under another condition than was sent.
func (d Difference) In(doc Document, later bool) Difference {
	there := bindingSet(doc.Bindings())
	has := func(b Binding) bool {
		_, ok := there[alike(b)]
		return ok
	}
	var still Difference
	for _, b := range d.Gained {
		if has(b) && (!later || slices.ContainsFunc(d.Lost, b.otherwise)) {
			still.Gained = append(still.Gained, b)
		}
	}
	for _, b := range d.Lost {
		if !has(b) && (!later || slices.ContainsFunc(still.Gained, b.otherwise)) {
			still.Lost = append(still.Lost, b)
		}
	}
	return still
}

// Undo makes a document what was sent, as far as its bindings go, and reports whether that
// changed anything.
func (d Difference) Undo(doc Document) (changed bool) {
	for _, b := range d.Gained {
		changed = doc.Remove(b) || changed
	}
	for _, b := range d.Lost {
		changed = doc.Add(b) || changed
	}
	return changed
}

// otherwise reports whether o is the same role for the same member under another condition.
func (b Binding) otherwise(o Binding) bool {
	x, y := alike(b), alike(o)
	return x.Role == y.Role && x.Member == y.Member && x.Condition != y.Condition
}

func bindingSet(all []Binding) map[Binding]Binding {
	out := make(map[Binding]Binding, len(all))
	for _, b := range all {
		out[alike(b)] = b
	}
	return out
}

// alike returns a binding with its member as two answers of Google's have it alike.
func alike(b Binding) Binding {
	if rest, deleted := strings.CutPrefix(b.Member, DeletedPrefix); deleted {
		b.Member, _, _ = strings.Cut(rest, "?uid=")
	}
	if !strings.Contains(b.Member, "://") {
		b.Member = strings.ToLower(b.Member)
	}
	return b
}

func order(a, b Binding) int {
	return strings.Compare(a.Role+"\n"+a.Member+"\n"+a.Condition.Expression+"\n"+a.Condition.Title,
		b.Role+"\n"+b.Member+"\n"+b.Condition.Expression+"\n"+b.Condition.Title)
}

// others returns what a document has beside its bindings, in an order and a form of its own.
func others(doc Document) []string {
	var raw []json.RawMessage
	switch d := doc.(type) {
	case *Policy:
		_ = d.object.read("auditConfigs", &raw) // decoding the policy has read it
	case *access:
		for _, e := range d.entries {
			if len(e.members) == 0 {
				raw = append(raw, e.raw)
			}
		}
	}
	out := make([]string, len(raw))
	for i, r := range raw {
		out[i] = sorted(r)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sorted returns JSON with the fields of its objects in order.
func sorted(raw json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return string(raw)
	}
	return string(quote(v))
}
