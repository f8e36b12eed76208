package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/resource"
)

// The documents here are made up from bytes, unknown fields at every level included,
// and the test keeps its own account of what it wrote. What an edit may change for good
// is little, and all of it is in want: white space around fields, "bindings" where there
// was none, and "version" where a condition is in. All else has to come back byte for
// byte.

// dice makes choices of bytes, and the first one always once they are used up.
type dice struct{ rolls []byte }

func (d *dice) roll(n int) int {
	if len(d.rolls) == 0 {
		return 0
	}
	r := int(d.rolls[0])
	d.rolls = d.rolls[1:]
	return r % n
}

func one[T any](d *dice, of ...T) T { return of[d.roll(len(of))] }

func (d *dice) space() string { return one(d, "", " ", "\n\t", "\r\n  ") }

// text writes a string as JSON in one of the ways there are.
func (d *dice) text(s string) string {
	plain := string(quote(s))
	switch d.roll(4) {
	case 1: // the way of encoding/json
		b, _ := json.Marshal(s)
		return string(b)
	case 2: // an escape that nobody needs
		if s != "" && s[0] < 0x80 {
			return fmt.Sprintf(`"\u%04X`, s[0]) + string(quote(s[1:]))[1:]
		}
	case 3:
		return strings.ReplaceAll(plain, "/", `\/`)
	}
	return plain
}

// unknown is a value that this program has no use for, and must not touch.
func (d *dice) unknown() string {
	return one(d,
		`1`, `1.0`, `-0`, `1e400`, `123456789012345678901234567890.10`, `0.1000000000000000055511151231257827`, `null`, `true`,
		`"\u003c\ud83d\ude00"`, `"\ud800"`, `[ 1 ,2.50, {"a" :1,"a":2} ]`, `{"members":["user:x@example.com"],"etag" : "y"}`, `{ }`, `""`)
}

// fieldOf is a field as it is written.
type fieldOf struct{ key, value string }

// unknowns returns up to three fields of names that the API does not have today.
func (d *dice) unknowns() []fieldOf {
	names := []string{`"x"`, `"\u0079"`, `"z z"`, `"été"`, `""`, `"<&>"`}
	var out []fieldOf
	for range d.roll(4) {
		i := d.roll(len(names))
		out = append(out, fieldOf{names[i], d.unknown()})
		names = slices.Delete(names, i, i+1)
	}
	return out
}

// shuffle mixes fields.
func (d *dice) shuffle(fields []fieldOf) []fieldOf {
	for i := len(fields) - 1; i > 0; i-- {
		j := d.roll(i + 1)
		fields[i], fields[j] = fields[j], fields[i]
	}
	return fields
}

// object writes fields as an object, and tight as this program would.
func (d *dice) object(fields []fieldOf) string {
	var b strings.Builder
	b.WriteString("{" + d.space())
	for i, f := range fields {
		if i > 0 {
			b.WriteString(d.space() + "," + d.space())
		}
		b.WriteString(f.key + d.space() + ":" + d.space() + f.value)
	}
	b.WriteString(d.space() + "}")
	return b.String()
}

func tight(fields []fieldOf) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, f.key+":"+f.value)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (d *dice) list(elements []string) string {
	return "[" + d.space() + strings.Join(elements, d.space()+","+d.space()) + d.space() + "]"
}

const ourEmail, ourUID = "robot@acme-agents.iam.gserviceaccount.com", "104857600000000000001"

var (
	someRoles   = []string{"roles/storage.objectViewer", "roles/bigquery.dataViewer", "organizations/1/roles/x", ""}
	someMembers = []string{
		"user:jo@example.com", "allUsers", robot, grave, "group:g@example.com",
		"deleted:serviceAccount:" + ourEmail + "?uid=999", "deleted:user:x@example.com?uid=1", "serviceAccount:" + ourEmail + ".evil",
		"user:" + ourEmail, "serviceAccount:Robot@acme-agents.iam.gserviceaccount.com", "principal://iam.googleapis.com/a/b", "user:é<&>@example.com",
	}
	someConditions = []Condition{{}, {Title: "t", Expression: "true"}, {Title: "t", Description: "d", Expression: "true"}, until2026, {Title: "<u>", Expression: `resource.name == "a/b"`}}
)

