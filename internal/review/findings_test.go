package review

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// gradesOf returns what is found, in short.
func gradesOf(found []Finding) []string {
	var out []string
	for _, f := range found {
		s := fmt.Sprintf("%d %s %s", f.Grant, f.Grade, f.Name)
		if f.Accepted != "" {
			s += " accepted"
		}
		out = append(out, s)
	}
	return out
}

func withCondition(g grants.Grant, condition string) grants.Grant {
	g.Condition = condition
	return g
}

func TestFindings(t *testing.T) {
	t.Parallel()
	roles := map[string]grants.Role{}
	for role, permissions := range map[string]string{
		"roles/storage.objectViewer":   "resourcemanager.projects.get storage.objects.get storage.objects.list",
		"roles/storage.objectAdmin":    "storage.objects.get storage.objects.setIamPolicy",
		"roles/storage.admin":          "storage.buckets.setIamPolicy storage.objects.get",
		"roles/odd.mixed":              "resourcemanager.projects.setIamPolicy storage.objects.get",
		"roles/storage.hmacKeyAdmin":   "storage.hmacKeys.create",
		"roles/pubsub.publisher":       "pubsub.topics.publish",
		"roles/iam.serviceAccountUser": "iam.serviceAccounts.actAs",
		"roles/run.developer":          "run.services.create",
		"roles/odd.keys":               "apikeys.keys.create",
		"roles/odd.secrets":            "secretmanager.versions.access",
		"roles/odd.machine":            "workstations.workstations.use",
		"roles/odd.tags":               "storage.buckets.createTagBinding",
		"roles/odd.new":                "made.up.frobnicate",
		"roles/owner":                  "resourcemanager.projects.setIamPolicy",
		"roles/storage.objectCreator":  "resourcemanager.projects.get storage.objects.create",
		"roles/bigquery.dataViewer":    "bigquery.tables.get bigquery.tables.getData",
		"roles/bigquery.jobUser":       "bigquery.jobs.create",
		"roles/cloudfunctions.invoker": "cloudfunctions.functions.invoke",
		"roles/storage.wide":           "resourcemanager.projects.get resourcemanager.projects.list storage.objects.get storage.objects.list storage.buckets.list",
	} {
		roles[role] = grants.Role{Name: role, Stage: "GA", Permissions: strings.Fields(permissions)}
	}
	roles["roles/odd.old"] = grants.Role{Name: "roles/odd.old", Stage: "DEPRECATED", Permissions: []string{"storage.objects.get"}}
	on := func(role, name string) grants.Grant {
		r, prefix, err := resource.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		return grants.Grant{Role: role, Resource: r, Prefix: prefix}
	}
	const account = "projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com"
	bucket := on("", "gs://acme-reports").Resource
	publisher := on("roles/pubsub.publisher", "projects/acme-agents/topics/reports")
	accepted := publisher
	accepted.AcceptUnbounded = true
	owner := on("roles/owner", "projects/acme-agents")
	owner.AllowBasic, owner.AcceptUnbounded = true, true
	for _, c := range []struct {
		name   string
		grants []grants.Grant
		accept []grants.Acceptance
		seen   Seen
		want   []string
	}{
		{"an everyday role", []grants.Grant{on("roles/storage.objectViewer", "gs://acme-reports/2026/")}, nil, Seen{}, nil},
		{"the policy of the very thing", []grants.Grant{on("roles/storage.admin", "gs://acme-reports")}, nil, Seen{}, []string{"0 stop escalates"}},
		{"accepted", []grants.Grant{on("roles/storage.admin", "gs://acme-reports")}, []grants.Acceptance{{Grant: 0, Finding: Escalates, Reason: "why"}}, Seen{}, []string{"0 stop escalates accepted"}},
		{"of another grant", []grants.Grant{on("roles/storage.admin", "gs://acme-reports"), on("roles/storage.objectViewer", "gs://acme-drop")},
			[]grants.Acceptance{{Grant: 1, Finding: Escalates, Reason: "why"}}, Seen{}, []string{"0 stop escalates", "1 note unused-acceptance"}},
		{"a project's permission on a bucket", []grants.Grant{on("roles/odd.mixed", "gs://acme-reports")}, nil, Seen{}, nil},
		{"the same on the project", []grants.Grant{on("roles/odd.mixed", "projects/acme-agents")}, nil, Seen{}, []string{"0 stop escalates", "0 note reaches-beyond"}},
		{"HMAC keys are a project's", []grants.Grant{on("roles/storage.hmacKeyAdmin", "gs://acme-reports")}, nil, Seen{}, nil},
		{"ACLs, access not known", []grants.Grant{on("roles/storage.objectAdmin", "gs://acme-reports")}, nil, Seen{}, []string{"0 warn object-acls"}},
		{"ACLs, uniform", []grants.Grant{on("roles/storage.objectAdmin", "gs://acme-reports")}, nil, Seen{Uniform: map[resource.Name]bool{bucket: true}}, []string{"0 note object-acls"}},
		{"ACLs, not uniform", []grants.Grant{on("roles/storage.objectAdmin", "gs://acme-reports")}, nil, Seen{Uniform: map[resource.Name]bool{bucket: false}}, []string{"0 warn object-acls", "0 warn not-uniform"}},
		{"actAs on a project", []grants.Grant{on("roles/iam.serviceAccountUser", "projects/acme-agents")}, nil, Seen{}, []string{"0 stop runs-code-as", "0 note reaches-beyond"}},
		{"actAs on a project, accepted by its old name", []grants.Grant{on("roles/iam.serviceAccountUser", "projects/acme-agents")}, []grants.Acceptance{{Grant: 0, Finding: "acts-as", Reason: "why"}}, Seen{},
			[]string{"0 stop runs-code-as accepted", "0 note reaches-beyond"}},
		{"actAs on one account", []grants.Grant{on("roles/iam.serviceAccountUser", account)}, nil, Seen{}, []string{"0 warn runs-code-as"}},
		{"actAs on one account with what runs code", []grants.Grant{on("roles/iam.serviceAccountUser", account), on("roles/run.developer", "projects/acme-agents")}, nil, Seen{},
			[]string{"0 stop runs-code-as", "1 warn outlives", "1 warn runs-code", "1 note reaches-beyond"}},
		{"the old name of actAs alone does not accept actAs with what runs code", []grants.Grant{on("roles/iam.serviceAccountUser", account), on("roles/run.developer", "projects/acme-agents")},
			[]grants.Acceptance{{Grant: 0, Finding: "acts-as", Reason: "why"}}, Seen{},
			[]string{"0 stop runs-code-as", "0 note unused-acceptance", "1 warn outlives", "1 warn runs-code", "1 note reaches-beyond"}},
		{"actAs on one account, accepted by both names", []grants.Grant{on("roles/iam.serviceAccountUser", account)},
			[]grants.Acceptance{{Grant: 0, Finding: "acts-as", Reason: "why"}, {Grant: 0, Finding: "runs-code-as", Reason: "why"}}, Seen{}, []string{"0 warn runs-code-as accepted"}},
		{"credentials, accepted by the old name", []grants.Grant{on("roles/odd.keys", "projects/acme-agents")}, []grants.Acceptance{{Grant: 0, Finding: "hands-out", Reason: "why"}}, Seen{},
			[]string{"0 stop hands-out-credentials accepted", "0 note reaches-beyond"}},
		{"the secret that is named", []grants.Grant{on("roles/odd.secrets", "projects/acme-agents/secrets/api-key")}, nil, Seen{}, nil},
		{"every secret", []grants.Grant{on("roles/odd.secrets", "projects/acme-agents")}, nil, Seen{}, []string{"0 warn hands-out-credentials", "0 note reaches-beyond"}},
		{"one secret, by a condition", []grants.Grant{withCondition(on("roles/odd.secrets", "projects/acme-agents"), `resource.name == "projects/1/secrets/api-key"`)}, nil, Seen{}, nil},
		{"code on what is there, by a condition", []grants.Grant{withCondition(on("roles/odd.machine", "projects/acme-agents"), `resource.name == "x"`)}, nil, Seen{}, []string{"0 stop runs-code-as"}},
		{"tags", []grants.Grant{on("roles/odd.tags", "gs://acme-reports")}, nil, Seen{}, []string{"0 note access-elsewhere"}},
		{"a permission that no rule knows", []grants.Grant{on("roles/odd.new", "projects/acme-agents")}, nil, Seen{}, []string{"0 warn unreviewed", "0 note reaches-beyond"}},
		{"actAs with what runs code", []grants.Grant{on("roles/iam.serviceAccountUser", "projects/acme-agents"), on("roles/run.developer", "projects/acme-agents")}, nil, Seen{},
			[]string{"0 stop runs-code-as", "0 note reaches-beyond", "1 warn outlives", "1 warn runs-code", "1 note reaches-beyond"}},
		{"no end", []grants.Grant{publisher}, nil, Seen{}, []string{"0 stop does-not-end"}},
		{"no end, as the manifest knows", []grants.Grant{accepted}, nil, Seen{}, []string{"0 stop does-not-end accepted"}},
		{"owner, as the manifest knows", []grants.Grant{owner}, nil, Seen{}, []string{"0 stop basic-role accepted", "0 stop does-not-end accepted"}},
		{"a folder", []grants.Grant{on("roles/storage.objectViewer", "folders/42")}, nil, Seen{}, []string{"0 warn reaches-beyond"}},
		{"a role that cannot be read", []grants.Grant{on("organizations/1/roles/x.yz", "gs://acme-reports")}, nil, Seen{Unreadable: map[string]bool{"organizations/1/roles/x.yz": true}}, []string{"0 stop role-unread"}},
		{"not grantable", []grants.Grant{on("roles/storage.objectViewer", "gs://acme-reports")}, nil, Seen{Ungrantable: map[int]bool{0: true}}, []string{"0 stop not-grantable"}},
		{"narrower", []grants.Grant{on("roles/storage.wide", "gs://acme-reports")}, nil, Seen{Candidates: map[resource.Name][]grants.Role{bucket: {roles["roles/storage.objectViewer"]}}}, []string{"0 note narrower-role"}},
		{"the same under the project", []grants.Grant{on("roles/storage.objectViewer", "projects/acme-agents"), on("roles/storage.objectViewer", "gs://acme-reports/2026/")}, nil,
			Seen{Homes: map[resource.Name]string{bucket: "42"}, Numbers: map[string]string{"acme-agents": "42"}}, []string{"0 note reaches-beyond", "1 warn adds-nothing"}},
		{"the same under another project", []grants.Grant{on("roles/storage.objectViewer", "projects/acme-agents"), on("roles/storage.objectViewer", "gs://acme-reports")}, nil,
			Seen{Homes: map[resource.Name]string{bucket: "43"}, Numbers: map[string]string{"acme-agents": "42"}}, []string{"0 note reaches-beyond"}},
		{"the same under a project that is not known", []grants.Grant{on("roles/storage.objectViewer", "projects/acme-agents"), on("roles/storage.objectViewer", "gs://acme-reports")}, nil, Seen{}, []string{"0 note reaches-beyond"}},
		{"the same under a condition", []grants.Grant{withCondition(on("roles/storage.objectViewer", "projects/acme-agents"), `resource.name == "x"`), on("roles/storage.objectViewer", "gs://acme-reports")}, nil,
			Seen{Homes: map[resource.Name]string{bucket: "42"}, Numbers: map[string]string{"acme-agents": "42"}}, nil},
		{"less on the same", []grants.Grant{on("roles/storage.objectViewer", "gs://acme-reports"), on("roles/storage.wide", "gs://acme-reports")}, nil, Seen{}, []string{"0 warn adds-nothing"}},
		{"under the dataset", []grants.Grant{on("roles/bigquery.dataViewer", "bq://acme-agents.sales"), on("roles/bigquery.jobUser", "projects/acme-agents"), on("roles/bigquery.dataViewer", "projects/acme-agents/datasets/sales/tables/orders")}, nil, Seen{},
			[]string{"1 note reaches-beyond", "2 stop does-not-end", "2 warn adds-nothing"}},
		{"too small to copy with", []grants.Grant{on("roles/storage.objectCreator", "gs://acme-reports")}, nil, Seen{}, []string{"0 note too-small"}},
		{"large enough together", []grants.Grant{on("roles/storage.objectCreator", "gs://acme-reports"), on("roles/storage.objectViewer", "gs://acme-reports")}, nil, Seen{}, nil},
		{"large enough elsewhere", []grants.Grant{on("roles/storage.objectCreator", "gs://acme-reports"), on("roles/storage.objectViewer", "gs://acme-drop")}, nil, Seen{}, []string{"0 note too-small"}},
		{"queries are paid for elsewhere", []grants.Grant{on("roles/bigquery.dataViewer", "bq://acme-data.sales"), on("roles/bigquery.jobUser", "projects/acme-agents")}, nil, Seen{}, []string{"1 note reaches-beyond"}},
		{"too small to query with", []grants.Grant{on("roles/bigquery.dataViewer", "bq://acme-agents.sales")}, nil, Seen{}, []string{"0 note too-small"}},
		{"a function's invoker", []grants.Grant{on("roles/cloudfunctions.invoker", "projects/acme-data/locations/europe-west3/functions/f")}, nil, Seen{}, []string{"0 stop does-not-end", "0 warn asked-elsewhere"}},
		{"a deprecated role", []grants.Grant{on("roles/odd.old", "gs://acme-reports")}, nil, Seen{}, []string{"0 warn deprecated-role"}},
		{"everybody has some of it", []grants.Grant{on("roles/storage.objectViewer", "gs://acme-reports")}, nil, Seen{Ambient: map[resource.Name]map[string]bool{bucket: {"storage.objects.get": true}}}, nil},
		{"everybody has what is not known", []grants.Grant{on("organizations/1/roles/x.yz", "gs://acme-reports")}, nil, Seen{Ambient: map[resource.Name]map[string]bool{bucket: {"storage.objects.get": true}}}, nil},
		{"everybody has it", []grants.Grant{accepted}, nil, Seen{Ambient: map[resource.Name]map[string]bool{accepted.Resource: {"pubsub.topics.publish": true}}},
			[]string{"0 stop does-not-end accepted", "0 warn ambient-already"}},
	} {
		c.seen.Roles = roles
		got := gradesOf(Findings(grants.Task{Grants: c.grants, Accept: c.accept}, c.seen))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// publishedMethods are those of Rhino Security Labs' scanner (GCP-IAM-Privilege-Escalation), with what they take.
var publishedMethods = map[string]string{
	"UpdateIAMRole":                     "iam.roles.update",
	"CreateServiceAccountKey":           "iam.serviceAccountKeys.create",
	"GetServiceAccountAccessToken":      "iam.serviceAccounts.getAccessToken",
	"ServiceAccountImplicitDelegation":  "iam.serviceAccounts.implicitDelegation",
	"ServiceAccountSignBlob":            "iam.serviceAccounts.signBlob",
	"ServiceAccountSignJwt":             "iam.serviceAccounts.signJwt",
	"SetOrgPolicyConstraints":           "orgpolicy.policy.set",
	"CreateServiceAccountHMACKey":       "storage.hmacKeys.create",
	"CreateDeploymentManagerDeployment": "deploymentmanager.deployments.create",
	"RCECloudBuildBuildServer":          "cloudbuild.builds.create",
	"ExfilCloudFunctionCredsAuthCall":   "cloudfunctions.functions.create cloudfunctions.functions.sourceCodeSet iam.serviceAccounts.actAs cloudfunctions.functions.call",
	"ExfilCloudFunctionCredsUnauthCall": "cloudfunctions.functions.create cloudfunctions.functions.sourceCodeSet iam.serviceAccounts.actAs cloudfunctions.functions.setIamPolicy",
	"UpdateCloudFunction":               "cloudfunctions.functions.sourceCodeSet cloudfunctions.functions.update iam.serviceAccounts.actAs",
	"CreateGCEInstanceWithSA":           "compute.disks.create compute.instances.create compute.instances.setMetadata compute.instances.setServiceAccount compute.subnetworks.use compute.subnetworks.useExternalIp iam.serviceAccounts.actAs",
	"ExfilCloudRunServiceUnauthCall":    "run.services.create iam.serviceAccounts.actAs run.services.setIamPolicy",
	"ExfilCloudRunServiceAuthCall":      "run.services.create iam.serviceAccounts.actAs run.routes.invoke",
	"CreateAPIKey":                      "apikeys.keys.create",
	"ViewExistingAPIKeys":               "apikeys.keys.getKeyString",
	"SetOrgIAMPolicy":                   "resourcemanager.organizations.setIamPolicy",
	"SetFolderIAMPolicy":                "resourcemanager.folders.setIamPolicy",
	"SetProjectIAMPolicy":               "resourcemanager.projects.setIamPolicy",
	"SetServiceAccountIAMPolicy":        "iam.serviceAccounts.setIamPolicy",
	"CreateCloudSchedulerHTTPRequest":   "cloudscheduler.jobs.create cloudscheduler.locations.list iam.serviceAccounts.actAs",
}

// Every published method is stopped, and named in docs/findings.md.
func TestPublishedMethods(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	on, _, err := resource.Parse("organizations/123456789012")
	if err != nil {
		t.Fatal(err)
	}
	for method, permissions := range publishedMethods {
		role := grants.Role{Name: "organizations/123456789012/roles/method", Permissions: strings.Fields(permissions)}
		found := Findings(grants.Task{Grants: []grants.Grant{{Role: role.Name, Resource: on}}},
			Seen{Roles: map[string]grants.Role{role.Name: role}})
		if !slices.ContainsFunc(found, Finding.Stops) {
			t.Errorf("%s is not stopped: %v", method, gradesOf(found))
		}
		if !strings.Contains(string(doc), method) {
			t.Errorf("docs/findings.md does not name %s", method)
		}
	}
}

// docs/findings.md has a row for each rule, as the rules say it.
func TestFindingsAreDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, r := range Rules {
		accept := r.Accept
		switch accept {
		case "":
			accept = "accept = { " + r.Name + ` = "WHY" }`
		case "-":
			accept = ""
		}
		if accept != "" {
			accept = "`" + accept + "`"
		}
		if r.Was != "" {
			accept += ", as before by `" + r.Was + "`"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s | %s |\n", r.Name, r.Grade, r.Why, r.Instead, accept)
	}
	if !strings.Contains(string(doc), want.String()) {
		t.Errorf("the table is to be:\n%s", want.String())
	}
}

// Every permission that the emulator knows is in a group, and what says by its name that
// it changes something is not among the reads.
func TestGroups(t *testing.T) {
	t.Parallel()
	for permission, want := range map[string]Group{
		"storage.objects.get": Reads, "storage.objects.list": Reads, "secretmanager.versions.access": Reads, "bigquery.tables.getData": Reads,
		"storage.objects.create": Writes, "storage.objects.update": Writes, "pubsub.topics.publish": Writes, "made.up.frobnicate": Writes,
		"storage.objects.delete": Deletes, "secretmanager.versions.destroy": Deletes,
		"iam.serviceAccounts.getAccessToken": GrantsAccess, "iam.serviceAccounts.actAs": GrantsAccess, "storage.buckets.setIamPolicy": GrantsAccess,
		"run.services.create": RunsCode, "cloudbuild.builds.create": RunsCode, "run.services.get": Reads,
	} {
		if got := groupOf(permission); got != want {
			t.Errorf("%s is in %s, want %s", permission, got, want)
		}
	}
	counts := map[Group]int{}
	for _, p := range predefined(t) {
		g := groupOf(p)
		counts[g]++
		verb := p[strings.LastIndexByte(p, '.')+1:]
		if g == Reads && slices.ContainsFunc([]string{"create", "update", "delete", "set", "write", "import"}, func(w string) bool { return strings.HasPrefix(verb, w) }) {
			t.Errorf("%s is no read", p)
		}
	}
	for _, g := range Groups {
		if counts[g] == 0 {
			t.Errorf("no permission is in %s", g)
		}
	}
	t.Log(counts)
}

// What the grant is told to be instead is not what it is.
func TestNoFindingNamesTheRoleItWarnsOf(t *testing.T) {
	t.Parallel()
	on, _, err := resource.Parse("gs://acme-reports")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"roles/storage.objectUser", "roles/run.invoker", "roles/bigquery.jobUser"} {
		role := grants.Role{Name: name, Permissions: []string{"storage.objects.create", "storage.objects.setIamPolicy"}}
		for _, f := range Findings(grants.Task{Grants: []grants.Grant{{Role: name, Resource: on}}}, Seen{Roles: map[string]grants.Role{name: role}}) {
			if strings.Contains(f.Instead, name) {
				t.Errorf("%s: %s: instead of it: %s", name, f.Name, f.Instead)
			}
		}
	}
}

func TestElsewhere(t *testing.T) {
	t.Parallel()
	on, _, err := resource.Parse("projects/acme-data/locations/europe-west3/functions/My_func")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []grants.Grant{{Role: "roles/cloudfunctions.invoker", Resource: on}, {Permissions: []string{"cloudfunctions.functions.invoke"}, Resource: on}} {
		got, _, ok := Elsewhere(g, nil)
		if want := "//run.googleapis.com/projects/acme-data/locations/europe-west3/services/my-func"; !ok || got.Resource.String() != want || got.Role != "roles/run.invoker" {
			t.Errorf("%+v: %v %t", g, got, ok)
		}
	}
	if _, _, ok := Elsewhere(grants.Grant{Role: "roles/cloudfunctions.developer", Resource: on}, []string{"cloudfunctions.functions.get"}); ok {
		t.Error("what is not asked elsewhere is")
	}
}
