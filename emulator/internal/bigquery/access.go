package bigquery

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// accessEntry is one entry of a dataset's access list, in the form of BigQuery's REST API. Exactly one
// of the fields that name somebody is set; entries for views, routines and datasets carry no role.
type accessEntry struct {
	Role         string          `json:"role,omitempty"`
	UserByEmail  string          `json:"userByEmail,omitempty"`
	GroupByEmail string          `json:"groupByEmail,omitempty"`
	Domain       string          `json:"domain,omitempty"`
	SpecialGroup string          `json:"specialGroup,omitempty"`
	IAMMember    string          `json:"iamMember,omitempty"`
	View         json.RawMessage `json:"view,omitempty"`
	Routine      json.RawMessage `json:"routine,omitempty"`
	Dataset      json.RawMessage `json:"dataset,omitempty"`
	Condition    *iam.Condition  `json:"condition,omitempty"`
}

// legacyRoles are the roles that an access list calls by an older name; it never shows the newer one.
var legacyRoles = map[string]string{
	"OWNER": "roles/bigquery.dataOwner", "WRITER": "roles/bigquery.dataEditor", "READER": "roles/bigquery.dataViewer",
}

// specialGroups are the groups of a project that an access list knows, as the prefix of their member.
var specialGroups = map[string]string{
	"projectOwners": "projectOwner:", "projectWriters": "projectEditor:", "projectReaders": "projectViewer:",
}

// iamRole is the role of the entry as IAM calls it.
func (e accessEntry) iamRole() string {
	if role, ok := legacyRoles[e.Role]; ok {
		return role
	}
	return e.Role
}

// authorizes reports whether the entry is for a view, routine or dataset rather than for somebody.
func (e accessEntry) authorizes() bool { return e.View != nil || e.Routine != nil || e.Dataset != nil }

// member is the principal of the entry as IAM names it; "" for views, routines and datasets.
func (e accessEntry) member(project string) string {
	switch {
	case e.UserByEmail != "":
		switch {
		case strings.HasPrefix(e.UserByEmail, "deleted:"):
			return e.UserByEmail
		case strings.HasSuffix(e.UserByEmail, ".gserviceaccount.com"):
			return "serviceAccount:" + e.UserByEmail
		}
		return "user:" + e.UserByEmail
	case e.GroupByEmail != "":
		return "group:" + e.GroupByEmail
	case e.Domain != "":
		return "domain:" + e.Domain
	case e.SpecialGroup != "":
		if prefix, ok := specialGroups[e.SpecialGroup]; ok {
			return prefix + project
		}
		return e.SpecialGroup
	}
	return e.IAMMember
}

// setMember makes the entry one for member, in the field that BigQuery shows such a member in.
func (e *accessEntry) setMember(member, project string) {
	e.UserByEmail, e.GroupByEmail, e.Domain, e.SpecialGroup, e.IAMMember = "", "", "", "", ""
	kind, id, _ := strings.Cut(member, ":")
	switch kind {
	case "user", "serviceAccount":
		e.UserByEmail = id
	case "deleted":
		e.UserByEmail = member
	case "group":
		e.GroupByEmail = id
	case "domain":
		e.Domain = id
	case iam.AllAuthenticatedUsers:
		e.SpecialGroup = member
	default:
		for group, prefix := range specialGroups {
			if member == prefix+project {
				e.SpecialGroup = group
				return
			}
		}
		e.IAMMember = member
	}
}

// policy is the access list as an allow policy. What authorises views has no part in it: it lets no
// principal do anything by itself.
func (d *dataset) policy() *iam.Policy {
	var bindings []iam.Binding
	for _, e := range d.Access {
		if !e.authorizes() {
			bindings = append(bindings, iam.Binding{Role: e.iamRole(), Members: []string{e.member(d.Project)},
				Condition: e.Condition})
		}
	}
	return &iam.Policy{Bindings: iam.MergeBindings(bindings), Unsettled: d.Unsettled}
}

// Rename replaces a member in the access list, or removes it if to is "". So an entry of a service account
// becomes one of its tombstone when the account is deleted, and one of the account when it is undeleted.
func (d *dataset) Rename(from, to string) bool {
	iam.RenameUnsettled(d.Unsettled, from, to)
	found := false
	for i := range d.Access {
		if e := &d.Access[i]; !e.authorizes() && e.member(d.Project) == from {
			found = true
			if to != "" {
				e.setMember(to, d.Project)
			}
		}
	}
	if to == "" {
		d.Access = slices.DeleteFunc(d.Access, func(e accessEntry) bool {
			return !e.authorizes() && e.member(d.Project) == from
		})
	}
	return found
}

// DropRole takes the entries of a role out.
func (d *dataset) DropRole(role string) {
	d.Access = slices.DeleteFunc(d.Access, func(e accessEntry) bool { return !e.authorizes() && e.iamRole() == role })
}

// defaultAccess is what a dataset grants if its maker says nothing of it.
func defaultAccess(creator, project string) []accessEntry {
	access := []accessEntry{
		{Role: "WRITER", SpecialGroup: "projectWriters"},
		{Role: "OWNER", SpecialGroup: "projectOwners"},
		{Role: "READER", SpecialGroup: "projectReaders"},
	}
	if creator != "" {
		owner := accessEntry{Role: "OWNER"}
		owner.setMember(creator, project)
		access = slices.Insert(access, 2, owner)
	}
	return access
}