// condition writes a condition; "" for none.
func (d *dice) condition(c Condition) string {
	if c.IsZero() {
		return one(d, "", "", "null", "{}")
	}
	fields := []fieldOf{{`"title"`, d.text(c.Title)}, {`"expression"`, d.text(c.Expression)}}
	if c.Description != "" {
		fields = append(fields, fieldOf{`"description"`, d.text(c.Description)})
	}
	return d.object(d.shuffle(append(fields, d.unknowns()...)))
}

// written is an element of a list as it was written, and what it says.
type written struct {
	raw       string
	fields    []fieldOf
	role      string
	condition Condition
	names     []string // of its members
	members   []string // as they are written
}

// binding writes one binding of a policy.
func (d *dice) binding() written {
	w := written{role: one(d, someRoles...), condition: one(d, someConditions...)}
	for range d.roll(4) {
		name := one(d, someMembers...)
		w.names, w.members = append(w.names, name), append(w.members, d.text(name))
	}
	w.fields = []fieldOf{{`"role"`, d.text(w.role)}}
	if len(w.members) > 0 || d.roll(2) == 0 {
		w.fields = append(w.fields, fieldOf{`"members"`, d.list(w.members)})
	}
	if c := d.condition(w.condition); c != "" {
		w.fields = append(w.fields, fieldOf{`"condition"`, c})
	}
	w.fields = d.shuffle(append(w.fields, d.unknowns()...))
	w.raw = d.object(w.fields)
	return w
}

// without returns the binding as it is written once some members are out of it, which
// takes those that lose their last one along.
func (w written) without(out func(string) bool) (string, bool) {
	var kept []string
	for i, name := range w.names {
		if !out(name) {
			kept = append(kept, w.members[i])
		}
	}
	switch {
	case len(kept) == len(w.members):
		return w.raw, true
	case len(kept) == 0:
		return "", false
	}
	return w.with(kept), true
}

// with returns the binding with these members.
func (w written) with(members []string) string {
	fields := slices.Clone(w.fields)
	list := "[" + strings.Join(members, ",") + "]"
	i := slices.IndexFunc(fields, func(f fieldOf) bool { return f.key == `"members"` })
	if i < 0 {
		return tight(append(fields, fieldOf{`"members"`, list}))
	}
	fields[i].value = list
	return tight(fields)
}

// policy writes a policy, and returns its fields and its bindings.
func (d *dice) policy() (string, []fieldOf, []written) {
	var bindings []written
	var raw []string
	for range d.roll(6) {
		b := d.binding()
		for range 1 + d.roll(2)*d.roll(2) { // the same one twice
			bindings, raw = append(bindings, b), append(raw, b.raw)
		}
	}
	fields := []fieldOf{{`"etag"`, d.text("BwX+/=")}}
	if len(raw) > 0 || d.roll(2) == 0 {
		fields = append(fields, fieldOf{`"bindings"`, d.list(raw)})
	}
	if v := d.roll(4); v > 0 {
		fields = append(fields, fieldOf{`"version"`, fmt.Sprint(v)})
	}
	if d.roll(2) == 1 {
		log := d.object(append(d.unknowns(), fieldOf{`"exemptedMembers"`, d.list([]string{d.text(robot)})}))
		config := d.object(append(d.unknowns(), fieldOf{`"service"`, d.text("allServices")}, fieldOf{`"auditLogConfigs"`, d.list([]string{log})}))
		fields = append(fields, fieldOf{`"auditConfigs"`, d.list([]string{config})})
	}
	fields = d.shuffle(append(fields, d.unknowns()...))
	return d.space() + d.object(fields) + d.space(), fields, bindings
}

