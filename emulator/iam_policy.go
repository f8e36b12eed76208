package emulator

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

// policy is an allow policy. The zero value is the policy that was never set.
type policy struct {
	// Changed is when it was set, in microseconds since 1970: all that the etag says.
	Changed int64 `json:"changed,omitempty" snapshot:"-"`
	// Bindings are replaced as a whole and never changed in place: answers share them,
	// and [indexOf] knows them by their first.
	Bindings     []binding                  `json:"bindings,omitempty"`
	AuditConfigs []auditConfig              `json:"auditConfigs,omitempty"`
	Extra        map[string]json.RawMessage `json:"extra,omitempty"` // fields unknown here, kept as they came
	// Unsettled is what of the last changes decisions do not know yet.
	Unsettled []unsettled `json:"unsettled,omitempty" snapshot:"-"`
	// Superseded is what the search over all policies still shows.
	Superseded []supersededPolicy `json:"superseded,omitempty" snapshot:"-"`
}

// binding grants a role to members, under a condition if there is one. Two
// bindings of a policy never share both role and condition.
type binding struct {
	Role      string
	Members   []string
	Condition *condition
	Extra     map[string]json.RawMessage // fields unknown here
}

type condition struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Expression  string `json:"expression,omitempty"`
	Location    string `json:"location,omitempty"`
}

type auditConfig struct {
	Service  string           `json:"service,omitempty"`
	LogTypes []auditLogConfig `json:"auditLogConfigs,omitempty"`
}

type auditLogConfig struct {
	LogType  string   `json:"logType,omitempty"`
	Exempted []string `json:"exemptedMembers,omitempty"`
}

// wirePolicy is a policy as it travels.
type wirePolicy struct {
	Version      int
	Bindings     []binding
	AuditConfigs []auditConfig
	Etag         string
	Extra        map[string]json.RawMessage // what else came, or is to be sent: kind, resourceId, ...
}

