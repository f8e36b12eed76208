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

// String returns the name as people write it: gs://b, bq://p.d, projects/p/secrets/s.
// [Parse] gives n back.
func (n Name) String() string {
	if n.typ == nil || len(n.typ.Short) == 0 {
		return n.path
	}
	return n.fill(n.typ.Short[0], func(s string) string { return s })
}

// Var returns the value of one variable of the type's pattern, such as "bucket";
// "" if the pattern has no such variable.
func (n Name) Var(v string) string {
	if n.typ == nil {
		return ""
	}
	values := strings.Split(n.path, "/")
	for i, segment := range strings.Split(n.typ.Pattern, "/") {
		if name, ok := variableIn(segment); ok && name == v {
			return values[i]
		}
	}
	return ""
}

// Project returns the id or number of the project that the name is written with,
// "" where the name holds none: a bucket's does not say whose it is.
func (n Name) Project() string { return n.Var("project") }

// Expand fills n's variables into a path of a [PolicyAPI], each escaped as one
// segment of a URL's path.
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
		b.WriteString(escape(n.Var(name)))
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
