package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/spelling"
	"github.com/taskiam/taskiam/internal/visible"
)

const acceptExample = `accept = { escalates = "moves the bucket's policy to the new group" }`

// accept reads which findings a grant accepts, and why.
func (r *reader) accept(t *table, grant int) []grants.Acceptance {
	v, there := t.values["accept"]
	if !there {
		return nil
	}
	at := t.place.child("accept")
	values, ok := v.(map[string]any)
	if !ok {
		r.add(at.value, acceptExample, "accept is a table of findings with a reason each, and this is %s", kindOf(v))
		return nil
	}
	if len(values) == 0 {
		r.add(at.value, "", "accept is empty; remove the line")
	}
	var out []grants.Acceptance
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p := at.child(name)
		rule, known := review.FindRule(name)
		reason, isText := values[name].(string)
		switch {
		case !known:
			r.add(p.key, "", "there is no finding %q%s", name, meant(name))
		case rule.Accept == "-":
			r.add(p.key, "", "%s cannot be accepted", name)
		case rule.Accept != "":
			r.add(p.key, rule.Accept, "%s is accepted by a key of its own", name)
		case !isText:
			r.add(p.value, acceptExample,
				"the reason for which %s is accepted is a string, and this is %s", name, kindOf(values[name]))
		case strings.TrimSpace(reason) == "":
			r.add(p.value, acceptExample,
				"%s is accepted without a reason; say why: the receipt shows it", name)
		case len(reason) > maxReason:
			r.add(p.value, "", "the reason has %d bytes, and at most %d are kept", len(reason), maxReason)
		default:
			out = append(out, grants.Acceptance{Grant: grant, Finding: name, Reason: visible.Line(reason)})
		}
	}
	return out
}

// meant suggests the finding that an unknown name was probably meant to be.
func meant(name string) string {
	var names []string
	for _, rule := range review.Rules {
		if rule.Accept == "" {
			names = append(names, rule.Name)
		}
	}
	if near := spelling.Nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return "; you can accept " + strings.Join(names, ", ")
}
