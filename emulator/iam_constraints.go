package emulator

import (
	"slices"
	"strings"
)

// Organization policies are kept as they stand in a seed, on a project or what it
// lies in: "constraints/NAME", or "constraints/NAME=VALUE,VALUE" for those that
// take values.
const (
	noAccounts      = "iam.disableServiceAccountCreation"
	noKeys          = "iam.disableServiceAccountKeyCreation"
	noUploads       = "iam.disableServiceAccountKeyUpload"
	keyExpiry       = "iam.serviceAccountKeyExpiryHours"                   // =8h
	longTokens      = "iam.allowServiceAccountCredentialLifetimeExtension" // =EMAIL,EMAIL
	memberDomains   = "iam.allowedPolicyMemberDomains"                     // =DOMAIN,DOMAIN
	constraintsName = "constraints/"
)

// constraint returns the values of the organization policy that is in force where
// the policies of holders, nearest first, hang: the nearest one that there is.
func (s *company) constraint(holders []string, name string) (values []string, inForce bool) {
	for _, holder := range holders {
		var all []string
		kind, id, _ := strings.Cut(strings.TrimPrefix(holder, "//"+resourceManagerHost+"/"), "/")
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
			is, value, _ := strings.Cut(strings.TrimPrefix(c, constraintsName), "=")
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

// projectConstraint is constraint for what lies directly in a project.
func (s *company) projectConstraint(id, name string) (values []string, inForce bool) {
	p := s.Projects[id]
	if p == nil {
		return nil, false
	}
	return s.constraint(s.containerNode("projects/"+p.Number).holders, name)
}

// foreign reports whether an organization policy that lists domains keeps a member
// out. Service accounts and identity pools of the same organization pass, whatever
// the list.
func (s *company) foreign(holders, domains []string, member string) bool {
	if member == allUsers || member == allAuthenticatedUsers {
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
		a := s.accountByEmail(id)
		if a == nil {
			return false // one of Google's own; others do not exist
		}
		home = a.ProjectID
	case "principal", "principalSet":
		rest, ok := strings.CutPrefix(id, "//"+iamHost+"/projects/")
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
	p := s.projectBy(home)
	return p == nil || !slices.Contains(s.containerNode("projects/"+p.Number).holders, root)
}

// A managed constraint does what an older one of another name does
// (resource-manager/docs/organization-policy/org-policy-constraints).
var managedNames = map[string]string{
	noAccounts: "iam.managed.disableServiceAccountCreation",
	noKeys:     "iam.managed.disableServiceAccountKeyCreation",
	noUploads:  "iam.managed.disableServiceAccountKeyUpload",
}