func (b binding) MarshalJSON() ([]byte, error) {
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

func (b *binding) UnmarshalJSON(data []byte) error {
	*b = binding{}
	var err error
	b.Extra, err = decodeFields(data, map[string]any{"role": &b.Role, "members": &b.Members, "condition": &b.Condition})
	return err
}

func (w wirePolicy) MarshalJSON() ([]byte, error) {
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

func (w *wirePolicy) UnmarshalJSON(data []byte) error {
	*w = wirePolicy{}
	var err error
	w.Extra, err = decodeFields(data, map[string]any{
		"version": &w.Version, "bindings": &w.Bindings, "auditConfigs": &w.AuditConfigs, "etag": &w.Etag})
	return err
}

// decodeFields decodes the fields of a JSON object into the given pointers, and
// returns the fields that have none.
func decodeFields(data []byte, known map[string]any) (map[string]json.RawMessage, error) {
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

// unsetEtag is what a policy carries that was never set: the bytes 00 20 01.
const unsetEtag = "ACAB"

// etagOf encodes a time in microseconds: the byte 7, then 56 bits, big-endian.
func etagOf(micros int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(micros))
	b[0] = 7
	return base64.StdEncoding.EncodeToString(b[:])
}

func (p *policy) etag() string {
	if p.Changed == 0 {
		return unsetEtag
	}
	return etagOf(p.Changed)
}

// touch gives p a new etag, later than its last.
func (p *policy) touch(now time.Time) { p.Changed = max(now.UnixMicro(), p.Changed+1) }

// sameEtag compares the bytes of two etags: clients re-encode them in the other
// alphabet of base64.
func sameEtag(a, b string) bool {
	decode := func(s string) ([]byte, bool) {
		s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
		raw, err := base64.RawStdEncoding.DecodeString(s)
		return raw, err == nil
	}
	x, okX := decode(a)
	y, okY := decode(b)
	return okX && okY && bytes.Equal(x, y)
}

func (p *policy) conditional() bool {
	return slices.ContainsFunc(p.Bindings, func(b binding) bool { return b.Condition != nil })
}

// empty reports whether p grants nothing and says nothing.
func (p *policy) empty() bool {
	return p == nil || len(p.Bindings) == 0 && len(p.AuditConfigs) == 0 && len(p.Extra) == 0
}

// checkVersion refuses versions that do not exist.
func checkVersion(v int) error {
	if v != 0 && v != 1 && v != 3 {
		return refuseInvalid("Invalid policy version %d: valid values are 0, 1 and 3.", v)
	}
	return nil
}

// read returns p as it is sent to somebody who asked for a version. Conditions
// are hidden from those who did not ask for 3, in roles that cannot be mistaken
// for the real ones (iam/docs/troubleshooting-withcond).
func (p *policy) read(requested int) wirePolicy {
	w := wirePolicy{Etag: p.etag(), AuditConfigs: p.AuditConfigs, Extra: maps.Clone(p.Extra)}
	if p.Changed == 0 {
		return w
	}
	w.Version = 1
	w.Bindings = slices.Clone(p.Bindings)
	if !p.conditional() {
		return w
	}
	if requested >= 3 {
		w.Version = 3
		return w
	}
	for i, b := range w.Bindings {
		if b.Condition != nil {
			w.Bindings[i].Role = withcond(b)
			w.Bindings[i].Condition = nil
		}
	}
	return w
}

// withcond is the role under which a conditional binding is shown to readers of
// version 1.
func withcond(b binding) string {
	sum := sha256.Sum256([]byte(b.key()))
	return b.Role + "_withcond_" + hex.EncodeToString(sum[:10])
}

// key tells bindings apart.
func (b binding) key() string {
	if b.Condition == nil {
		return b.Role
	}
	c := b.Condition
	return strings.Join([]string{b.Role, c.Expression, c.Title, c.Description, c.Location}, "\x00")
}

// writeOptions say what a resource accepts in its policy.
type writeOptions struct {
	conditions  bool      // conditional bindings
	public      bool      // allUsers and allAuthenticatedUsers
	convenience bool      // projectOwner: and its kin, which only buckets know
	audit       bool      // auditConfigs
	service     string    // only roles with permissions that begin so ("pubsub.topics."); "" takes every role
	mask        []string  // updateMask; nil means bindings and etag
	skipEtag    bool      // the caller has compared it
	ignore      []string  // fields of the wire form that are no part of the policy
	now         time.Time // of the write; accounts that are not seen yet are judged by it
	owners      bool      // users become owners by invitation alone, which only projects know
	within      []string  // what the resource's policy and those above it hang on; nil for a seed, which is believed
	before      *policy   // what is replaced; nil means nothing
}

// write replaces p by w, if w is a policy that may be set, and gives it a new etag.
// p is unchanged after an error.
func (p *policy) write(s *company, now time.Time, w wirePolicy, o writeOptions) error {
	if err := checkVersion(w.Version); err != nil {
		return err
	}
	if w.Etag != "" && !o.skipEtag && !sameEtag(w.Etag, p.etag()) {
		return refuseStale()
	}
	next := policy{Changed: p.Changed, AuditConfigs: p.AuditConfigs, Bindings: p.Bindings, Extra: p.Extra}
	for _, field := range o.mask {
		if !slices.Contains(policyFields, strings.TrimSpace(field)) {
			return refuseInvalid("Invalid update mask: %q is no field of a policy.", field)
		}
	}
	masked := func(field string) bool { return o.mask == nil || slices.Contains(o.mask, field) }
	if masked("bindings") {
		next.Bindings = mergeBindings(s.revived(w.Bindings))
		next.Extra = maps.Clone(w.Extra)
		for _, name := range o.ignore {
			delete(next.Extra, name)
		}
		if len(next.Extra) == 0 {
			next.Extra = nil
		}
	}
	if o.audit && o.mask != nil && (slices.Contains(o.mask, "auditConfigs") || slices.Contains(o.mask, "audit_configs")) {
		next.AuditConfigs = w.AuditConfigs
	}
	if w.Version < 3 {
		if next.conditional() && masked("bindings") {
			return refuseInvalid("Policies with conditional role bindings must specify version 3.")
		}
		// Without an etag the older form overwrites the newer one, conditions and all.
		if p.conditional() && w.Etag != "" {
			return refuseInvalid("The policy contains conditional role bindings; changing it requires version 3.")
		}
	}
	o.now, o.before = now, p
	if err := s.checkPolicy(&next, o); err != nil {
		return err
	}
	next.Unsettled = p.settle(s, &next, now)
	next.Superseded = s.supersede(p.Superseded, p.Bindings, now)
	next.touch(now)
	*p = next
	return nil
}

// policyFields are what an update mask may name.
var policyFields = []string{"bindings", "etag", "version", "auditConfigs", "audit_configs"}

// revived returns the bindings with the tombstones of accounts that were undeleted
// since turned back: who read a policy before may write it after
// (google/iam/v1/policy.proto).
func (s *company) revived(bindings []binding) []binding {
	out := slices.Clone(bindings)
	for i, b := range out {
		for j, m := range b.Members {
			if a := s.risen(m); a != nil {
				out[i].Members = slices.Clone(out[i].Members)
				out[i].Members[j] = a.member()
			}
		}
	}
	return out
}

// risen returns the live account that a tombstone is of, or nil.
func (s *company) risen(member string) *serviceAccount {
	if !strings.HasPrefix(member, "deleted:serviceAccount:") {
		return nil
	}
	_, uid, _ := strings.Cut(member, "?uid=")
	if a := s.Accounts[uid]; a != nil && a.tombstone() == member && !a.deleted() {
		return a
	}
	return nil
}

// mergeBindings returns the bindings in IAM's order: one for each role and
// condition, members without repeats, empty ones dropped.
func mergeBindings(in []binding) []binding {
	byKey := map[string]int{}
	var out []binding
	for _, b := range in {
		if len(b.Members) == 0 {
			continue
		}
		b.Members = slices.Clone(b.Members)
		if b.Condition != nil && *b.Condition == (condition{}) {
			b.Condition = nil
		}
		if i, ok := byKey[b.key()]; ok {
			out[i].Members = append(out[i].Members, b.Members...)
			continue
		}
		byKey[b.key()] = len(out)
		out = append(out, b)
	}
	for i := range out {
		slices.Sort(out[i].Members)
		out[i].Members = slices.Compact(out[i].Members)
	}
	slices.SortStableFunc(out, func(a, b binding) int { return strings.Compare(a.key(), b.key()) })
	return out
}

// checkPolicy refuses what Google refuses in a policy.
func (s *company) checkPolicy(p *policy, o writeOptions) error {
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
			if b.Condition != nil && (m == allUsers || m == allAuthenticatedUsers) {
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
func (s *company) checkSize(p *policy) error {
	members, domains, groups := 0, 0, map[string]bool{}
	same := map[[2]string]int{}
	for _, b := range p.Bindings {
		for _, m := range b.Members {
			if same[[2]string{b.Role, m}]++; same[[2]string{b.Role, m}] > maxSameRoleMember {
				return refuseInvalid("The number of bindings with the same role %s and principal %s is larger than the maximum allowed, %d.",
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
		return refuseInvalid("The number of groups and domains in the policy (%d) is larger than the maximum allowed, %d.", n, maxGroups)
	}
	return nil
}

// checkAdded refuses members that are new in p and may not be: those of a foreign
// domain, and users as owners of a project. What is there already may stay.
func (s *company) checkAdded(p *policy, o writeOptions) error {
	if len(o.within) == 0 {
		return nil
	}
	old := map[[2]string]bool{}
	known := map[string]bool{}
	if o.before != nil {
		for _, b := range o.before.Bindings {
			for _, m := range b.Members {
				old[[2]string{b.Role, m}], known[m] = true, true
			}
		}
	}
	domains, restricted := s.constraint(o.within, memberDomains)
	for _, b := range p.Bindings {
		for _, m := range b.Members {
			if old[[2]string{b.Role, m}] {
				continue
			}
			if restricted && !known[m] && s.foreign(o.within, domains, m) {
				_, id, _ := strings.Cut(m, ":")
				e := refuseByPolicy(memberDomains, "orgpolicy:"+strings.TrimPrefix(o.within[0], "//"+resourceManagerHost+"/")+"?configvalue="+url.QueryEscape(id),
					"One or more users named in the policy do not belong to a permitted customer.")
				return e
			}
			if o.owners && b.Role == "roles/owner" && strings.HasPrefix(m, "user:") && !(s.Doubts.UserOwners && s.ofOrganization(m, o.within)) {
				return ownerError("MUST_INVITE_OWNERS", m, o, "The user %s can be made an owner in the console only, by invitation.", m)
			}
		}
	}
	if o.owners && len(o.within) == 1 && o.before != nil && userOwners(o.before) > 0 && userOwners(p) == 0 {
		return ownerError("REQUIRE_TOS_ACCEPTOR", "", o, "The last owner that has accepted the terms of service cannot be removed from a project without an organization.")
	}
	return nil
}

// ownerError is the refusal that only projects know (cloudresourcemanager/v1).
func ownerError(kind, member string, o writeOptions, format string, args ...any) error {
	prefix := "ORG_"
	if len(o.within) == 1 {
		prefix = "SOLO_"
	}
	detail := map[string]any{"@type": "type.googleapis.com/google.cloudresourcemanager.v1.ProjectIamPolicyError", "type": prefix + kind, "role": "roles/owner"}
	if member != "" {
		detail["member"] = member
	}
	return refuseInvalid(format, args...).with(detail)
}

// userOwners counts the users that own a project.
func userOwners(p *policy) int {
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
// stands above holders.
func (s *company) ofOrganization(member string, holders []string) bool {
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
// custom role may stay where it is bound; it cannot be bound anew.
func (s *company) checkRole(role string, o writeOptions) error {
	ok := false
	if r := predefined()[role]; r != nil {
		ok = r.grantableOn(o.service)
	} else if r := s.Roles[role]; r != nil {
		bound := o.before != nil && slices.ContainsFunc(o.before.Bindings, func(b binding) bool { return b.Role == role })
		ok = bound || !r.deleted() && !o.now.Before(r.Known) && r.within(o.within) && r.grantableOn(o.service)
	}
	if !ok {
		return refuseInvalid("Role %s is not supported for this resource.", role)
	}
	return nil
}

func (s *company) checkCondition(b binding, o writeOptions) error {
	c := b.Condition
	switch {
	case !o.conditions:
		return refuseInvalid("Conditional role bindings are not supported for this resource.")
	case isBasic(b.Role):
		return refuseInvalid("Conditions can't be set on primitive roles (%s).", b.Role)
	case strings.HasPrefix(b.Role, "roles/storage.legacy") && !s.Doubts.LegacyRoleConditions:
		return refuseInvalid("Conditions can't be set on legacy roles (%s).", b.Role)
	case c.Title == "":
		return refuseInvalid("A condition must have a title.")
	case c.Expression == "":
		return refuseInvalid("A condition must have an expression.")
	}
	if err := compileCondition(c.Expression); err != nil {
		return refuseInvalid("Condition expression compilation failed: %v", err)
	}
	return nil
}

const (
	allUsers              = "allUsers"
	allAuthenticatedUsers = "allAuthenticatedUsers"
)

// checkMember refuses members that are malformed, not allowed here, or service
// accounts that do not exist.
func (s *company) checkMember(m string, o writeOptions) error {
	if m == allUsers || m == allAuthenticatedUsers {
		if !o.public {
			return refuseInvalid("The member %s is of an unknown type or not allowed on this resource. Please set a valid type prefix for the member.", m)
		}
		return nil
	}
	kind, id, ok := strings.Cut(m, ":")
	if !ok || id == "" {
		return refuseInvalid("Invalid member: '%s'. Members must have the form kind:identifier.", m)
	}
	switch kind {
	case "user", "group":
		if name, domain, ok := strings.Cut(id, "@"); !ok || name == "" || domain == "" {
			return refuseInvalid("Invalid member: '%s'. An e-mail address is expected.", m)
		}
		if strings.HasSuffix(id, ".gserviceaccount.com") {
			return refuseInvalid("Principal %s is of type \"serviceAccount\". The principal should appear as \"serviceAccount:%s\".", id, id)
		}
	case "serviceAccount":
		if strings.HasSuffix(id, ".iam.gserviceaccount.com") && !isServiceAgent(id) && !s.bindable(id, o) {
			return refuseInvalid("Service account %s does not exist.", id)
		}
	case "domain":
		if !strings.Contains(id, ".") || strings.ContainsAny(id, "@/ ") {
			return refuseInvalid("Invalid member: '%s'. A domain is expected.", m)
		}
	case "principal", "principalSet":
		if authority, path, _ := strings.Cut(strings.TrimPrefix(id, "//"), "/"); !strings.HasPrefix(id, "//") || authority == "" || path == "" {
			return refuseInvalid("Invalid member: '%s'. A principal is named by a path such as //iam.googleapis.com/projects/...", m)
		}
	case "projectOwner", "projectEditor", "projectViewer":
		if !o.convenience {
			return refuseInvalid("The member %s is of an unknown type. Please set a valid type prefix for the member.", m)
		}
	case "deleted":
		if !strings.Contains(id, "?uid=") {
			return refuseInvalid("Invalid member: '%s'. A deleted principal carries its unique id.", m)
		}
	default:
		return refuseInvalid("The member %s is of an unknown type. Please set a valid type prefix for the member.", m)
	}
	return nil
}

// isServiceAgent reports whether email is of one of Google's own accounts, which
// live in projects that are Google's too.
func isServiceAgent(email string) bool {
	_, domain, _ := strings.Cut(email, "@")
	return strings.HasPrefix(domain, "gcp-sa-") || strings.HasPrefix(email, "service-")
}

// rename replaces a member everywhere in p, or takes it out if to is "", and reports
// whether it stood there.
func (p *policy) rename(from, to string) bool {
	if p == nil {
		return false
	}
	renameUnsettled(p.Unsettled, from, to)
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
		p.Bindings = mergeBindings(p.Bindings)
	}
	return found
}

// dropRole takes the bindings of a role out.
func (p *policy) dropRole(role string) {
	if p != nil && slices.ContainsFunc(p.Bindings, func(b binding) bool { return b.Role == role }) {
		p.Bindings = slices.DeleteFunc(slices.Clone(p.Bindings), func(b binding) bool { return b.Role == role })
	}
}

// public reports whether the binding grants its role to everybody.
func (b binding) public() bool {
	return slices.Contains(b.Members, allUsers) || slices.Contains(b.Members, allAuthenticatedUsers)
}