// want returns the policy as it is to be sent, with these bindings; nil means that none
// was edited.
func want(fields []fieldOf, bindings []string, conditional bool) string {
	fields = slices.Clone(fields)
	set := func(key, value string) {
		if i := slices.IndexFunc(fields, func(f fieldOf) bool { return f.key == key }); i >= 0 {
			fields[i].value = value
		} else {
			fields = append(fields, fieldOf{key, value})
		}
	}
	if bindings != nil {
		set(`"bindings"`, "["+strings.Join(bindings, ",")+"]")
	}
	if conditional {
		set(`"version"`, "3")
	}
	return tight(fields)
}

func sameDocument(t *testing.T, what, source, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s (-want +got):\n%s\nof %s", what, cmp.Diff(want, got), source)
	}
	if !json.Valid([]byte(got)) {
		t.Fatalf("%s is not JSON: %s", what, got)
	}
}

// FuzzPolicySurvives edits policies that were made up.
func FuzzPolicySurvives(f *testing.F) {
	for _, s := range []string{"", "\x03\x01\x02\x03", strings.Repeat("\x01", 80), strings.Repeat("\x05\x02\x03\x01", 60), strings.Repeat("\x07\x0b\x03\x06\x02\x01\x04", 40)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, rolls []byte) {
		d := &dice{rolls}
		source, fields, bindings := d.policy()
		fresh := func() *Policy {
			p, err := DecodePolicy([]byte(source))
			if err != nil {
				t.Fatalf("%v: %s", err, source)
			}
			return p
		}
		conditional := false
		raw := []string{}
		for _, b := range bindings {
			raw = append(raw, b.raw)
			conditional = conditional || !b.condition.IsZero()
		}
		sameDocument(t, "what nobody edited", source, encode(t, fresh()), want(fields, nil, conditional))

		// A member that is new: in, again, and out again.
		b := Binding{one(d, someRoles...), "serviceAccount:fresh@acme-agents.iam.gserviceaccount.com", one(d, someConditions...)}
		p := fresh()
		if !p.Add(b) || !p.Has(b) {
			t.Fatalf("%v was not added to %s", b, source)
		}
		with := slices.Clone(raw)
		first := slices.IndexFunc(bindings, func(w written) bool { return w.role == b.Role && w.condition == b.Condition })
		if first >= 0 {
			with[first] = bindings[first].with(append(slices.Clone(bindings[first].members), string(quote(b.Member))))
		} else {
			own := []fieldOf{{`"role"`, string(quote(b.Role))}, {`"members"`, "[" + string(quote(b.Member)) + "]"}}
			if !b.Condition.IsZero() {
				own = append(own, fieldOf{`"condition"`, string(quote(b.Condition))})
			}
			with = append(with, tight(own))
		}
		sameDocument(t, "with a member", source, encode(t, p), want(fields, with, conditional || !b.Condition.IsZero()))
		if p.Add(b) {
			t.Fatal("added twice")
		}
		if again := decode(t, resource.Standard, encode(t, p)); again.Add(b) {
			t.Fatal("what was written is not what is read")
		}
		if !p.Remove(b) || p.Has(b) || p.Remove(b) {
			t.Fatalf("%v was not removed, or twice", b)
		}
		back := slices.Clone(raw)
		if first >= 0 {
			back[first] = bindings[first].with(bindings[first].members)
			if len(bindings[first].members) == 0 { // nobody's binding is ours once it has a member, and goes with it
				back = slices.Delete(back, first, first+1)
			}
		}
		still := conditional
		if first >= 0 && len(bindings[first].members) == 0 {
			still = slices.ContainsFunc(slices.Delete(slices.Clone(bindings), first, first+1), func(w written) bool { return !w.condition.IsZero() })
		}
		sameDocument(t, "and without it again", source, encode(t, p), want(fields, back, still))

		// A member that is there.
		for _, w := range bindings {
			for _, name := range w.names {
				p := fresh()
				if p.Add(Binding{w.role, name, w.condition}) {
					t.Fatalf("%s has %s already", source, name)
				}
				sameDocument(t, "adding what is there", source, encode(t, p), want(fields, nil, conditional))
			}
		}

		// An account, and one member of one binding.
		single := Binding{one(d, someRoles...), one(d, someMembers...), one(d, someConditions...)}
		for what, cut := range map[string]struct {
			edit func(*Policy) bool
			of   func(written) bool
			out  func(string) bool
		}{
			"an account":      {func(p *Policy) bool { return p.RemoveAccount(ourEmail, ourUID) }, func(written) bool { return true }, func(n string) bool { return n == robot || n == grave }},
			"a live account":  {func(p *Policy) bool { return p.RemoveAccount(ourEmail, "") }, func(written) bool { return true }, func(n string) bool { return n == robot }},
			"nobody":          {func(p *Policy) bool { return p.RemoveAccount("", ourUID) }, func(written) bool { return true }, func(string) bool { return false }},
			"a single member": {func(p *Policy) bool { return p.Remove(single) }, func(w written) bool { return w.role == single.Role && w.condition == single.Condition }, func(n string) bool { return n == single.Member }},
		} {
			p := fresh()
			left, touched, conditional := []string{}, false, false
			for _, w := range bindings {
				now, stays := w.raw, true
				if cut.of(w) {
					now, stays = w.without(cut.out)
				}
				touched = touched || now != w.raw || !stays
				if stays {
					left, conditional = append(left, now), conditional || !w.condition.IsZero()
				}
			}
			if changed := cut.edit(p); changed != touched {
				t.Fatalf("removing %s changed: %t, want %t: %s", what, changed, touched, source)
			}
			if !touched {
				left = nil
			}
			sent := encode(t, p)
			sameDocument(t, "removing "+what, source, sent, want(fields, left, conditional))
			if cut.edit(p) || encode(t, p) != sent {
				t.Fatalf("removing %s twice is not the same: %s", what, source)
			}
		}
	})
}

