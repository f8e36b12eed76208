package resource

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed types.txt
var typesText string

// Types returns every type of resource that the package knows: first those that people
// use most, then all others by their ids. Not all are [Type.Bindable].
func Types() []*Type { return slices.Clone(table()) }

// Lookup returns the type with this kind, or nil.
func Lookup(kind string) *Type {
	for _, t := range table() {
		if t.Kind == kind {
			return t
		}
	}
	return nil
}

// table is made once. It panics if the embedded text is malformed, which a test rules
// out.
var table = sync.OnceValue(func() []*Type {
	types, err := parseTable(typesText)
	if err != nil {
		panic(err)
	}
	types = append(types, byHand()...)
	for _, t := range types {
		t.know()
	}
	slices.SortStableFunc(types, func(a, b *Type) int {
		ra, rb := familiarity(a.Kind), familiarity(b.Kind)
		if ra != rb {
			return ra - rb
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, t := range types {
		for _, o := range types {
			if o != t && overlap(t.segments, o.segments) {
				t.rivals = append(t.rivals, o)
			}
		}
	}
	for _, t := range types {
		if len(t.Short) == 0 {
			t.Example = Name{t, t.Example}.String()
		}
	}
	return types
})

// familiarity is the place of a kind among those that people use most.
func familiarity(kind string) int {
	if i := slices.Index(familiar, kind); i >= 0 {
		return i
	}
	return len(familiar)
}

// parseTable reads types.txt; its head says what the columns are.
func parseTable(text string) ([]*Type, error) {
	var types []*Type
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 9 {
			return nil, fmt.Errorf("reading the table of resource types: %d columns in %q", len(f), line)
		}
		t := &Type{ID: f[0], Kind: f[1], Service: f[2], Pattern: f[3], urlPath: f[4]}
		if t.urlPath == "-" {
			t.urlPath = t.Pattern
		}
		api := PolicyAPI{Dialect: Standard, Host: f[2]}
		if f[5] != "-" {
			api.VersionIn = VersionIn(f[5])
		}
		api.GetVerb, api.GetPath, _ = t.method(f[6])
		var more string
		if api.SetVerb, api.SetPath, more = t.method(f[7]); more == "bare" {
			api.Dialect = Bucket
		}
		api.TestVerb, api.TestPath, more = t.method(f[8])
		api.TestInQuery = more == "query"
		t.API = api
		types = append(types, t)
	}
	return types, nil
}

// method reads a column of the table that is a method's: its verb, its path, and what is
// said of it.
func (t *Type) method(column string) (verb, path, more string) {
	verb, path, ok := strings.Cut(column, " ")
	if !ok {
		return "", "", ""
	}
	path, more, _ = strings.Cut(path, " ")
	return verb, strings.Replace(path, "{}", t.urlPath, 1), more
}

// segment is one part of a pattern: fixed text or a variable.
type segment struct {
	text, variable string
	rest           bool      // the variable spans all segments that are left
	rule           *variable // what a value must be, beside what every value must
}

func segmentsOf(t *Type) []segment {
	api, _, _ := strings.Cut(t.Service, ".")
	var out []segment
	for i, part := range strings.Split(t.Pattern, "/") {
		s := segment{text: part}
		if name, ok := variableIn(part); ok {
			s.variable, s.rest = strings.CutPrefix(name, "+")
			s.rule = ruleFor(api, s.variable, i)
		}
		out = append(out, s)
	}
	return out
}

// overlap reports whether some text fits both patterns.
func overlap(a, b []segment) bool {
	for i := 0; ; i++ {
		switch {
		case i == len(a) || i == len(b):
			return i == len(a) && i == len(b)
		case a[i].rest || b[i].rest:
			return true
		case a[i].variable == "" && b[i].variable == "" && a[i].text != b[i].text:
			return false
		}
	}
}
