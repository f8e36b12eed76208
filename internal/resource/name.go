package resource

import (
	"net/url"
	"strings"
)

// Name is one resource. Names are comparable: two that are equal are the same
// resource. (Two that differ may be too: a project has an id and a number.) The zero
// Name names nothing.
type Name struct {
	typ  *Type
	path string // the pattern with its variables filled in
}

// Type returns the kind of resource that n names; nil for the zero Name.
func (n Name) Type() *Type { return n.typ }

// IsZero reports whether n names nothing.
func (n Name) IsZero() bool { return n.typ == nil }

// Full returns the full resource name: //storage.googleapis.com/projects/_/buckets/b.
func (n Name) Full() string {
	if n.typ == nil {
		return ""
	}
	return "//" + n.typ.Service + "/" + n.path
}

// Relative returns the name without its service: projects/_/buckets/b.
func (n Name) Relative() string { return n.path }

// String returns the name as people write it: gs://b, bq://p.d, projects/p/secrets/s. It
// is the full name where several services have resources of the same relative name.
// [Parse] gives n back.
func (n Name) String() string {
	switch {
	case n.typ == nil:
		return ""
	case len(n.typ.Short) > 0:
		return n.fill(n.typ.Short[0], func(s string) string { return s })
	}
	if len(n.typ.rivals) > 0 {
		segments := strings.Split(n.path, "/")
		for _, t := range n.typ.rivals {
			if values, ok := t.bind(segments); ok && checkAll(values) == nil {
				return n.Full()
			}
		}
	}
	return n.path
}

// Var returns the value of one variable of the type's pattern, such as "bucket";
// "" if the pattern has no such variable.
func (n Name) Var(v string) string {
	if n.typ == nil {
		return ""
	}
	values := strings.Split(n.path, "/")
	for i, s := range n.typ.segments {
		switch {
		case s.variable == "" || s.variable != v:
		case s.rest:
			return strings.Join(values[i:], "/")
		default:
			return values[i]
		}
	}
	return ""
}

// Host returns where the API of the resource is reached.
func (n Name) Host() string {
	if n.typ == nil {
		return ""
	}
	if n.Var("location") == "global" {
		return n.typ.Service
	}
	return n.fill(n.typ.API.Host, url.PathEscape)
}

// Project returns the id or number of the project that the name is written with,
// "" where the name holds none: a bucket's does not say whose it is.
func (n Name) Project() string { return n.Var("project") }

// Bucket returns the bucket that n is, or that it is in.
func (n Name) Bucket() (bucket Name, ok bool) {
	if n.typ == nil || n.typ.Service != "storage.googleapis.com" || n.Var("bucket") == "" {
		return Name{}, false
	}
	bucket, err := ParseFull("//storage.googleapis.com/projects/_/buckets/" + n.Var("bucket"))
	return bucket, err == nil
}

// Expand fills n's variables into a path of a [PolicyAPI], each escaped as one
// segment of a URL's path; one that is written {+v} as the segments that it spans.
func (n Name) Expand(template string) string { return n.fill(template, url.PathEscape) }

func (n Name) fill(template string, escape func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(template, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		if spans, ok := strings.CutPrefix(name, "+"); ok {
			parts := strings.Split(n.Var(spans), "/")
			for i, p := range parts {
				parts[i] = escape(p)
			}
			b.WriteString(strings.Join(parts, "/"))
		} else {
			b.WriteString(escape(n.Var(name)))
		}
		template = after
	}
}

// variableIn returns the name of the variable that makes up a segment of a pattern.
func variableIn(segment string) (string, bool) {
	if len(segment) > 2 && segment[0] == '{' && segment[len(segment)-1] == '}' {
		return segment[1 : len(segment)-1], true
	}
	return "", false
}