// readAccess returns the access list for a reader who asked for a version. As with allow policies,
// conditions are hidden from those who did not ask for 3 (iam/docs/troubleshooting-withcond).
func (d *dataset) readAccess(version int) []accessEntry {
	access := slices.Clone(d.Access)
	for i, e := range access {
		if version < 3 && e.Condition != nil {
			access[i].Role = iam.Withcond(iam.Binding{Role: e.iamRole(), Condition: e.Condition})
			access[i].Condition = nil
		}
	}
	return access
}

// datasetOptions are what an access list may grant.
var datasetOptions = iam.WriteOptions{Conditions: true, Public: true, Convenience: true, Service: "bigquery."}

// conditional reports whether any entry of an access list has a condition.
func conditional(access []accessEntry) bool {
	return slices.ContainsFunc(access, func(e accessEntry) bool { return e.Condition != nil })
}

// readAccessList reads an access list that is to replace d's, in the form that it will be read back in.
func readAccessList(c *wire.Call, d *dataset, list []json.RawMessage, version int) ([]accessEntry, error) {
	access, err := parseAccess(list, d.Project)
	if err != nil {
		return nil, err
	}
	if version < 3 && (conditional(access) || conditional(d.Access)) {
		return nil, invalidEntry("Dataset %s:%s has conditional role bindings in its access policy; "+
			"accessPolicyVersion must be 3.", d.Project, d.ID)
	}
	next := dataset{Project: d.Project, Access: access}
	o := datasetOptions
	o.Now = c.Now
	o.Before = d.policy()
	if n, _, err := c.State().ProjectNode(d.Project); err == nil {
		o.Within = n.Holders
	}
	if err := c.State().CheckPolicy(next.policy(), o); err != nil {
		return nil, err
	}
	return access, nil
}

func parseAccess(list []json.RawMessage, project string) ([]accessEntry, error) {
	access := make([]accessEntry, 0, len(list))
	for i, raw := range list {
		var e accessEntry
		rest, err := iam.DecodeFields(raw, map[string]any{
			"role": &e.Role, "userByEmail": &e.UserByEmail, "groupByEmail": &e.GroupByEmail, "domain": &e.Domain,
			"specialGroup": &e.SpecialGroup, "iamMember": &e.IAMMember, "view": &e.View, "routine": &e.Routine,
			"dataset": &e.Dataset, "condition": &e.Condition,
		})
		if err != nil {
			return nil, invalidEntry("Invalid value at access[%d]: %v", i, err)
		}
		if len(rest) > 0 {
			return nil, invalidEntry("Unknown name %q at access[%d].", slices.Sorted(maps.Keys(rest))[0], i)
		}
		if err := e.check(i, project); err != nil {
			return nil, err
		}
		access = append(access, e)
	}
	return access, nil
}

// check refuses an entry that does not say exactly one thing, and brings it into the form that BigQuery
// keeps: legacy roles by their legacy name, members in the field of their kind.
func (e *accessEntry) check(i int, project string) error {
	named := 0
	for _, v := range []string{e.UserByEmail, e.GroupByEmail, e.Domain, e.SpecialGroup, e.IAMMember} {
		if v != "" {
			named++
		}
	}
	for _, raw := range []json.RawMessage{e.View, e.Routine, e.Dataset} {
		if raw != nil {
			named++
		}
	}
	if named != 1 {
		return invalidEntry("Exactly one of userByEmail, groupByEmail, domain, specialGroup, iamMember, view, routine "+
			"and dataset must be set at access[%d]; there are %d.", i, named)
	}
	if e.authorizes() {
		if e.Role != "" || e.Condition != nil {
			return invalidEntry("An entry for a view, routine or dataset takes neither role nor condition "+
				"(access[%d]).", i)
		}
		return nil
	}
	if e.Role == "" {
		return invalidEntry("Role is required at access[%d].", i)
	}
	if e.SpecialGroup != "" && specialGroups[e.SpecialGroup] == "" && e.SpecialGroup != iam.AllAuthenticatedUsers {
		return invalidEntry("Invalid value for specialGroup at access[%d]: %s", i, e.SpecialGroup)
	}
	for legacy, role := range legacyRoles {
		if e.Role == role {
			e.Role = legacy
		}
	}
	member := e.member(project)
	if strings.HasPrefix(member, "deleted:") {
		return invalidEntry("IAM setPolicy failed for Dataset: %s is deleted; remove it from the access list "+
			"(access[%d]).", member, i)
	}
	e.setMember(member, project)
	if e.Condition != nil && *e.Condition == (iam.Condition{}) {
		e.Condition = nil
	}
	return nil
}

// requestedAccessVersion is the version of the access list that the request speaks of.
func requestedAccessVersion(c *wire.Call) (int, error) {
	switch v := c.Query("accessPolicyVersion"); v {
	case "", "0", "1":
		return 1, nil
	case "3":
		return 3, nil
	default:
		return 0, invalidEntry("Invalid accessPolicyVersion %s: valid values are 0, 1 and 3.", v)
	}
}
