package review

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/operators"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/spelling"
)

// thing is a kind of resource that a condition may be asked of, by what the condition sees of
// it. An attribute without a text is not supplied.
type thing struct{ name, typ, service texts }

// attribute returns what a condition sees; it reports false for what no thing has.
func (t thing) attribute(name string) (texts, bool) {
	switch name {
	case "resource.name":
		return t.name, true
	case "resource.type":
		return t.typ, true
	case "resource.service":
		return t.service, true
	}
	return nil, false
}

// texts is a set of texts, as its parts one after the other. Two parts that are fixed do not
// follow each other.
type texts []part

// part is a fixed text, or a class of texts.
type part struct {
	fixed string
	class class
}

type class byte

const (
	fixed   class = iota
	digits        // one or more digits
	segment       // one or more characters and no slash
	rest          // any characters, or none
)

func text(s string) texts { return texts{{fixed: s}} }

// then returns the texts with one more part at the end.
func (n texts) then(p part) texts {
	if last := len(n) - 1; last >= 0 && p.class == fixed && n[last].class == fixed {
		return append(slices.Clone(n[:last]), part{fixed: n[last].fixed + p.fixed})
	}
	return append(slices.Clone(n), p)
}

// String shows the texts with stars for what is not fixed.
func (n texts) String() string {
	var b strings.Builder
	for _, p := range n {
		switch p.class {
		case fixed:
			b.WriteString(p.fixed)
		case digits:
			b.WriteString("NUMBER")
		case segment:
			b.WriteString("ID")
		case rest:
			b.WriteString("...")
		}
	}
	return b.String()
}

// compare returns what a comparison of the texts with one text can come to.
func (n texts) compare(function, with string) truth {
	if len(n) == 0 {
		return canErr
	}
	whole, at := false, n
	switch function {
	case operators.Equals:
		whole = true
	case operators.NotEquals:
		return not(n.compare(operators.Equals, with))
	case "startsWith":
	case "endsWith":
		at, with = n.reversed(), reversed(with)
	default:
		return anything
	}
	out := truth(0)
	if at.fits(with, whole) {
		out |= canHold
	}
	if p := at[0]; p.class != fixed || !strings.HasPrefix(p.fixed, with) || whole && (len(at) > 1 || p.fixed != with) {
		out |= canFail
	}
	return out
}

// fits reports whether one of the texts begins with a text, or is it as a whole.
func (n texts) fits(with string, whole bool) bool {
	if with == "" && !whole {
		return true
	}
	if len(n) == 0 {
		return with == ""
	}
	p, after := n[0], n[1:]
	if p.class == fixed {
		if left, ok := strings.CutPrefix(with, p.fixed); ok {
			return after.fits(left, whole)
		}
		return !whole && strings.HasPrefix(p.fixed, with)
	}
	if p.class == rest && (!whole || len(after) == 0) {
		return true
	}
	for i := range len(with) + 1 {
		if i > 0 && !p.class.has(with[i-1]) {
			return false
		}
		if i == 0 && p.class != rest {
			continue
		}
		if i == len(with) && !whole || after.fits(with[i:], whole) {
			return true
		}
	}
	return false
}

// has reports whether a character can be in a part of the class.
func (c class) has(b byte) bool {
	switch c {
	case digits:
		return b >= '0' && b <= '9'
	case segment:
		return b != '/'
	case fixed, rest:
	}
	return true
}

func (n texts) reversed() texts {
	out := slices.Clone(n)
	slices.Reverse(out)
	for i := range out {
		out[i].fixed = reversed(out[i].fixed)
	}
	return out
}

// reversed turns the bytes round: what is compared with it is turned round too.
func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// thingsOf returns what the condition of a grant may be asked of: the resource itself and what
// is in it. It returns nothing where that is not known.
func thingsOf(g grants.Grant) []thing {
	t := g.Resource.Type()
	switch {
	case t == nil:
		return nil
	case g.Prefix != "":
		bucket := text("projects/_/buckets/" + g.Resource.Var("bucket") + "/objects/" + g.Prefix)
		return []thing{{bucket.then(part{class: rest}), text("storage.googleapis.com/Object"), text(t.Service)}}
	case atLarge(g.Resource):
		return thingsAtLarge(g.Resource)
	case !t.SuppliesName:
		return []thing{{typ: textOr(t.ConditionType), service: text(t.Service)}}
	}
	itself := nameIn(t, g.Resource)
	out := []thing{{itself, textOr(t.ConditionType), text(t.Service)}}
	for _, o := range resource.Types() {
		if o.SuppliesName && inside(o, t) {
			out = append(out, thing{nameIn(o, g.Resource), textOr(o.ConditionType), text(o.Service)})
		}
	}
	if folder := g.Resource.Var("managedFolder"); folder != "" { // its objects are the bucket's
		objects := text("projects/_/buckets/" + g.Resource.Var("bucket") + "/objects/" + folder)
		out = append(out, thing{objects.then(part{class: rest}), text("storage.googleapis.com/Object"),
			text(t.Service)})
	}
	// What is in it and in no table, such as the versions of a secret.
	return append(out, thing{
		itself.then(part{fixed: "/"}).then(part{class: rest}),
		text(t.Service + "/").then(part{class: segment}), text(t.Service),
	})
}

// textOr returns the text, or any text if it is not known.
func textOr(s string) texts {
	if s == "" {
		return texts{{class: rest}}
	}
	return text(s)
}

