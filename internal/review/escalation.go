package review

import (
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/resource"
)

// escalations are the permissions that let their holder become an identity that can do
// more, or give itself or others more than the manifest says, each with what it does.
// Sources: what Google says of service accounts'
// permissions (iam/docs/best-practices-service-accounts), the published methods of
// RhinoSecurityLabs (GCP-IAM-Privilege-Escalation) and HackTricks Cloud
// (gcp-privilege-escalation), and the tags of iann0036/iam-dataset.
//
// actAs and the permissions of [runsCode] are not here: it takes both.
var escalations = map[string]string{
	"iam.serviceAccounts.getAccessToken":     "mints tokens of a service account",
	"iam.serviceAccounts.signBlob":           "signs as a service account, and can make tokens of it",
	"iam.serviceAccounts.signJwt":            "signs as a service account, and can make tokens of it",
	"iam.serviceAccounts.implicitDelegation": "mints tokens of every account that a service account may mint tokens of",
	"iam.serviceAccounts.enable":             "enables a disabled service account, also that of this run after down",
	"iam.serviceAccountKeys.create":          "makes keys of a service account, which outlast the run",
	"iam.serviceAccountKeys.enable":          "enables disabled keys of a service account",
	"iam.roles.update":                       "adds permissions to a custom role, also its own",
	"iam.denypolicies.update":                "removes what denies access",
	"iam.denypolicies.delete":                "removes what denies access",
	"orgpolicy.policy.set":                   "removes constraints of the organization",
	"storage.hmacKeys.create":                "makes HMAC keys of a service account, which outlast the run",

	"iam.googleapis.com/workloadIdentityPoolProviders.create": "lets in identities from other systems",
	"iam.googleapis.com/workloadIdentityPoolProviders.update": "lets in identities from other systems",
	"iam.workloadIdentityPoolProviders.create":                "lets in identities from other systems",
	"iam.workloadIdentityPoolProviders.update":                "lets in identities from other systems",
}

const actAs = "iam.serviceAccounts.actAs"

// objectACLs is the only setIamPolicy in common roles such as storage.objectAdmin. It
// edits the ACLs of objects, and does nothing where access to the bucket is uniform
// (storage/docs/uniform-bucket-level-access).
const objectACLs = "storage.objects.setIamPolicy"

// runsCode are the permissions that make Google run code of the caller's. With [actAs] on a
// service account the code runs as that account; cloudbuild.builds.create has done without
// (cloud-build/docs/cloud-build-service-account).
var runsCode = words(`aiplatform.customJobs.create aiplatform.pipelineJobs.create appengine.versions.create
	batch.jobs.create cloudbuild.builds.create cloudfunctions.functions.create cloudfunctions.functions.update
	cloudfunctions.functions.sourceCodeSet cloudscheduler.jobs.create cloudscheduler.jobs.update cloudtasks.tasks.create
	composer.environments.create compute.instances.create compute.instances.osAdminLogin compute.instances.setMetadata
	compute.instances.setServiceAccount compute.projects.setCommonInstanceMetadata container.pods.create
	container.pods.exec container.deployments.create container.deployments.update
	container.jobs.create container.jobs.update dataflow.jobs.create dataproc.clusters.create dataproc.jobs.create
	deploymentmanager.deployments.create
	notebooks.instances.create run.jobs.create run.jobs.run run.jobs.runWithOverrides run.services.create
	run.services.update workflows.workflows.create`)

// escalates says how a permission lets its holder escalate, or returns "".
func escalates(permission string) string {
	if how := escalations[permission]; how != "" {
		return how
	}
	if strings.HasSuffix(permission, ".setIamPolicy") && permission != objectACLs {
		return "changes who has access, and can give access that outlasts the run"
	}
	return ""
}

// applies reports whether a permission in a binding on a resource can be of use: IAM asks
// the policy of the thing that is acted on, and of what that thing is in. On a bucket the
// setIamPolicy of projects is never asked for, though roles that are bound there hold it.
// Where it is not certain, it applies.
func applies(permission string, name resource.Name) bool {
	service, rest, _ := strings.Cut(permission, ".")
	collection, _, _ := strings.Cut(rest, ".")
	t := name.Type()
	switch t.Kind {
	case "organization":
		return true
	case "folder":
		return service+"."+collection != "resourcemanager.organizations"
	case "project":
		above := service + "." + collection
		return above != "resourcemanager.organizations" && above != "resourcemanager.folders"
	}
	if permission == "storage.hmacKeys.create" { // a project's, and never a bucket's
		return false
	}
	switch t.Service {
	case "iam.googleapis.com":
		return slices.ContainsFunc(t.Testable, func(prefix string) bool {
			return strings.HasPrefix(permission, prefix)
		})
	case "cloudresourcemanager.googleapis.com":
		return true
	}
	host, _, _ := strings.Cut(t.Service, ".")
	if host == service || host == "bigquery" { // what is in BigQuery asks for no other service's permissions
		return host == service
	}
	return len(t.Testable) == 0 || slices.ContainsFunc(t.Testable, func(prefix string) bool {
		of, _, _ := strings.Cut(prefix, ".")
		return prefix == "" || of == service
	})
}
