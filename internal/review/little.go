package review

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Findings of grants that give less than it seems: nothing, nothing for long, or too little.

// little looks for what makes a grant give less than whoever wrote it expects.
func (j *grantReview) little(role grants.Role) {
	j.addsNothing(role)
	if instead, why, ok := Elsewhere(j.g, role.Permissions); ok {
		j.add(AskedElsewhere, "", why, fmt.Sprintf("role = %q, resource = %q", instead.Role, instead.Resource.String()))
	}
	if role.Stage == "DEPRECATED" {
		j.add(DeprecatedRole, "", "", "")
	}
	j.tooSmall(role)
}

// addsNothing looks for another grant that gives all that this one does on something around it, and
// always.
func (j *grantReview) addsNothing(role grants.Role) {
	mine := j.own(role)
	if len(mine) == 0 {
		return
	}
	for i, wide := range j.task.Grants {
		if i == j.grant || wide.Condition != "" || wide.Prefix != "" || !j.seen.contains(wide.Resource, j.g.Resource) {
			continue
		}
		theirs := j.seen.Roles[wide.Role].Permissions
		lacks := func(of, have []string) bool {
			return slices.ContainsFunc(of, func(p string) bool { return !slices.Contains(have, p) })
		}
		if lacks(mine, theirs) {
			continue
		}
		// Of two that give the same on the same, the first counts.
		same := wide.Resource == j.g.Resource && j.g.Condition == "" && j.g.Prefix == "" &&
			!lacks(theirs, role.Permissions)
		if same && i > j.grant {
			continue
		}
		j.add(AddsNothing, "", fmt.Sprintf("it adds nothing: grant %d gives all of it on %s, whatever is written here",
			i+1, wide.Resource), "")
		return
	}
}

// contains reports whether it is known that one resource is another, or that the other is in it.
func (s Seen) contains(outer, inner resource.Name) bool {
	if outer == inner || strings.HasPrefix(inner.Full(), strings.TrimSuffix(outer.Full(), "/")+"/") {
		return true
	}
	if outer.Type().Kind != "project" {
		return false
	}
	number := func(project string) string {
		if n, known := s.Numbers[project]; known {
			return n
		}
		return project
	}
	home := inner.Project()
	if bucket, ok := inner.Bucket(); ok {
		home = s.Homes[bucket]
	}
	return home != "" && number(home) == number(outer.Project())
}

// tools are the usual tools for what a predefined role is about, and what they need beside it.
var tools = []struct {
	has, needs string
	// anywhere says that it will do if any grant of the task has it.
	anywhere bool
	why      string
	instead  func(grants.Task) string
}{
	{
		has: "storage.objects.create", needs: "storage.objects.get",
		why: "gcloud storage cp looks at the object that it is about to write, and needs storage.objects.get for that; " +
			"uploads by client libraries and curl do not",
		instead: func(grants.Task) string { return `role = "roles/storage.objectUser", which also deletes` },
	},
	{
		has: "bigquery.tables.getData", needs: "bigquery.jobs.create", anywhere: true,
		why: "a query is a job, and needs bigquery.jobs.create on the project that pays for it; without it only rows " +
			"can be listed",
		instead: func(t grants.Task) string {
			return `a further grant of role = "roles/bigquery.jobUser" on resource = ` + strconv.Quote("projects/"+t.Project)
		},
	},
}

// tooSmall looks for a predefined role with which its usual tool does not work.
func (j *grantReview) tooSmall(role grants.Role) {
	if !strings.HasPrefix(role.Name, "roles/") || grants.Basic(role.Name) {
		return
	}
	for _, tool := range tools {
		holds := func(g grants.Grant, permission string) bool {
			return len(j.seen.having(g, func(p string) bool { return p == permission })) > 0
		}
		if !holds(j.g, tool.has) || slices.ContainsFunc(j.task.Grants, func(g grants.Grant) bool {
			return holds(g, tool.needs) && (tool.anywhere || j.seen.contains(g.Resource, j.g.Resource))
		}) {
			continue
		}
		j.add(TooSmall, "", tool.why, tool.instead(j.task))
	}
}