// thingsAtLarge returns what a condition in the policy of a project, folder or organization may
// be asked of: everything of every service. Names are relative, and begin as all do.
func thingsAtLarge(in resource.Name) []thing {
	unknown := texts{{class: rest}}
	service := texts{{class: segment}}
	typ := service.then(part{fixed: "/"}).then(part{class: segment})
	thingNamed := func(name texts) []thing {
		return []thing{{name, typ, service}, {name.then(part{fixed: "/"}).then(unknown[0]), typ, service}}
	}
	project := in.Project()
	var out []thing
	switch {
	case in.Type().Kind != "project":
		for _, collection := range []string{"projects/", "folders/", "organizations/"} {
			out = append(out, thingNamed(text(collection).then(part{class: segment}))...)
		}
	case strings.Trim(project, "0123456789") == "":
		out = thingNamed(text("projects/").then(part{class: segment}))
	default:
		out = append(thingNamed(text("projects/"+project)), thingNamed(text("projects/").then(part{class: digits}))...)
		out = append(out, thing{text("projects/_/").then(unknown[0]), typ, service})
	}
	return out
}

// nameIn returns the resource.name of things of a type that are a resource, or in it.
func nameIn(t *resource.Type, in resource.Name) texts {
	known := strings.Split(in.Relative(), "/")
	if atLarge(in) && in.Type().Kind != "project" {
		known = nil
	}
	var out texts
	for i, pattern := range strings.Split(t.Pattern, "/") {
		if i > 0 {
			out = out.then(part{fixed: "/"})
		}
		p := part{fixed: pattern}
		switch {
		case pattern == "{project}" && i == 1:
			p = projectIn(t, known)
		case i < len(known) && (i < len(known)-1 || !strings.HasPrefix(pattern, "{+")):
			p.fixed = known[i]
		case i < len(known): // the variable spans what is left of the name
			p.fixed = strings.Join(known[i:], "/")
		case strings.HasPrefix(pattern, "{+"):
			p = part{class: rest}
		case strings.HasPrefix(pattern, "{"):
			p = part{class: segment}
		}
		out = out.then(p)
	}
	return out
}

// projectIn returns how the names of a type's things say their project: some by its number, and
// the others by its id, never the other way round (iam/docs/conditions-resource-attributes).
func projectIn(t *resource.Type, known []string) part {
	var written string
	if len(known) > 1 {
		written = known[1]
	}
	numeric := written != "" && strings.Trim(written, "0123456789") == ""
	switch {
	case t.NumbersProject && !numeric:
		return part{class: digits}
	case t.NumbersProject == numeric && written != "":
		return part{fixed: written}
	}
	return part{class: segment}
}

// nearest returns the text that was probably meant by one with which an attribute is compared
// and that it never is, "" if that cannot be told.
func (a asked) nearest(attribute, with, function string) string {
	var candidates []string
	for _, t := range a.things {
		n, _ := t.attribute(attribute)
		if attribute != "resource.name" {
			if len(n) == 1 && n[0].class == fixed {
				candidates = append(candidates, n[0].fixed)
			}
			continue
		}
		if meant := n.overlay(relative(with)); meant != "" && n.compare(function, meant)&canHold != 0 {
			candidates = append(candidates, meant)
		}
	}
	if attribute != "resource.name" {
		if near := spelling.Nearest(with, candidates); near != "" {
			return near
		}
		// The word alone, or the host's first part.
		for _, c := range candidates {
			if c[strings.LastIndexByte(c, '/')+1:] == with || strings.HasPrefix(c, with+".") {
				return c
			}
		}
		return ""
	}
	best := ""
	for _, c := range candidates {
		if best == "" || changes(relative(with), c) < changes(relative(with), best) {
			best = c
		}
	}
	return best
}

// relative returns the name that a full name, a link or a short name stands for.
func relative(name string) string {
	if rest, ok := strings.CutPrefix(name, "gs://"); ok {
		bucket, object, inside := strings.Cut(rest, "/")
		if inside && object != "" {
			return "projects/_/buckets/" + bucket + "/objects/" + object
		}
		return "projects/_/buckets/" + bucket
	}
	if rest, ok := strings.CutPrefix(name, "//"); ok {
		_, name, _ = strings.Cut(rest, "/")
	}
	return strings.TrimLeft(name, "/")
}

// overlay returns a name with the fixed segments of n in the place of its own, "" if it is another
// name altogether.
func (n texts) overlay(name string) string {
	const wild = "\x00"
	var pattern strings.Builder
	open := false
	for _, p := range n {
		switch p.class {
		case fixed:
			pattern.WriteString(p.fixed)
		case digits, segment:
			pattern.WriteString(wild)
		case rest:
			open = true
		}
	}
	have, want := strings.Split(name, "/"), strings.Split(pattern.String(), "/")
	if have[0] != want[0] || len(have) > len(want) && !open {
		return ""
	}
	for i, w := range want {
		switch {
		case i == len(have):
			return strings.Join(have, "/")
		case open && i == len(want)-1: // the rest of the name begins here
			if !strings.HasPrefix(have[i], w) {
				have[i] = w
			}
		case w != wild && !(i == len(have)-1 && strings.HasPrefix(w, have[i])):
			have[i] = w
		}
	}
	return strings.Join(have, "/")
}

// changes counts the segments in which two names differ.
func changes(a, b string) int {
	n := 0
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range max(len(as), len(bs)) {
		if i >= len(as) || i >= len(bs) || as[i] != bs[i] {
			n++
		}
	}
	return n
}
