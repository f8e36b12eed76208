package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// access is a dataset's access list. It is not an allow policy: an entry gives one
// principal one role, some entries (views, routines, datasets) give none at all, and
// Google renames three roles. Entries keep their order and their bytes.
type access struct {
	etag    string
	entries []entry
}

// entry is one element of access[].
type entry struct {
	raw       json.RawMessage
	role      string   // as policies name it; "" for views, routines and datasets
	members   []string // what the principal may be called; userByEmail does not say whether it is a user
	condition Condition
}

// The roles that BigQuery renames: it takes either name and answers the short one
// (bigquery/docs/reference/rest/v2/datasets).
var datasetRoles = map[string]string{
	"OWNER":  "roles/bigquery.dataOwner",
	"WRITER": "roles/bigquery.dataEditor",
	"READER": "roles/bigquery.dataViewer",
}

// policyRole returns the name that policies give a role of an access list.
func policyRole(role string) string {
	if long, ok := datasetRoles[role]; ok {
		return long
	}
	return role
}

// datasetRole returns the name by which an access list is answered, so that what is
// written and what is read back are the same.
func datasetRole(role string) string {
	for short, long := range datasetRoles {
		if long == role {
			return short
		}
	}
	return role
}

// decodeAccess reads a dataset as datasets.get answers it with accessPolicyVersion=3.
func decodeAccess(data []byte) (*access, error) {
	var dataset struct {
		Etag   string
		Access []json.RawMessage
	}
	if err := json.Unmarshal(data, &dataset); err != nil {
		return nil, fmt.Errorf("decoding dataset: %w", err)
	}
	a := &access{etag: dataset.Etag}
	for i, raw := range dataset.Access {
		e, err := decodeEntry(raw)
		if err != nil {
			return nil, fmt.Errorf("decoding dataset: access entry %d: %w", i+1, err)
		}
		a.entries = append(a.entries, e)
	}
	return a, nil
}

func decodeEntry(raw json.RawMessage) (entry, error) {
	var f struct {
		Role, UserByEmail, GroupByEmail, Domain, SpecialGroup, IamMember string
		Condition                                                        Condition
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return entry{}, err
	}
	if hidden().MatchString(f.Role) {
		return entry{}, errHidden
	}
	e := entry{raw: raw, role: policyRole(f.Role), condition: f.Condition}
	switch {
	case strings.HasPrefix(f.UserByEmail, DeletedPrefix):
		e.members = []string{f.UserByEmail}
	case strings.HasSuffix(f.UserByEmail, accountSuffix):
		e.members = []string{"serviceAccount:" + f.UserByEmail, "user:" + f.UserByEmail}
	case f.UserByEmail != "":
		e.members = []string{"user:" + f.UserByEmail, "serviceAccount:" + f.UserByEmail}
	case strings.HasPrefix(f.GroupByEmail, DeletedPrefix):
		e.members = []string{f.GroupByEmail}
	case f.GroupByEmail != "":
		e.members = []string{"group:" + f.GroupByEmail}
	case f.Domain != "":
		e.members = []string{"domain:" + f.Domain}
	case f.SpecialGroup != "":
		e.members = []string{f.SpecialGroup}
	case f.IamMember != "":
		e.members = []string{f.IamMember}
	}
	return e, nil
}

const (
	// DeletedPrefix begins the member string of a principal that was deleted
	// (iam/docs/principal-identifiers).
	DeletedPrefix = "deleted:"
	// accountSuffix ends the email of every service account.
	accountSuffix = ".gserviceaccount.com"
)

func (e entry) is(b Binding) bool {
	return e.role == policyRole(b.Role) && e.condition == b.Condition && slices.Contains(e.members, b.Member)
}

func (e entry) isAccount(email, uid string) bool {
	return slices.ContainsFunc(e.members, func(m string) bool { return isAccount(m, email, uid) })
}

func (e entry) dead() bool {
	return len(e.members) > 0 && strings.HasPrefix(e.members[0], DeletedPrefix)
}

// Etag returns what a write must send as If-Match.
func (a *access) Etag() string { return a.etag }

// Bindings returns the entries that give a role, as policies would say it. A
// userByEmail entry is read as a service account where its address is one's.
func (a *access) Bindings() []Binding {
	var out []Binding
	for _, e := range a.entries {
		if len(e.members) > 0 {
			out = append(out, Binding{e.role, e.members[0], e.condition})
		}
	}
	return out
}

// Has reports whether b is in.
func (a *access) Has(b Binding) bool {
	return slices.ContainsFunc(a.entries, func(e entry) bool { return e.is(b) })
}

// Add puts an entry for b behind the others, and reports whether that changed anything.
func (a *access) Add(b Binding) bool {
	if a.Has(b) {
		return false
	}
	o := object{}
	o.set("role", quote(datasetRole(b.Role)))
	kind, name, _ := strings.Cut(b.Member, ":")
	switch kind {
	case "user", "serviceAccount":
		o.set("userByEmail", quote(name))
	case "group":
		o.set("groupByEmail", quote(name))
	case "domain":
		o.set("domain", quote(name))
	default: // principal://, principalSet:// and what is still to come
		o.set("iamMember", quote(b.Member))
	}
	if !b.Condition.IsZero() {
		o.set("condition", quote(b.Condition))
	}
	a.entries = append(a.entries, entry{o.encode(), policyRole(b.Role), []string{b.Member}, b.Condition})
	return true
}

// Remove takes the entry for b out, and reports whether that changed anything.
func (a *access) Remove(b Binding) bool {
	return a.drop(func(e entry) bool { return e.is(b) })
}

// RemoveAccount takes every entry of a service account out: the live ones and, if uid
// is not empty, those of the deleted account with this unique id.
func (a *access) RemoveAccount(email, uid string) bool {
	return a.drop(func(e entry) bool { return e.isAccount(email, uid) })
}

func (a *access) drop(match func(entry) bool) bool {
	n := len(a.entries)
	a.entries = slices.DeleteFunc(a.entries, match)
	return len(a.entries) < n
}

// Account returns the bindings in which the service account appears, live or deleted
// with this unique id.
func (a *access) Account(email, uid string) []Binding {
	var out []Binding
	for _, e := range a.entries {
		for _, m := range e.members {
			if isAccount(m, email, uid) {
				out = append(out, Binding{e.role, m, e.condition})
			}
		}
	}
	return out
}

// Room returns an error that says which limit of Google's the additions would break.
// The 1,500 principals of an allow policy are not asked of a dataset, for which
// Google states no such number.
func (a *access) Room(add []Binding) error {
	all := a.Bindings()
	return conditionRoom(all, missing(all, add))
}

// Dropped returns the entries of deleted principals, which Encode leaves out. They give
// nobody anything any more, and BigQuery refuses a list that names one.
func (a *access) Dropped() []Binding {
	var out []Binding
	for _, e := range a.entries {
		if e.dead() {
			out = append(out, Binding{e.role, e.members[0], e.condition})
		}
	}
	return out
}

// Encode returns the body of a datasets.patch that replaces the list and nothing else.
// The etag is not in it: it goes into If-Match. Deleted principals are left out, see
// [access.Dropped].
func (a *access) Encode() ([]byte, error) {
	if a.etag == "" {
		return nil, errors.New("encoding access list: it was read without an etag, and a write without one replaces " +
			"whatever is there")
	}
	var raw []json.RawMessage
	for _, e := range a.entries {
		if !e.dead() {
			raw = append(raw, e.raw)
		}
	}
	o := object{}
	o.set("access", array(raw))
	return o.encode(), nil
}
