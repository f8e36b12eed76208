// Package policy holds the allow policies of IAM, and the access lists of datasets, and
// edits them: what is bound to whom, under which condition.
//
// It is pure. Two bindings are the same only if both their role and their condition are.
// No edit touches a binding, a member or a field that is not its own: what the package
// does not understand keeps its bytes. It knows no task and no run.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/taskiam/taskiam/internal/fault"
)

// Policy is an allow policy. Its bindings keep their order, and those that no edit
// touches keep their bytes.
type Policy struct {
	object   object
	bindings []*binding
	edited   bool
	etag     string
	version  int
	// exempted are the members of audit configurations. They count towards the limit.
	exempted int
}

// binding is one element of a policy's bindings.
type binding struct {
	object    object
	raw       json.RawMessage
	edited    bool
	role      string
	condition Condition
	members   []member
}

type member struct {
	name string
	raw  json.RawMessage
}

// DecodePolicy reads an allow policy as getIamPolicy answers it. A policy that was
// never set, {"etag":"ACAB"}, is an empty one.
func DecodePolicy(data []byte) (*Policy, error) {
	p, err := decodePolicy(data)
	if err != nil {
		return nil, fmt.Errorf("decoding policy: %w", err)
	}
	return p, nil
}

func decodePolicy(data []byte) (*Policy, error) {
	o, err := decodeObject(data)
	if err != nil {
		return nil, err
	}
	p := &Policy{object: o}
	var raw []json.RawMessage
	var audit []struct {
		AuditLogConfigs []struct{ ExemptedMembers []string }
	}
	if err := errors.Join(o.read("etag", &p.etag), o.read("version", &p.version), o.read("bindings", &raw),
		o.read("auditConfigs", &audit)); err != nil {
		return nil, err
	}
	for _, a := range audit {
		for _, c := range a.AuditLogConfigs {
			p.exempted += len(c.ExemptedMembers)
		}
	}
	for i, r := range raw {
		b, err := decodeBinding(r)
		if err != nil {
			return nil, fmt.Errorf("binding %d: %w", i+1, err)
		}
		p.bindings = append(p.bindings, b)
	}
	return p, nil
}

func decodeBinding(raw json.RawMessage) (*binding, error) {
	o, err := decodeObject(raw)
	if err != nil {
		return nil, err
	}
	b := &binding{object: o, raw: raw}
	var members []json.RawMessage
	if err := errors.Join(o.read("role", &b.role), o.read("condition", &b.condition),
		o.read("members", &members)); err != nil {
		return nil, err
	}
	if hidden().MatchString(b.role) {
		return nil, errHidden
	}
	for _, r := range members {
		m := member{raw: r}
		if err := json.Unmarshal(r, &m.name); err != nil {
			return nil, fmt.Errorf("reading members: %w", err)
		}
		b.members = append(b.members, m)
	}
	return b, nil
}

func (b *binding) is(role string, c Condition) bool { return b.role == role && b.condition == c }

func (b *binding) has(name string) bool {
	return slices.ContainsFunc(b.members, func(m member) bool { return m.name == name })
}

// drop takes out the members that match, and reports whether there were any.
func (b *binding) drop(match func(name string) bool) bool {
	n := len(b.members)
	// A copy: encoded documents share no memory with later edits.
	b.members = slices.DeleteFunc(slices.Clone(b.members), func(m member) bool { return match(m.name) })
	if len(b.members) == n {
		return false
	}
	b.edited = true
	return true
}

func (b *binding) encode() json.RawMessage {
	if !b.edited {
		return b.raw
	}
	raw := make([]json.RawMessage, len(b.members))
	for i, m := range b.members {
		raw[i] = m.raw
	}
	o := object{slices.Clone(b.object.fields)}
	o.set("members", array(raw))
	return o.encode()
}

// Etag returns the version that a write must replace.
func (p *Policy) Etag() string { return p.etag }

// Bindings returns every (role, condition, member) of the policy, in its order.
func (p *Policy) Bindings() []Binding {
	var out []Binding
	for _, b := range p.bindings {
		for _, m := range b.members {
			out = append(out, Binding{b.role, m.name, b.condition})
		}
	}
	return out
}

