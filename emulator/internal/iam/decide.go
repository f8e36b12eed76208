package iam

import (
	"slices"
	"strings"
	"time"
)

// Decision is one question asked of IAM, and its answer.
type Decision struct {
	Permission string
	Resource   string // full name
	Allowed    bool
	By         string // the binding that decided: role, member, resource, condition's title
}

// Decide answers whether who holds permission on n: whether any policy from the resource
// up to the organization has a binding of a role with the permission, to a member that
// who is, under a condition that is true, and whether the boundary of who's token leaves it. In a project that was
// shut down nobody holds anything.
func (s *Company) Decide(who *Principal, permission string, n Node, now time.Time, attributes map[string]any) Decision {
	d := Decision{Permission: permission, Resource: n.Full}
	if who == nil || s.shutDown(n, permission, now) || !s.admits(who, permission, n, now) {
		return d
	}
	if who.identities == nil {
		who.identities = s.identities(who)
	}
	for i, p := range n.Policies {
		for _, b := range p.concerning(who, now) {
			if !s.grants(b.Role, permission, now) {
				continue
			}
			members := b.Members
			if n.Private && b.Public() {
				members = slices.DeleteFunc(slices.Clone(members), isPublic)
			}
			member, ok := s.memberOf(who, members, now)
			if !ok {
				continue
			}
			if b.Condition != nil {
				// An expression that cannot be evaluated does not grant.
				if yes, err := b.Condition.holds(n, now, attributes); err != nil || !yes {
					continue
				}
			}
			d.Allowed = true
			d.By = b.Role + " to " + member
			if i < len(n.Holders) {
				d.By += " on " + n.Holders[i]
			}
			if b.Condition != nil {
				d.By += " if " + b.Condition.Title
			}
			return d
		}
	}
	return d
}

// memberOf returns the first of members that who is.
func (s *Company) memberOf(who *Principal, members []string, now time.Time) (string, bool) {
	for _, m := range members {
		if who.identities[identity(m)] || s.hasConvenience(who, m, now) {
			return m, true
		}
	}
	return "", false
}

// identity is a member string in the form in which two are compared: addresses and
// domains are the same in capitals, the subjects of identity pools are not.
func identity(member string) string {
	if strings.HasPrefix(member, "principal") {
		return member
	}
	return strings.ToLower(member)
}

// identities returns every member string that means who, as [identity] spells it.
func (s *Company) identities(who *Principal) map[string]bool {
	ids := map[string]bool{identity(AllUsers): true, identity(who.Member): true}
	switch {
	case who.Anonymous: // is one of allUsers, and nothing else
	case who.Federated != nil:
		// An identity from elsewhere is none of allAuthenticatedUsers
		// (iam/docs/principals-overview).
		for _, set := range who.Federated.sets() {
			ids[set] = true
		}
	case who.Account != nil:
		ids[identity(AllAuthenticatedUsers)] = true
		if p := s.Projects[who.Account.ProjectID]; p != nil {
			for _, container := range s.Containers(p) {
				ids["principalSet://cloudresourcemanager.googleapis.com/"+container+"/type/ServiceAccount"] = true
			}
		}
	default:
		ids[identity(AllAuthenticatedUsers)] = true
		if _, domain, ok := strings.Cut(who.Email, "@"); ok {
			ids["domain:"+strings.ToLower(domain)] = true
		}
	}
	// Groups may hold groups: go on until nothing is added.
	for grown := true; grown; {
		grown = false
		for email, members := range s.Groups {
			id := "group:" + strings.ToLower(email)
			if !ids[id] && slices.ContainsFunc(members, func(m string) bool { return ids[identity(m)] }) {
				ids[id] = true
				grown = true
			}
		}
	}
	return ids
}

// hasConvenience reports whether who is a projectOwner:, projectEditor: or
// projectViewer: member: whether the project's own policy gives it the basic role.
func (s *Company) hasConvenience(who *Principal, member string, now time.Time) bool {
	kind, id, _ := strings.Cut(member, ":")
	basic := map[string]string{"projectOwner": "roles/owner", "projectEditor": "roles/editor",
		"projectViewer": "roles/viewer"}[kind]
	p := s.Projects[id]
	if basic == "" || p == nil {
		return false
	}
	for _, b := range p.Policy.concerning(who, now) {
		if b.Role == basic && b.Condition == nil &&
			slices.ContainsFunc(b.Members, func(m string) bool { return who.identities[identity(m)] }) {
			return true
		}
	}
	return false
}
