package iam

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of an allow policy (iam/quotas).
const (
	maxMembers          = 1500 // every appearance counts, exemptions from audit included
	maxGroups           = 250  // groups and domains
	maxSameRoleMember   = 20   // bindings of one role to one member, differing in the condition
	maxLogicalOperators = 12   // in one condition
)

// Policy is an allow policy. The zero value is the policy that was never set.
type Policy struct {
	// Changed is when it was set, in microseconds since 1970: all that the etag says.
	Changed int64 `json:"changed,omitempty" snapshot:"-"`
	// Bindings are replaced as a whole and never changed in place: answers share them,
	// and [indexOf] knows them by their first.
	Bindings     []Binding                  `json:"bindings,omitempty"`
	AuditConfigs []AuditConfig              `json:"auditConfigs,omitempty"`
	Extra        map[string]json.RawMessage `json:"extra,omitempty"` // fields unknown here, kept as they came
	// Unsettled is what of the last changes decisions do not know yet.
	Unsettled []Unsettled `json:"unsettled,omitempty" snapshot:"-"`
	// Superseded is what the search over all policies still shows.
	Superseded []Superseded `json:"superseded,omitempty" snapshot:"-"`
}

// Binding grants a role to members, under a condition if there is one. Two
// bindings of a policy never share both role and condition.
type Binding struct {
	Role      string
	Members   []string
	Condition *Condition
	Extra     map[string]json.RawMessage // fields unknown here
}

// Condition limits a binding, by an expression in CEL.
type Condition struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Expression  string `json:"expression,omitempty"`
	Location    string `json:"location,omitempty"`
}

// AuditConfig says which accesses to a service are logged.
type AuditConfig struct {
	Service  string           `json:"service,omitempty"`
	LogTypes []AuditLogConfig `json:"auditLogConfigs,omitempty"`
}

// AuditLogConfig is one kind of access of an AuditConfig.
type AuditLogConfig struct {
	LogType  string   `json:"logType,omitempty"`
	Exempted []string `json:"exemptedMembers,omitempty"`
}

// PolicyJSON is a policy as it travels.
type PolicyJSON struct {
	Version      int
	Bindings     []Binding
	AuditConfigs []AuditConfig
	Etag         string
	Extra        map[string]json.RawMessage // what else came, or is to be sent: kind, resourceId, ...
}

// MarshalJSON writes the fields unknown here too.
func (b Binding) MarshalJSON() ([]byte, error) {
	m := map[string]any{"role": b.Role}
	for k, v := range b.Extra {
		m[k] = v
	}
	if len(b.Members) > 0 {
		m["members"] = b.Members
	}
	if b.Condition != nil {
		m["condition"] = b.Condition
	}
	return json.Marshal(m)
}

// UnmarshalJSON keeps the fields unknown here.
func (b *Binding) UnmarshalJSON(data []byte) error {
	*b = Binding{}
	var err error
	b.Extra, err = DecodeFields(data, map[string]any{"role": &b.Role, "members": &b.Members, "condition": &b.Condition})
	return err
}

// MarshalJSON writes the fields unknown here too.
func (w PolicyJSON) MarshalJSON() ([]byte, error) {
	m := map[string]any{}
	for k, v := range w.Extra {
		m[k] = v
	}
	if w.Version != 0 {
		m["version"] = w.Version
	}
	if len(w.Bindings) > 0 {
		m["bindings"] = w.Bindings
	}
	if len(w.AuditConfigs) > 0 {
		m["auditConfigs"] = w.AuditConfigs
	}
	if w.Etag != "" {
		m["etag"] = w.Etag
	}
	return json.Marshal(m)
}

// UnmarshalJSON keeps the fields unknown here.
func (w *PolicyJSON) UnmarshalJSON(data []byte) error {
	*w = PolicyJSON{}
	var err error
	w.Extra, err = DecodeFields(data, map[string]any{
		"version": &w.Version, "bindings": &w.Bindings, "auditConfigs": &w.AuditConfigs, "etag": &w.Etag})
	return err
}