// entry writes one entry of an access list.
func (d *dice) entry() written {
	var w written
	var fields []fieldOf
	given := func(field, value string) { fields = append(fields, fieldOf{`"` + field + `"`, d.text(value)}) }
	switch role := one(d, "READER", "roles/bigquery.dataViewer", "roles/bigquery.metadataViewer", "OWNER"); d.roll(9) {
	case 0:
		given("role", role)
		email := one(d, "jo@example.com", ourEmail, ourEmail+".evil")
		given("userByEmail", email)
		w.role, w.names = role, []string{"serviceAccount:" + email}
	case 1:
		dead := one(d, grave, "deleted:user:x@example.com?uid=1", "deleted:serviceAccount:"+ourEmail+"?uid=999")
		given("role", role)
		given("userByEmail", dead)
		w.role, w.names = role, []string{dead}
	case 2:
		group := one(d, "g@example.com", "deleted:group:g@example.com?uid=1")
		given("role", role)
		given("groupByEmail", group)
		w.role, w.names = role, []string{group}
	case 3:
		member := one(d, "principal://iam.googleapis.com/a/b", robot, grave, "allUsers")
		given("role", role)
		given("iamMember", member)
		w.role, w.names = role, []string{member}
	case 4:
		given("role", role)
		given("specialGroup", one(d, "projectOwners", "allAuthenticatedUsers"))
		w.role = role
	case 5:
		given("role", role)
		given("domain", "example.com")
		w.role = role
	case 6:
		fields = append(fields, fieldOf{`"view"`, d.object(append(d.unknowns(), fieldOf{`"tableId"`, `"t"`}))})
	case 7:
		fields = append(fields, fieldOf{one(d, `"routine"`, `"dataset"`), d.object(append(d.unknowns(), fieldOf{`"targetTypes"`, `["VIEWS"]`}))})
	case 8: // nothing that is known today
	}
	if w.role != "" {
		w.condition = one(d, someConditions...)
		if c := d.condition(w.condition); c != "" {
			fields = append(fields, fieldOf{`"condition"`, c})
		}
	}
	w.raw = d.object(d.shuffle(append(fields, d.unknowns()...)))
	return w
}

func (w written) dead() bool { return len(w.names) > 0 && strings.HasPrefix(w.names[0], "deleted:") }

