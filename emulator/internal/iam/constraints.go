package iam

import (
	"slices"
	"strings"
)

// Organization policies are kept as they stand in a seed, on a project or what it
// lies in: "constraints/NAME", or "constraints/NAME=VALUE,VALUE" for those that
// take values.
const (
	NoAccounts      = "iam.disableServiceAccountCreation"
	NoKeys          = "iam.disableServiceAccountKeyCreation"
	NoUploads       = "iam.disableServiceAccountKeyUpload"
	KeyExpiry       = "iam.serviceAccountKeyExpiryHours"                   // =8h
	LongTokens      = "iam.allowServiceAccountCredentialLifetimeExtension" // =EMAIL,EMAIL
	MemberDomains   = "iam.allowedPolicyMemberDomains"                     // =DOMAIN,DOMAIN
	ConstraintsName = "constraints/"
)

// Constraint returns the values of the organization policy that is in force where
// the policies of holders, nearest first, hang: the nearest one that there is.
func (s *Company) Constraint(holders []string, name string) (values []string, inForce bool) {
	for _, holder := range holders {
		var all []string
		kind, id, _ := strings.Cut(strings.TrimPrefix(holder, "//"+ResourceManagerHost+"/"), "/")
		switch kind {
		case "projects":
			if p := s.Projects[id]; p != nil {
				all = p.Constraints
			}
		case "folders":
			if f := s.Folders[id]; f != nil {
				all = f.Constraints
			}
		case "organizations":
			if o := s.Organizations[id]; o != nil {
				all = o.Constraints
			}
		}
		for _, c := range all {
			is, value, _ := strings.Cut(strings.TrimPrefix(c, ConstraintsName), "=")
			if is != name {
				continue
			}
			for v := range strings.SplitSeq(value, ",") {
				if v = strings.TrimSpace(v); v != "" {
					values = append(values, v)
				}
			}
			return values, true
		}
	}
	return nil, false
}

// ProjectConstraint is [Company.Constraint] for what lies directly in a project.
func (s *Company) ProjectConstraint(id, name string) (values []string, inForce bool) {
	p := s.Projects[id]
	if p == nil {
		return nil, false
	}
	return s.Constraint(s.ContainerNode("projects/"+p.Number).Holders, name)
}

// foreign reports whether an organization policy that lists domains keeps a member
// out. Service accounts and identity pools of the same organization pass, whatever
// the list.
func (s *Company) foreign(holders, domains []string, member string) bool {
	if isPublic(member) {
		return true
	}
	kind, id, _ := strings.Cut(member, ":")
	_, domain, _ := strings.Cut(id, "@")
	root := holders[len(holders)-1]
	var home string
	switch kind {
	case "domain":
		domain = id
	case "serviceAccount":
		a := s.AccountByEmail(id)
		if a == nil {
			return false // one of Google's own; others do not exist
		}
		home = a.ProjectID
	case "principal", "principalSet":
		rest, ok := strings.CutPrefix(id, "//"+Host+"/projects/")
		if !ok {
			return false
		}
		home, _, _ = strings.Cut(rest, "/")
	case "user", "group":
	default: // deleted members, projectOwner: and its kin
		return false
	}
	if home == "" {
		return !slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, domain) })
	}
	p := s.ProjectBy(home)
	return p == nil || !slices.Contains(s.ContainerNode("projects/"+p.Number).Holders, root)
}

// A managed constraint does what an older one of another name does
// (resource-manager/docs/organization-policy/org-policy-constraints).
var ManagedNames = map[string]string{
	NoAccounts: "iam.managed.disableServiceAccountCreation",
	NoKeys:     "iam.managed.disableServiceAccountKeyCreation",
	NoUploads:  "iam.managed.disableServiceAccountKeyUpload",
}