// DecodeFields decodes the fields of a JSON object into the given pointers, and
// returns the fields that have none.
func DecodeFields(data []byte, known map[string]any) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for name, into := range known {
		if raw, ok := all[name]; ok {
			if err := json.Unmarshal(raw, into); err != nil {
				return nil, err
			}
			delete(all, name)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// UnsetEtag is what a policy carries that was never set: the bytes 00 20 01.
const UnsetEtag = "ACAB"

// etagOf encodes a time in microseconds: the byte 7, then 56 bits, big-endian.
func etagOf(micros int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(micros))
	b[0] = 7
	return base64.StdEncoding.EncodeToString(b[:])
}

// Etag is the etag of p.
func (p *Policy) Etag() string {
	if p.Changed == 0 {
		return UnsetEtag
	}
	return etagOf(p.Changed)
}

// Touch gives p a new etag, later than its last.
func (p *Policy) Touch(now time.Time) { p.Changed = max(now.UnixMicro(), p.Changed+1) }

// SameEtag compares the bytes of two etags: clients re-encode them in the other
// alphabet of base64.
func SameEtag(a, b string) bool {
	decode := func(s string) ([]byte, bool) {
		s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
		raw, err := base64.RawStdEncoding.DecodeString(s)
		return raw, err == nil
	}
	x, okX := decode(a)
	y, okY := decode(b)
	return okX && okY && bytes.Equal(x, y)
}

// Conditional reports whether a binding of p has a condition.
func (p *Policy) Conditional() bool {
	return slices.ContainsFunc(p.Bindings, func(b Binding) bool { return b.Condition != nil })
}

// Empty reports whether p grants nothing and says nothing.
func (p *Policy) Empty() bool {
	return p == nil || len(p.Bindings) == 0 && len(p.AuditConfigs) == 0 && len(p.Extra) == 0
}

// CheckVersion refuses versions that do not exist.
func CheckVersion(v int) error {
	if v != 0 && v != 1 && v != 3 {
		return refuseInvalid("Invalid policy version %d: valid values are 0, 1 and 3.", v)
	}
	return nil
}

// Read returns p as it is sent to somebody who asked for a version. Conditions
// are hidden from those who did not ask for 3, in roles that cannot be mistaken
// for the real ones (iam/docs/troubleshooting-withcond).
func (p *Policy) Read(requested int) PolicyJSON {
	w := PolicyJSON{Etag: p.Etag(), AuditConfigs: p.AuditConfigs, Extra: maps.Clone(p.Extra)}
	if p.Changed == 0 {
		return w
	}
	w.Version = 1
	w.Bindings = slices.Clone(p.Bindings)
	if !p.Conditional() {
		return w
	}
	if requested >= 3 {
		w.Version = 3
		return w
	}
	for i, b := range w.Bindings {
		if b.Condition != nil {
			w.Bindings[i].Role = Withcond(b)
			w.Bindings[i].Condition = nil
		}
	}
	return w
}

// Withcond is the role under which a conditional binding is shown to readers of
// version 1.
func Withcond(b Binding) string {
	sum := sha256.Sum256([]byte(b.Key()))
	return b.Role + "_withcond_" + hex.EncodeToString(sum[:10])
}

// Key tells bindings apart.
func (b Binding) Key() string {
	if b.Condition == nil {
		return b.Role
	}
	c := b.Condition
	return strings.Join([]string{b.Role, c.Expression, c.Title, c.Description, c.Location}, "\x00")
}

// WriteOptions say what a resource accepts in its policy.
type WriteOptions struct {
	Conditions  bool      // conditional bindings
	Public      bool      // allUsers and allAuthenticatedUsers
	Convenience bool      // projectOwner: and the like, which only buckets know
	Audit       bool      // auditConfigs
	Service     string    // only roles with permissions that begin so ("pubsub.topics."); "" takes every role
	Mask        []string  // updateMask; nil means bindings and etag
	SkipEtag    bool      // the caller has compared it
	Ignore      []string  // fields of the wire form that are no part of the policy
	Now         time.Time // of the write; accounts that are not seen yet are judged by it
	Owners      bool      // users become owners by invitation alone, which only projects know
	Within      []string  // what the resource's policy and those above it hang on; nil for a seed, which is believed
	Before      *Policy   // what is replaced; nil means nothing
}

// Write replaces p by w, if w is a policy that may be set, and gives it a new etag.
// p is unchanged after an error.
func (p *Policy) Write(s *Company, now time.Time, w PolicyJSON, o WriteOptions) error {
	if err := CheckVersion(w.Version); err != nil {
		return err
	}
	if w.Etag != "" && !o.SkipEtag && !SameEtag(w.Etag, p.Etag()) {
		return RefuseStale()
	}
	for _, field := range o.Mask {
		if !slices.Contains(policyFields, strings.TrimSpace(field)) {
			return refuseInvalid("Invalid update mask: %q is no field of a policy.", field)
		}
	}
	next := p.masked(s, w, o)
	if w.Version < 3 {
		if next.Conditional() && o.writesBindings() {
			return refuseInvalid("Policies with conditional role bindings must specify version 3.")
		}
		// Without an etag the older form overwrites the newer one, conditions and all.
		if p.Conditional() && w.Etag != "" {
			return refuseInvalid("The policy contains conditional role bindings; changing it requires version 3.")
		}
	}
	o.Now, o.Before = now, p
	if err := s.CheckPolicy(&next, o); err != nil {
		return err
	}
	next.Unsettled = p.Settle(s, &next, now)
	next.Superseded = s.Supersede(p.Superseded, p.Bindings, now)
	next.Touch(now)
	*p = next
	return nil
}

// masked returns p with those fields of w that the update mask names.
func (p *Policy) masked(s *Company, w PolicyJSON, o WriteOptions) Policy {
	next := Policy{Changed: p.Changed, AuditConfigs: p.AuditConfigs, Bindings: p.Bindings, Extra: p.Extra}
	if o.writesBindings() {
		next.Bindings = MergeBindings(s.withUndeleted(w.Bindings))
		next.Extra = maps.Clone(w.Extra)
		for _, name := range o.Ignore {
			delete(next.Extra, name)
		}
		if len(next.Extra) == 0 {
			next.Extra = nil
		}
	}
	if o.Audit && (slices.Contains(o.Mask, "auditConfigs") || slices.Contains(o.Mask, "audit_configs")) {
		next.AuditConfigs = w.AuditConfigs
	}
	return next
}

func (o WriteOptions) writesBindings() bool {
	return o.Mask == nil || slices.Contains(o.Mask, "bindings")
}

// policyFields are what an update mask may name.
var policyFields = []string{"bindings", "etag", "version", "auditConfigs", "audit_configs"}

// withUndeleted returns the bindings with the tombstones of accounts that were undeleted
// since turned back: who read a policy before may write it after
// (google/iam/v1/policy.proto).
func (s *Company) withUndeleted(bindings []Binding) []Binding {
	out := slices.Clone(bindings)
	for i, b := range out {
		for j, m := range b.Members {
			if a := s.undeletedAccount(m); a != nil {
				out[i].Members = slices.Clone(out[i].Members)
				out[i].Members[j] = a.Member()
			}
		}
	}
	return out
}

// undeletedAccount returns the live account that a tombstone is of, or nil.
func (s *Company) undeletedAccount(member string) *Account {
	if !strings.HasPrefix(member, "deleted:serviceAccount:") {
		return nil
	}
	_, uid, _ := strings.Cut(member, "?uid=")
	if a := s.Accounts[uid]; a != nil && a.Tombstone() == member && !a.IsDeleted() {
		return a
	}
	return nil
}

// MergeBindings returns the bindings in IAM's order: one for each role and
// condition, members without repeats, empty ones dropped.
func MergeBindings(in []Binding) []Binding {
	byKey := map[string]int{}
	var out []Binding
	for _, b := range in {
		if len(b.Members) == 0 {
			continue
		}
		b.Members = slices.Clone(b.Members)
		if b.Condition != nil && *b.Condition == (Condition{}) {
			b.Condition = nil
		}
		if i, ok := byKey[b.Key()]; ok {
			out[i].Members = append(out[i].Members, b.Members...)
			continue
		}
		byKey[b.Key()] = len(out)
		out = append(out, b)
	}
	for i := range out {
		slices.Sort(out[i].Members)
		out[i].Members = slices.Compact(out[i].Members)
	}
	slices.SortStableFunc(out, func(a, b Binding) int { return strings.Compare(a.Key(), b.Key()) })
	return out
}

// CheckPolicy refuses what Google refuses in a policy.
func (s *Company) CheckPolicy(p *Policy, o WriteOptions) error {
	for _, b := range p.Bindings {
		if err := s.checkRole(b.Role, o); err != nil {
			return err
		}
		if b.Condition != nil {
			if err := s.checkCondition(b, o); err != nil {
				return err
			}
		}
		for _, m := range b.Members {
			if err := s.checkMember(m, o); err != nil {
				return err
			}
			if b.Condition != nil && isPublic(m) {
				return refuseInvalid("Conditions are not allowed in a binding with public members (%s).", m)
			}
		}
	}
	if err := s.checkSize(p); err != nil {
		return err
	}
	return s.checkAdded(p, o)
}

// checkSize refuses a policy with more in it than fits (iam/quotas).
func (s *Company) checkSize(p *Policy) error {
	members, domains, groups := 0, 0, map[string]bool{}
	same := map[[2]string]int{}
	for _, b := range p.Bindings {
		for _, m := range b.Members {
			if same[[2]string{b.Role, m}]++; same[[2]string{b.Role, m}] > maxSameRoleMember {
				return refuseInvalid("The number of bindings with the same role %s and principal %s is larger than "+
					"the maximum allowed, %d.",
					b.Role, m, maxSameRoleMember)
			}
			switch kind, _, _ := strings.Cut(m, ":"); kind {
			case "group": // once, however often it stands there
				groups[m] = true
			case "domain": // every time
				domains++
			}
			if !s.Doubts.TombstonesUncounted || !strings.HasPrefix(m, "deleted:") {
				members++
			}
		}
	}
	for _, a := range p.AuditConfigs {
		for _, t := range a.LogTypes {
			members += len(t.Exempted)
		}
	}
	if members > maxMembers {
		return refuseInvalid("The number of members in the policy (%s) is larger than the maximum allowed size %s.",
			thousands(members), thousands(maxMembers))
	}
	if n := len(groups) + domains; n > maxGroups {
		return refuseInvalid("The number of groups and domains in the policy (%d) is larger than the maximum allowed, "+
			"%d.", n, maxGroups)
	}
	return nil
}

// checkAdded refuses members that are new in p and may not be: those of a foreign
// domain, and users as owners of a project. What is there already may stay.
func (s *Company) checkAdded(p *Policy, o WriteOptions) error {
	if len(o.Within) == 0 {
		return nil
	}
	old := map[[2]string]bool{}
	known := map[string]bool{}
	if o.Before != nil {
		for _, b := range o.Before.Bindings {
			for _, m := range b.Members {
				old[[2]string{b.Role, m}], known[m] = true, true
			}
		}
	}
	for _, b := range p.Bindings {
		for _, m := range b.Members {
			if old[[2]string{b.Role, m}] {
				continue
			}
			if err := s.checkNewMember(b.Role, m, known[m], o); err != nil {
				return err
			}
		}
	}
	if o.Owners && len(o.Within) == 1 && o.Before != nil && userOwners(o.Before) > 0 && userOwners(p) == 0 {
		return ownerError("REQUIRE_TOS_ACCEPTOR", "", o,
			"The last owner that has accepted the terms of service cannot be removed from a project without an "+
				"organization.")
	}
	return nil
}

// checkNewMember refuses a member that has not had the role before; known is whether it has
// another role already.
func (s *Company) checkNewMember(role, m string, known bool, o WriteOptions) error {
	domains, restricted := s.Constraint(o.Within, MemberDomains)
	if restricted && !known && s.foreign(o.Within, domains, m) {
		_, id, _ := strings.Cut(m, ":")
		return RefuseByOrgPolicy(MemberDomains, "orgpolicy:"+
			strings.TrimPrefix(o.Within[0], "//"+ResourceManagerHost+"/")+"?configvalue="+url.QueryEscape(id),
			"One or more users named in the policy do not belong to a permitted customer.")
	}
	if o.Owners && role == "roles/owner" && strings.HasPrefix(m, "user:") &&
		!(s.Doubts.UserOwners && s.ofOrganization(m, o.Within)) {
		return ownerError("MUST_INVITE_OWNERS", m, o,
			"The user %s can be made an owner in the console only, by invitation.", m)
	}
	return nil
}

// ownerError is the refusal that only projects know (cloudresourcemanager/v1).
func ownerError(kind, member string, o WriteOptions, format string, args ...any) error {
	prefix := "ORG_"
	if len(o.Within) == 1 {
		prefix = "SOLO_"
	}
	detail := map[string]any{"@type": "type.googleapis.com/google.cloudresourcemanager.v1.ProjectIamPolicyError",
		"type": prefix + kind, "role": "roles/owner"}
	if member != "" {
		detail["member"] = member
	}
	return refuseInvalid(format, args...).with(detail)
}

// userOwners counts the users that own a project.
func userOwners(p *Policy) int {
	n := 0
	for _, b := range p.Bindings {
		if b.Role == "roles/owner" {
			for _, m := range b.Members {
				if strings.HasPrefix(m, "user:") {
					n++
				}
			}
		}
	}
	return n
}

// ofOrganization reports whether a user is of the domain of the organization that
// is above holders.
func (s *Company) ofOrganization(member string, holders []string) bool {
	_, number, _ := strings.Cut(holders[len(holders)-1], "/organizations/")
	o := s.Organizations[number]
	_, domain, _ := strings.Cut(member, "@")
	return o != nil && strings.EqualFold(domain, o.Domain)
}

func thousands(n int) string {
	s := ""
	for n >= 1000 {
		s = "," + fmt.Sprintf("%03d", n%1000) + s
		n /= 1000
	}
	return strconv.Itoa(n) + s
}

// checkRole refuses roles that do not exist or mean nothing on the resource. A deleted
// custom role may stay where it is bound; it cannot be bound again.
func (s *Company) checkRole(role string, o WriteOptions) error {
	ok := false
	if r := Predefined()[role]; r != nil {
		ok = r.GrantableOn(o.Service)
	} else if r := s.Roles[role]; r != nil {
		bound := o.Before != nil && slices.ContainsFunc(o.Before.Bindings, func(b Binding) bool {
			return b.Role == role
		})
		ok = bound || !r.IsDeleted() && !o.Now.Before(r.Known) && r.within(o.Within) && r.GrantableOn(o.Service)
	}
	if !ok {
		return refuseInvalid("Role %s is not supported for this resource.", role)
	}
	return nil
}

func (s *Company) checkCondition(b Binding, o WriteOptions) error {
	c := b.Condition
	switch {
	case !o.Conditions:
		return refuseInvalid("Conditional role bindings are not supported for this resource.")
	case IsBasic(b.Role):
		return refuseInvalid("Conditions can't be set on primitive roles (%s).", b.Role)
	case strings.HasPrefix(b.Role, "roles/storage.legacy") && !s.Doubts.LegacyRoleConditions:
		return refuseInvalid("Conditions can't be set on legacy roles (%s).", b.Role)
	case c.Title == "":
		return refuseInvalid("A condition must have a title.")
	case c.Expression == "":
		return refuseInvalid("A condition must have an expression.")
	}
	if err := CompileCondition(c.Expression); err != nil {
		return refuseInvalid("Condition expression compilation failed: %v", err)
	}
	return nil
}

// The members that mean everybody, and everybody who is logged in.
const (
	AllUsers              = "allUsers"
	AllAuthenticatedUsers = "allAuthenticatedUsers"
)

// checkMember refuses members that are malformed, not allowed here, or service
// accounts that do not exist.
func (s *Company) checkMember(m string, o WriteOptions) error {
	if isPublic(m) {
		if !o.Public {
			return refuseInvalid("The member %s is of an unknown type or not allowed on this resource. Please set a "+
				"valid type prefix for the member.", m)
		}
		return nil
	}
	kind, id, ok := strings.Cut(m, ":")
	if !ok || id == "" {
		return refuseInvalid("Invalid member: '%s'. Members must have the form kind:identifier.", m)
	}
	const unknown = "The member %s is of an unknown type. Please set a valid type prefix for the member."
	form, formal := memberForms[kind]
	switch {
	case formal && !form.valid(id):
		return refuseInvalid("Invalid member: '%s'. %s", m, form.expected)
	case (kind == "user" || kind == "group") && strings.HasSuffix(id, ".gserviceaccount.com"):
		return refuseInvalid("Principal %s is of type \"serviceAccount\". The principal should appear as "+
			"\"serviceAccount:%s\".", id, id)
	case formal:
		return nil
	}
	switch kind {
	case "serviceAccount":
		if strings.HasSuffix(id, ".iam.gserviceaccount.com") && !IsServiceAgent(id) && !s.bindable(id, o) {
			return refuseInvalid("Service account %s does not exist.", id)
		}
	case "projectOwner", "projectEditor", "projectViewer":
		if !o.Convenience {
			return refuseInvalid(unknown, m)
		}
	default:
		return refuseInvalid(unknown, m)
	}
	return nil
}

// memberForms are what the identifiers of members look like, by their kind.
var memberForms = map[string]struct {
	valid    func(id string) bool
	expected string
}{
	"user":         {isAddress, "An e-mail address is expected."},
	"group":        {isAddress, "An e-mail address is expected."},
	"domain":       {isDomain, "A domain is expected."},
	"principal":    {isPath, "A principal is named by a path such as //iam.googleapis.com/projects/..."},
	"principalSet": {isPath, "A principal is named by a path such as //iam.googleapis.com/projects/..."},
	"deleted": {isDeleted, "A deleted principal is a user, a group or a service account with its unique id, or an " +
		"identity of a pool."},
}

// isDeleted reports whether id is one of the published forms of members that are deleted
// (google/iam/v1/policy.proto).
func isDeleted(id string) bool {
	kind, rest, _ := strings.Cut(id, ":")
	switch kind {
	case "user", "group", "serviceAccount":
		email, uid, ok := strings.Cut(rest, "?uid=")
		return ok && isAddress(email) && uid != "" && strings.Trim(uid, "0123456789") == ""
	case "principal":
		path, ok := strings.CutPrefix(rest, "//"+Host+"/")
		pool, subject, subjects := strings.Cut(path, "/subject/")
		return ok && subjects && pool != "" && subject != ""
	}
	return false
}

func isAddress(id string) bool {
	name, domain, ok := strings.Cut(id, "@")
	return ok && name != "" && domain != ""
}

func isDomain(id string) bool { return strings.Contains(id, ".") && !strings.ContainsAny(id, "@/ ") }

func isPath(id string) bool {
	authority, path, _ := strings.Cut(strings.TrimPrefix(id, "//"), "/")
	return strings.HasPrefix(id, "//") && authority != "" && path != ""
}

// IsServiceAgent reports whether email is of one of Google's own accounts, which
// live in projects that are Google's too.
func IsServiceAgent(email string) bool {
	_, domain, _ := strings.Cut(email, "@")
	return strings.HasPrefix(domain, "gcp-sa-") || strings.HasPrefix(email, "service-")
}

// Rename replaces a member everywhere in p, or takes it out if to is "", and reports
// whether it stood there.
func (p *Policy) Rename(from, to string) bool {
	if p == nil {
		return false
	}
	RenameUnsettled(p.Unsettled, from, to)
	found := false
	for i := range p.Bindings {
		j := slices.Index(p.Bindings[i].Members, from)
		if j < 0 {
			continue
		}
		found = true
		// Answers that are on their way share the old list.
		members := slices.Delete(slices.Clone(p.Bindings[i].Members), j, j+1)
		if to != "" {
			members = append(members, to)
		}
		p.Bindings = slices.Clone(p.Bindings)
		p.Bindings[i].Members = members
	}
	if found {
		p.Bindings = MergeBindings(p.Bindings)
	}
	return found
}

// DropRole takes the bindings of a role out.
func (p *Policy) DropRole(role string) {
	if p != nil && slices.ContainsFunc(p.Bindings, func(b Binding) bool { return b.Role == role }) {
		p.Bindings = slices.DeleteFunc(slices.Clone(p.Bindings), func(b Binding) bool { return b.Role == role })
	}
}

// Public reports whether the binding grants its role to everybody.
func (b Binding) Public() bool {
	return slices.ContainsFunc(b.Members, isPublic)
}

func isPublic(member string) bool { return member == AllUsers || member == AllAuthenticatedUsers }