// FuzzAccessSurvives edits access lists that were made up. Here what is sent is the list
// alone, and the dead are not in it.
func FuzzAccessSurvives(f *testing.F) {
	for _, s := range []string{"", "\x03\x01\x02\x03", strings.Repeat("\x01", 80), strings.Repeat("\x08\x02\x03\x01\x06", 60), strings.Repeat("\x07\x0b\x03\x06\x02\x01\x04", 40)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, rolls []byte) {
		d := &dice{rolls}
		var entries []written
		var raw []string
		for range d.roll(8) {
			e := d.entry()
			for range 1 + d.roll(2)*d.roll(2) {
				entries, raw = append(entries, e), append(raw, e.raw)
			}
		}
		source := d.object(d.shuffle(append(d.unknowns(), fieldOf{`"etag"`, `"e"`}, fieldOf{`"access"`, d.list(raw)}, fieldOf{`"labels"`, `{"a":"b"}`})))
		fresh := func() Document { return decode(t, resource.Dataset, source) }
		sent := func(out func(written) bool, also ...string) string {
			var list []string
			for _, e := range entries {
				if !e.dead() && !out(e) {
					list = append(list, e.raw)
				}
			}
			return `{"access":[` + strings.Join(append(list, also...), ",") + `]}`
		}
		none := func(written) bool { return false }
		dropped := func(doc Document, out func(written) bool) {
			var want, got []string
			for _, e := range entries {
				if e.dead() && !out(e) {
					want = append(want, e.names[0])
				}
			}
			for _, b := range doc.Dropped() {
				got = append(got, b.Member)
			}
			if !slices.Equal(want, got) {
				t.Fatalf("dropped are %q, want %q: %s", got, want, source)
			}
		}
		sameDocument(t, "what nobody edited", source, encode(t, fresh()), sent(none))

		b := Binding{one(d, "roles/bigquery.dataViewer", "roles/bigquery.metadataViewer"), "serviceAccount:fresh@acme-agents.iam.gserviceaccount.com", one(d, someConditions...)}
		doc := fresh()
		if !doc.Add(b) || !doc.Has(b) || doc.Add(b) {
			t.Fatalf("%v was not added, or twice: %s", b, source)
		}
		own := []fieldOf{{`"role"`, string(quote(datasetRole(b.Role)))}, {`"userByEmail"`, `"fresh@acme-agents.iam.gserviceaccount.com"`}}
		if !b.Condition.IsZero() {
			own = append(own, fieldOf{`"condition"`, string(quote(b.Condition))})
		}
		sameDocument(t, "with a member", source, encode(t, doc), sent(none, tight(own)))
		dropped(doc, none)
		if !doc.Remove(b) || doc.Has(b) || doc.Remove(b) {
			t.Fatalf("%v was not removed, or twice: %s", b, source)
		}
		sameDocument(t, "and without it again", source, encode(t, doc), sent(none))

		for _, b := range fresh().Bindings() { // what is there
			doc := fresh()
			if doc.Add(b) {
				t.Fatalf("%v is there already: %s", b, source)
			}
			sameDocument(t, "adding what is there", source, encode(t, doc), sent(none))
		}

		ours := func(e written) bool { return slices.Contains(e.names, robot) || slices.Contains(e.names, grave) }
		doc = fresh()
		if changed := doc.RemoveAccount(ourEmail, ourUID); changed != slices.ContainsFunc(entries, ours) {
			t.Fatalf("removing an account changed: %t: %s", changed, source)
		}
		after := encode(t, doc)
		sameDocument(t, "removing an account", source, after, sent(ours))
		dropped(doc, ours)
		if doc.RemoveAccount(ourEmail, ourUID) || encode(t, doc) != after || len(doc.Account(ourEmail, ourUID)) > 0 {
			t.Fatalf("removing an account twice is not the same: %s", source)
		}
		if bytes.Contains([]byte(after), []byte(ourUID)) {
			t.Fatalf("the account is still there: %s", after)
		}
	})
}
