package gcloud

import (
	"strings"

	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/shell"
)

// EnableServices returns the command that enables APIs in a project.
func EnableServices(project string, services ...string) string {
	return "gcloud services enable " + strings.Join(services, " ") + " --project=" + shell.Quote(project)
}

// DescribeConstraint returns the command that shows what a constraint of organisation
// policies comes to in a project.
func DescribeConstraint(project, constraint string) string {
	return "gcloud org-policies describe " + shell.Quote(constraint) +
		" --project=" + shell.Quote(project) + " --effective"
}

// ListKeys returns the command that lists the keys which a service account has.
func ListKeys(email string) string {
	return "gcloud iam service-accounts keys list --iam-account=" + shell.Quote(email)
}

// ListProjects is the command that lists the projects that one sees.
const ListProjects = "gcloud projects list"

// DescribeProject returns the command that shows a project and its state.
func DescribeProject(project string) string {
	return "gcloud projects describe " + shell.Quote(project)
}

// UndeleteProject returns the command that restores a project which was shut down.
func UndeleteProject(project string) string {
	return "gcloud projects undelete " + shell.Quote(project)
}

// CreateProject returns the command that makes a project.
func CreateProject(project string) string { return "gcloud projects create " + shell.Quote(project) }

// FindRole returns the command that lists the roles among which one is, or should be: those of its
// project or organization, the deleted ones too, or the predefined ones with a similar name.
func FindRole(role string) string {
	parent, id, custom := strings.Cut(role, "/roles/")
	if custom {
		return "gcloud iam roles list " + in(parent) + " --show-deleted"
	}
	return "gcloud iam roles list --filter=name:" + shell.Quote(strings.TrimPrefix(role, "roles/")+id)
}

// GrantableRoles returns the command that lists the roles that can be granted on a resource.
func GrantableRoles(n resource.Name) string {
	return "gcloud iam list-grantable-roles " + shell.Quote(n.Full())
}

// TestablePermissions returns the command that lists the permissions that mean something on
// a resource.
func TestablePermissions(n resource.Name) string {
	return "gcloud iam list-testable-permissions " + shell.Quote(n.Full())
}

// UniformAccess returns the command that ends the access control lists of the objects in a
// bucket, which is named as gs://BUCKET.
func UniformAccess(bucket string) string {
	return "gcloud storage buckets update " + shell.Quote(bucket) + " --uniform-bucket-level-access"
}

// DropDeleted returns the command that takes deleted principals out of the policy of a resource:
// they give nobody anything and take room. It is empty for a resource whose policy no command
// edits.
func DropDeleted(n resource.Name) string {
	group, names, ok := target(n)
	if !ok || group == "bq" {
		return ""
	}
	on := strings.Join(names, " ")
	return group + " get-iam-policy " + on + " --format=json | jq '.bindings |= (map(.members |= " +
		`map(select(startswith("deleted:") | not))) | map(select(.members != [])))' > policy.json && ` +
		group + " set-iam-policy " + on + " policy.json"
}
