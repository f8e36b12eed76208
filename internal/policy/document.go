package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/resource"
)

var (
	_ Document = (*Policy)(nil)
	_ Document = (*access)(nil)
)

// Decode reads a resource's record of who has access, as Google answers it: an allow
// policy, or the dataset that holds an access list.
func Decode(d resource.Dialect, data []byte) (Document, error) {
	switch d {
	case resource.Standard, resource.Bucket:
		return DecodePolicy(data)
	case resource.Dataset:
		return decodeAccess(data)
	}
	return nil, fmt.Errorf("decoding access: no document is written in the dialect %q", d)
}

// hidden is what a role's name ends in where Google answers an older version of a
// policy and hides a condition (iam/docs/troubleshooting-withcond).
var hidden = lazy.Regexp(`_withcond_[0-9a-f]{20}$`)

// errHidden refuses a document that was read without its conditions: to write it
// back would turn conditional bindings into others.
var errHidden = errors.New("conditions are hidden in it, so it was not read as version 3")

// object is a JSON object that keeps the order and the bytes of what is not edited.
type object struct{ fields []field }

type field struct {
	name  string
	key   json.RawMessage // the name as it was written
	value json.RawMessage
}

func decodeObject(data []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	var o object
	seen := map[string]bool{} // looking through the fields would make many of them slow
	if t, err := dec.Token(); err != nil {
		return o, err
	} else if t != json.Delim('{') {
		return o, fmt.Errorf("expected an object, found %v", t)
	}
	for dec.More() {
		from := dec.InputOffset()
		t, err := dec.Token()
		if err != nil {
			return o, err
		}
		f := field{name: t.(string), key: bytes.TrimLeft(data[from:dec.InputOffset()], " \t\r\n,")}
		if err := dec.Decode(&f.value); err != nil {
			return o, err
		}
		if seen[f.name] {
			return o, fmt.Errorf("the field %q stands there twice", f.name)
		}
		seen[f.name] = true
		o.fields = append(o.fields, f)
	}
	if _, err := dec.Token(); err != nil {
		return o, err
	}
	return o, nil
}

// get returns the value of a field, and whether there is one.
func (o *object) get(name string) (json.RawMessage, bool) {
	for _, f := range o.fields {
		if f.name == name {
			return f.value, true
		}
	}
	return nil, false
}

// read decodes a field into v, which stays as it is where there is none.
func (o *object) read(name string, v any) error {
	raw, ok := o.get(name)
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return nil
}

// set puts a value in the place of the field of that name, or behind the others.
func (o *object) set(name string, value json.RawMessage) {
	for i := range o.fields {
		if o.fields[i].name == name {
			o.fields[i].value = value
			return
		}
	}
	o.fields = append(o.fields, field{name, quote(name), value})
}

func (o *object) encode() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o.fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(f.key)
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quote returns v as JSON, without the escapes of <, > and & that are for HTML.
func quote(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // strings and structs of strings always encode
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// array joins values that are JSON already.
func array(values []json.RawMessage) json.RawMessage {
	out := json.RawMessage{'['}
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}

// Binding gives one member one role, under a condition or none.
type Binding struct {
	Role      string
	Member    string
	Condition Condition
}

// Document is a resource's record of who has access: an allow policy, or a
// dataset's access list. What an edit does not name survives it byte for byte,
// fields that this program does not know included.
type Document interface {
	// Add puts b in, and reports whether that changed anything.
	Add(b Binding) bool
	// Remove takes b's member out of b's (role, condition), and reports whether that changed anything.
	Remove(b Binding) bool
	// RemoveAccount takes every appearance of a service account out: as a live member,
	// and as the deleted: member with this unique id. An empty uid leaves deleted members be.
	RemoveAccount(email, uid string) bool
	// Has reports whether b is in.
	Has(b Binding) bool
	// Account returns the bindings in which the service account appears, live or
	// deleted with this unique id.
	Account(email, uid string) []Binding
	// Bindings returns every binding, a member each, in the document's order.
	Bindings() []Binding
	// Room returns an error that says which limit of Google's the additions would break.
	Room(add []Binding) error
	// Dropped returns what a write of the document takes away beside what was edited:
	// members that Google names and refuses to be written back.
	Dropped() []Binding
	// Etag is the version that a write must replace; "" if Google sent none.
	Etag() string
	// Encode returns the document as Google is to be sent it.
	Encode() ([]byte, error)
}
