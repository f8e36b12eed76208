package emulator

import (
	"slices"
	"strings"
	"time"
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
func (s *state) constraint(holders []string, name string) (values []string, inForce bool) {
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
func (s *state) projectConstraint(id, name string) (values []string, inForce bool) {
	p := s.Projects[id]
	if p == nil {
		return nil, false
	}
	return s.constraint(s.containerNode("projects/"+p.Number).holders, name)
}

// keyLifetime is how long a key of the project's accounts may live; ok is false if
// nothing limits it. A value that is no duration allows none.
func (s *state) keyLifetime(projectID string) (d time.Duration, ok bool) {
	values, ok := s.projectConstraint(projectID, keyExpiry)
	if !ok {
		return 0, false
	}
	for _, v := range values {
		if parsed, err := time.ParseDuration(v); err == nil {
			d = max(d, parsed)
		}
	}
	return d, true
}

// lifetimeLimit is how long a token of the account may live: an hour, or twelve if
// an organization policy lists the account (iam/docs/create-short-lived-credentials-direct).
func (s *state) lifetimeLimit(a *serviceAccount) time.Duration {
	if values, ok := s.projectConstraint(a.ProjectID, longTokens); ok && slices.Contains(values, a.Email) {
		return extendedTokenLifetime
	}
	return maxTokenLifetime
}

// foreign reports whether an organization policy that lists domains keeps a member
// out. Service accounts and identity pools of the same organization pass, whatever
// the list.
func (s *state) foreign(holders, domains []string, member string) bool {
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
