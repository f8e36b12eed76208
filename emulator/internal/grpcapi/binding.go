package grpcapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/taskiam/taskiam/internal/lazy"
)

// binding is one way to make a gRPC method a REST request: one rule of google.api.http.
type binding struct {
	verb  string
	parts []part
	body  string // the JSON name of the field that is the body; "*" for all that is not in the path; "" for none
}

// part is a piece of a path: literal text, or a variable.
type part struct {
	literal string
	field   []protoreflect.FieldDescriptor // whose value stands there
	pattern []string                       // what the value looks like: "projects", "*", "topics", "*"
}

var variable = lazy.Regexp(`\{([A-Za-z0-9_.]+)(?:=([^}]+))?\}`)

func newBinding(in protoreflect.MessageDescriptor, rule *annotations.HttpRule) (binding, error) {
	var b binding
	var path string
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		b.verb, path = http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		b.verb, path = http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		b.verb, path = http.MethodPost, p.Post
	case *annotations.HttpRule_Delete:
		b.verb, path = http.MethodDelete, p.Delete
	case *annotations.HttpRule_Patch:
		b.verb, path = http.MethodPatch, p.Patch
	default:
		return b, fmt.Errorf("a rule of kind %T", p)
	}
	if rule.GetResponseBody() != "" {
		return b, fmt.Errorf("a rule whose answer is the field %s", rule.GetResponseBody())
	}
	switch rule.GetBody() {
	case "", "*":
		b.body = rule.GetBody()
	default:
		f := in.Fields().ByName(protoreflect.Name(rule.GetBody()))
		if f == nil {
			return b, fmt.Errorf("%s has no field %s", in.FullName(), rule.GetBody())
		}
		b.body = f.JSONName()
	}
	at := 0
	for _, m := range variable().FindAllStringSubmatchIndex(path, -1) {
		p := part{pattern: []string{"*"}}
		b.parts = append(b.parts, part{literal: path[at:m[0]]})
		if m[4] >= 0 {
			p.pattern = strings.Split(path[m[4]:m[5]], "/")
		}
		var err error
		if p.field, err = fieldPath(in, path[m[2]:m[3]]); err != nil {
			return b, err
		}
		b.parts = append(b.parts, p)
		at = m[1]
	}
	b.parts = append(b.parts, part{literal: path[at:]})
	return b, nil
}

// fieldPath finds a field by its path, as in "topic.name".
func fieldPath(in protoreflect.MessageDescriptor, path string) ([]protoreflect.FieldDescriptor, error) {
	var fields []protoreflect.FieldDescriptor
	for name := range strings.SplitSeq(path, ".") {
		if in == nil {
			return nil, fmt.Errorf("%s leads through what is no message", path)
		}
		f := in.Fields().ByName(protoreflect.Name(name))
		if f == nil {
			return nil, fmt.Errorf("%s has no field %s", in.FullName(), name)
		}
		fields, in = append(fields, f), f.Message()
	}
	return fields, nil
}

// request returns the target, with its query, and the body of the REST request for a message. It is false if the
// message names no resource of the form that this rule is for.
func (b binding) request(in *dynamicpb.Message) (target string, body []byte, ok bool, err error) {
	raw, err := toJSON(in)
	if err != nil {
		return "", nil, false, err
	}
	fields := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return "", nil, false, err
	}
	var path strings.Builder
	for _, p := range b.parts {
		path.WriteString(p.literal)
		if p.field == nil {
			continue
		}
		value := take(fields, p.field)
		if !fits(strings.Split(value, "/"), p.pattern) {
			return "", nil, false, nil
		}
		path.WriteString(escape(value))
	}
	switch b.body {
	case "":
	case "*":
		body, err = json.Marshal(fields)
		fields = nil
	default:
		if v, ok := fields[b.body]; ok {
			body, err = json.Marshal(v)
		}
		delete(fields, b.body)
	}
	if err != nil {
		return "", nil, false, err
	}
	q := url.Values{}
	addQuery(q, "", fields)
	if len(q) > 0 {
		path.WriteString("?" + q.Encode())
	}
	return path.String(), body, true, nil
}

// take removes the field at a path from decoded JSON, and returns its value.
func take(fields map[string]any, path []protoreflect.FieldDescriptor) string {
	for _, f := range path[:len(path)-1] {
		fields, _ = fields[f.JSONName()].(map[string]any)
	}
	name := path[len(path)-1].JSONName()
	v, ok := fields[name]
	if !ok {
		return ""
	}
	delete(fields, name)
	return fmt.Sprint(v)
}

// fits reports whether the segments of a value are those of a pattern.
func fits(value, pattern []string) bool {
	for i, p := range pattern {
		switch {
		case p == "**":
			return i < len(value) && value[i] != ""
		case i >= len(value) || value[i] == "" || p != "*" && p != value[i]:
			return false
		}
	}
	return len(value) == len(pattern)
}

// escape writes a name into a path: nothing in it ends the path, or is a verb.
func escape(name string) string {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(s), ":", "%3A") // as it is, it begins the verb of a method
	}
	return strings.Join(segments, "/")
}

// addQuery adds fields to a query, as REST names them: "options.requestedPolicyVersion".
func addQuery(q url.Values, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, field := range v {
			if name != "" {
				k = name + "." + k
			}
			addQuery(q, k, field)
		}
	case []any:
		for _, e := range v {
			addQuery(q, name, e)
		}
	case nil:
	default:
		q.Add(name, fmt.Sprint(v))
	}
}
