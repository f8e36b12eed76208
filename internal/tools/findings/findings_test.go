package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/racetest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

const rolesFile = "../../../emulator/internal/iam/roles.txt"

var readOnce = sync.OnceValues(func() (map[string]grants.Role, error) { return readRoles(rolesFile) })

func table(t *testing.T) map[string]grants.Role {
	t.Helper()
	roles, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(roles) < 2000 {
		t.Fatalf("the table has %d roles", len(roles))
	}
	return roles
}

var judgedOnce = sync.OnceValue(func() map[string][]review.Finding {
	roles, _ := readOnce()
	on, _, _ := resource.Parse("projects/acme-agents")
	return judgeAll(roles, on)
})

// judged returns what is found of each role on a project.
func judged(t *testing.T) map[string][]review.Finding {
	t.Helper()
	racetest.Skip(t, "every role is judged")
	table(t)
	return judgedOnce()
}

func named(t *testing.T, name string) resource.Name {
	t.Helper()
	n, _, err := resource.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func has(found []review.Finding, want string) bool {
	grade, name, _ := strings.Cut(want, " ")
	return slices.ContainsFunc(found, func(f review.Finding) bool {
		return string(f.Grade) == grade && f.Name == name
	})
}

// No advice names the role that it is about, or says nothing, and no finding names what the resource cannot do.
func TestAdviceIsOfAnotherRole(t *testing.T) {
	t.Parallel()
	roles, on := table(t), map[string]map[string][]review.Finding{"projects/acme-agents": judged(t)}
	for _, name := range []string{
		"gs://acme-reports", "bq://acme-data.hr", "projects/acme-agents/secrets/api-key", "projects/acme-agents/topics/reports",
		"//run.googleapis.com/projects/acme-data/locations/europe-west3/services/web",
		"projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com",
	} {
		on[name] = judgeAll(roles, named(t, name))
	}
	permission := regexp.MustCompile(`[a-z][A-Za-z0-9]*\.[A-Za-z0-9]+\.[A-Za-z0-9]+`)
	for where, all := range on {
		for name, found := range all {
			ofNoUse := review.OfNoUse(roles[name].Permissions, named(t, where))
			for _, f := range found {
				if f.Instead == "" || f.Why == "" || slices.Contains(strings.FieldsFunc(f.Instead, func(r rune) bool { return strings.ContainsRune(` ,;"'`, r) }), name) {
					t.Errorf("%s on %s: %s: %s; instead: %s", name, where, f.Name, f.Why, f.Instead)
				}
				for _, p := range permission.FindAllString(f.Why, -1) {
					if slices.Contains(ofNoUse, p) {
						t.Errorf("%s on %s: %s is of no use there: %s", name, where, p, f.Why)
					}
				}
			}
		}
	}
}

// What is found of roles that are known to give more than they seem to.
func TestRolesThatGiveMore(t *testing.T) {
	t.Parallel()
	roles := table(t)
	for role, wants := range map[string]string{
		// They take the limits of others away, or move a project to where others are inherited.
		"iam.workforcePoolEditor":           "stop escalates",
		"iam.principalAccessBoundaryAdmin":  "stop escalates",
		"resourcemanager.projectMover":      "stop escalates",
		"accesscontextmanager.policyEditor": "stop escalates",
		"iam.denyAdmin":                     "stop escalates",
		"orgpolicy.policyAdmin":             "stop escalates",
		"privilegedaccessmanager.admin":     "stop escalates",
		"iam.workloadIdentityPoolAdmin":     "stop escalates",
		"iam.roleAdmin":                     "stop escalates",
		"iam.serviceAccountTokenCreator":    "stop escalates",
		"iam.serviceAccountKeyAdmin":        "stop escalates",
		"storage.hmacKeyAdmin":              "stop escalates",
		// They run code as an account that can do more, and nobody asks for actAs.
		"deploymentmanager.editor":  "stop escalates",
		"cloudbuild.builds.editor":  "stop escalates",
		"dataflow.developer":        "stop escalates", // it holds cloudbuild.builds.create
		"osconfig.admin":            "stop runs-code-as",
		"osconfig.patchJobExecutor": "stop runs-code-as",
		"dataproc.editor":           "stop runs-code-as",
		"container.developer":       "stop runs-code-as,stop hands-out-credentials",
		"iam.serviceAccountUser":    "stop runs-code-as",
		// They give credentials, also where Google calls it a read.
		"cloudbuild.tokenAccessor":             "stop hands-out-credentials",
		"developerconnect.tokenAccessor":       "stop hands-out-credentials",
		"serviceusage.apiKeysViewer":           "stop hands-out-credentials",
		"gkemulticloud.admin":                  "stop hands-out-credentials",
		"gkehub.gatewayAdmin":                  "stop hands-out-credentials",
		"iam.oauthClientViewer":                "stop hands-out-credentials",
		"redis.admin":                          "stop hands-out-credentials",
		"iam.serviceAccountOpenIdTokenCreator": "stop hands-out-credentials",
		"secretmanager.secretAccessor":         "warn hands-out-credentials",
		"privateca.certificateRequester":       "warn hands-out-credentials",
		// They run, start or change code, under an identity that is not the task's.
		"compute.osLogin":                "warn runs-code",
		"bigquery.connectionUser":        "warn runs-code",
		"workflows.invoker":              "warn runs-code",
		"source.writer":                  "warn runs-code",
		"artifactregistry.writer":        "warn runs-code",
		"run.developer":                  "warn runs-code,warn outlives",
		"dataproc.serverlessEditor":      "warn runs-code",
		"config.editor":                  "warn runs-code,warn outlives",
		"lifesciences.workflowsRunner":   "warn runs-code",
		"genomics.pipelinesRunner":       "warn runs-code",
		"integrations.integrationEditor": "warn runs-code",
		"bigquery.studioUser":            "warn runs-code",
		"clouddeploy.releaser":           "warn runs-code",
		"ml.editor":                      "warn runs-code",
		"runapps.admin":                  "warn runs-code",
		// They make users or rules outside of IAM.
		"firebaseauth.admin":      "stop access-elsewhere,stop hands-out-credentials",
		"cloudsql.admin":          "stop access-elsewhere,warn destroys",
		"alloydb.admin":           "stop access-elsewhere",
		"firebaserules.admin":     "warn access-elsewhere",
		"compute.securityAdmin":   "stop escalates,warn access-elsewhere",
		"mcp.toolUser":            "warn access-elsewhere",
		"resourcemanager.tagUser": "warn access-elsewhere",
		// They leave something that acts after down.
		"logging.configWriter":   "warn outlives,warn destroys",
		"storagetransfer.admin":  "warn outlives",
		"storagetransfer.user":   "warn outlives",
		"cloudasset.owner":       "warn outlives",
		"pubsub.editor":          "warn outlives",
		"eventarc.developer":     "warn outlives",
		"dataform.codeScheduler": "warn outlives",
		"cloudscheduler.admin":   "warn outlives",
		// They destroy.
		"resourcemanager.projectDeleter":     "stop destroys",
		"secretmanager.secretVersionManager": "warn destroys",
		"spanner.backupAdmin":                "warn destroys",
		"bigquery.dataOwner":                 "stop escalates,warn destroys",
		// They are for everybody, and say so by their names.
		"editor": "stop basic-role",
	} {
		found := judge(roles["roles/"+role], named(t, "projects/acme-agents"))
		for want := range strings.SplitSeq(wants, ",") {
			if !has(found, want) {
				t.Errorf("roles/%s (%d permissions) is not found to %s: %v", role, len(roles["roles/"+role].Permissions), want, names(found))
			}
		}
	}
}

func names(found []review.Finding) []string {
	var out []string
	for _, f := range found {
		out = append(out, string(f.Grade)+" "+f.Name)
	}
	return out
}

// Whoever may act as every service account of a project is stopped beside every role that runs something as one; and
// so is whoever may act as one, beside them alone.
func TestActingAsBesideWhatRunsCode(t *testing.T) {
	t.Parallel()
	roles := table(t)
	const user = "roles/iam.serviceAccountUser"
	project := named(t, "projects/acme-agents")
	one := named(t, "projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com")
	judge := func(role string, as resource.Name) review.Finding {
		task := grants.Task{Grants: []grants.Grant{{Role: user, Resource: as}, {Role: role, Resource: project}}}
		for _, f := range review.Findings(task, review.Seen{Roles: roles}) {
			if f.Grant == 0 && f.Name == review.RunsCodeAs {
				return f
			}
		}
		return review.Finding{}
	}
	for _, role := range strings.Fields(`dataproc.serverlessEditor config.editor lifesciences.workflowsRunner
		genomics.pipelinesRunner pubsub.editor eventarc.developer dataform.codeScheduler
		integrations.integrationEditor bigquery.studioUser clouddeploy.releaser ml.editor runapps.admin osconfig.admin
		storagetransfer.admin run.developer cloudfunctions.developer compute.osLogin cloudscheduler.admin
		cloudtasks.enqueuer workflows.editor batch.jobsEditor appengine.deployer aiplatform.user notebooks.runner
		composer.admin container.developer dataflow.admin firebaseapphosting.developer workstations.workstationCreator`) {
		role = "roles/" + role
		for _, as := range []resource.Name{project, one} {
			if got := judge(role, as); got.Grade != review.Stop {
				t.Errorf("%s on %s beside %s is not stopped: %+v", user, as, role, got)
			}
		}
	}
	const reader = "roles/storage.objectViewer"
	if got := judge(reader, project); got.Grade != review.Stop {
		t.Errorf("%s on a project is not stopped: %+v", user, got)
	}
	if got := judge(reader, one); got.Grade != review.Warn {
		t.Errorf("%s on one account, where nothing runs code: %+v, want a warning", user, got)
	}
}

// readOnly are roles that read and that many use.
const readOnly = `browser accesscontextmanager.policyReader aiplatform.viewer alloydb.viewer appengine.appViewer
	artifactregistry.reader bigquery.dataViewer bigquery.filteredDataViewer bigquery.jobUser bigquery.metadataViewer
	bigquery.readSessionUser bigquery.resourceViewer bigquery.user bigtable.reader bigtable.viewer billing.viewer
	cloudasset.viewer cloudbuild.builds.viewer clouddeploy.viewer cloudfunctions.viewer cloudkms.publicKeyViewer
	cloudkms.viewer cloudprofiler.user cloudscheduler.viewer cloudsql.client cloudsql.viewer cloudtasks.viewer
	cloudtrace.user composer.user compute.networkViewer compute.viewer container.clusterViewer container.viewer
	containeranalysis.occurrences.viewer datacatalog.viewer dataflow.viewer dataplex.viewer dataproc.viewer
	datastore.viewer deploymentmanager.viewer dns.reader errorreporting.viewer eventarc.viewer file.viewer
	firebase.viewer gkehub.viewer healthcare.fhirResourceReader iam.organizationRoleViewer iam.roleViewer
	iam.securityReviewer iam.serviceAccountViewer iam.denyReviewer iap.httpsResourceAccessor iap.tunnelResourceAccessor
	logging.privateLogViewer logging.viewAccessor logging.viewer memcache.viewer metastore.viewer monitoring.viewer
	monitoring.alertPolicyViewer monitoring.dashboardViewer monitoring.uptimeCheckConfigViewer notebooks.viewer
	orgpolicy.policyViewer osconfig.inventoryViewer parametermanager.parameterViewer privateca.auditor pubsub.viewer
	pubsub.subscriber recommender.viewer redis.viewer resourcemanager.folderViewer resourcemanager.organizationViewer
	resourcemanager.tagViewer run.viewer run.invoker secretmanager.secretAccessor secretmanager.viewer
	securitycenter.findingsViewer servicedirectory.viewer serviceusage.serviceUsageConsumer
	serviceusage.serviceUsageViewer source.reader spanner.databaseReader spanner.viewer storage.bucketViewer
	storage.insightsCollectorService storage.legacyBucketReader storage.legacyObjectReader storage.objectViewer
	storagetransfer.viewer vpcaccess.viewer workflows.viewer`

// No finding stops a role that only reads.
func TestReadingIsNotStopped(t *testing.T) {
	t.Parallel()
	roles := table(t)
	for _, role := range strings.Fields(readOnly) {
		r, known := roles["roles/"+role]
		if !known {
			t.Errorf("there is no roles/%s", role)
		}
		for _, f := range judge(r, named(t, "projects/acme-agents")) {
			if f.Grade == review.Stop {
				t.Errorf("roles/%s is stopped: %s: %s", role, f.Name, f.Why)
			}
		}
	}
	if n := len(strings.Fields(readOnly)); n < 50 {
		t.Errorf("only %d roles are looked at", n)
	}
}

// Nothing is found of what a type of resource cannot do.
func TestWhatAResourceCannotDo(t *testing.T) {
	t.Parallel()
	roles := table(t)
	for _, c := range []struct{ role, on, want string }{
		{"run.invoker", "//run.googleapis.com/projects/acme-data/locations/europe-west3/services/web", ""},
		{"run.invoker", "//run.googleapis.com/projects/acme-data/locations/europe-west3/jobs/nightly", "warn runs-code"},
		{"run.invoker", "projects/acme-data", "warn runs-code"},
		{"run.developer", "//run.googleapis.com/projects/acme-data/locations/europe-west3/services/web", "warn outlives,warn runs-code"},
		{"secretmanager.secretAccessor", "projects/acme-agents/secrets/api-key", ""},
		{"secretmanager.secretAccessor", "folders/345678901234", "warn hands-out-credentials"},
		{"pubsub.editor", "projects/acme-agents/topics/reports", ""},
		{"pubsub.editor", "projects/acme-agents/subscriptions/reports-audit", "warn outlives"},
		{"storage.objectUser", "gs://acme-reports", ""},
		{"storage.objectCreator", "gs://acme-reports", ""},
		{"storage.admin", "gs://acme-reports", "stop escalates,warn access-elsewhere,warn destroys,warn outlives,warn object-acls"},
		{"resourcemanager.projectCreator", "projects/acme-agents", ""},
		{"resourcemanager.projectCreator", "folders/345678901234", "warn outlives"},
		{"bigquery.dataOwner", "bq://acme-data.hr", "stop escalates,warn access-elsewhere,warn destroys"},
		{"bigquery.dataEditor", "bq://acme-data.hr", ""},
		{"iam.serviceAccountTokenCreator", "projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com", "stop escalates,warn hands-out-credentials"},
		{"compute.osLogin", "projects/acme-data/zones/europe-west3-a/instances/vm", "warn runs-code"},
		{"workstations.workstationUser", "projects/acme-agents", "stop runs-code-as"},
	} {
		got := slices.DeleteFunc(names(judge(roles["roles/"+c.role], named(t, c.on))), func(s string) bool {
			return s == "note access-elsewhere" || s == "note too-small" // tags; what the rest of a task decides
		})
		if diff := cmp.Diff(strings.Split(c.want, ","), append(got, make([]string, max(0, 1-len(got)))...)); diff != "" {
			t.Errorf("roles/%s on %s (-want +got):\n%s", c.role, c.on, diff)
		}
	}
}

func TestTheTableIsPrinted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run([]string{"-roles", rolesFile, "-why", "roles/workflows."}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"warn runs-code", "roles/workflows.invoker", "it holds workflows.executions.create, which starts code",
		"roles by their gravest finding, bound on projects/acme-agents",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	out.Reset()
	if err := run([]string{"-roles", rolesFile, "-permissions", "roles/cloudbuild."}, &out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "strong-code") || strings.Contains(text, "unreviewed") {
		t.Errorf("the classes of permissions are\n%.2000s", text)
	}
}

// docs/findings.md has the counts of the table that is there.
func TestFreshCounts(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	made, err := document(string(page), classTable(table(t)), roleTable(judged(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page), made); diff != "" {
		t.Errorf("go generate ./internal/tools/findings would change docs/findings.md (-is +made):\n%s", diff)
	}
	if _, err := document("no marks", "", ""); err == nil {
		t.Error("a page without marks is written")
	}
}