// Has reports whether b is in.
func (p *Policy) Has(b Binding) bool {
	return slices.ContainsFunc(p.bindings, func(x *binding) bool {
		return x.is(b.Role, b.Condition) && x.has(b.Member)
	})
}

// Add puts b into the binding of its role and condition, or into a new one behind the
// others, and reports whether that changed anything.
func (p *Policy) Add(b Binding) bool {
	if p.Has(b) {
		return false
	}
	m := member{b.Member, quote(b.Member)}
	for _, x := range p.bindings {
		if x.is(b.Role, b.Condition) {
			x.members = append(slices.Clip(x.members), m)
			x.edited, p.edited = true, true
			return true
		}
	}
	x := &binding{edited: true, role: b.Role, condition: b.Condition, members: []member{m}}
	x.object.set("role", quote(b.Role))
	x.object.set("members", nil) // its place; encode fills it
	if !b.Condition.IsZero() {
		x.object.set("condition", quote(b.Condition))
	}
	p.bindings = append(p.bindings, x)
	p.edited = true
	return true
}

// Remove takes b's member out of the binding of b's role and condition, and the
// binding with its last member. It reports whether that changed anything.
func (p *Policy) Remove(b Binding) bool {
	return p.drop(func(x *binding) bool { return x.is(b.Role, b.Condition) }, func(name string) bool {
		return name == b.Member
	})
}

// RemoveAccount takes every appearance of a service account out of the bindings: as a
// live member and, if uid is not empty, as the deleted: member with this unique id.
// Audit configurations are not touched, since nothing here puts an account into them.
func (p *Policy) RemoveAccount(email, uid string) bool {
	return p.drop(func(*binding) bool { return true }, func(name string) bool { return isAccount(name, email, uid) })
}

func (p *Policy) drop(of func(*binding) bool, match func(name string) bool) bool {
	changed := false
	p.bindings = slices.DeleteFunc(p.bindings, func(x *binding) bool {
		if !of(x) || !x.drop(match) {
			return false
		}
		changed = true
		return len(x.members) == 0
	})
	p.edited = p.edited || changed
	return changed
}

// Account returns the bindings in which the service account appears, live or deleted
// with this unique id.
func (p *Policy) Account(email, uid string) []Binding {
	return slices.DeleteFunc(p.Bindings(), func(b Binding) bool { return !isAccount(b.Member, email, uid) })
}

// isAccount reports whether a member is the service account, live or as the deleted:
// member that Google makes of it: "deleted:serviceAccount:EMAIL?uid=ID". Both the email
// and the id have to fit, since neither alone is only ever one account's.
func isAccount(name, email, uid string) bool {
	return email != "" && (name == Member(email) || uid != "" && name == "deleted:"+Member(email)+"?uid="+uid)
}

// Room returns an error that says which limit of Google's the additions would break.
func (p *Policy) Room(add []Binding) error {
	all := p.Bindings()
	fresh := missing(all, add)
	if n := len(all) + p.exempted + len(fresh); len(fresh) > 0 && n > maxMembers {
		return fault.New(fault.Precondition, "the policy would name %d principals, and Google allows %d, counting "+
			"every appearance", n, maxMembers)
	}
	return conditionRoom(all, fresh)
}

// Dropped returns nothing: an allow policy is written back with its deleted members
// (iam/docs/deleted-principals).
func (p *Policy) Dropped() []Binding { return nil }

// Encode returns the policy as it is to be sent: of version 3 where a condition is in
// it, which Google demands, and always with its etag, without which a write would
// silently replace somebody else's.
func (p *Policy) Encode() ([]byte, error) {
	if p.etag == "" {
		return nil, errors.New("encoding policy: it was read without an etag, and a write without one replaces " +
			"whatever is there")
	}
	o := object{slices.Clone(p.object.fields)}
	conditional := false
	raw := make([]json.RawMessage, len(p.bindings))
	for i, b := range p.bindings {
		raw[i] = b.encode()
		conditional = conditional || !b.condition.IsZero()
	}
	if p.edited {
		o.set("bindings", array(raw))
	}
	if conditional && p.version < 3 {
		o.set("version", json.RawMessage("3"))
	}
	return o.encode(), nil
}

// Member returns the service account with this email as policies name it.
func Member(email string) string { return "serviceAccount:" + email }
