package lifecycle_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

const (
	looksKey = `
version = 1
[task]
name = "looks"
project = "acme-agents"
ttl = "2h"
[[grant]]
role = "roles/storage.objectViewer"
resource = "gs://acme-reports"
[[grant]]
role = "roles/pubsub.publisher"
resource = "projects/acme-agents/topics/reports"
unbounded = "accept"
[credentials]
deliver = %s
`
	agents, data = `number = "567890123456"`, `number = "678901234567"`
)

// sickWorld is the company with lines added to one of its projects.
func sickWorld(t *testing.T, project, lines string) *world {
	t.Helper()
	acme, err := os.ReadFile(filepath.Join("..", "..", "emulator", "seed", "acme.toml"))
	if err != nil {
		t.Fatal(err)
	}
	seed := strings.Replace(string(acme), project, project+"\n"+lines, 1) + "\n[[principal]]\nmember = \"" + freshMember + "\"\ntoken = \"" + freshToken + "\"\n"
	server, err := emulator.New(emulator.Config{Seed: []byte(seed), NewKey: func() (*rsa.PrivateKey, error) { return testKey(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return worldOn(t, server)
}

// examine returns the lines of an examination that are not ok, as "HEALTH WHAT: SAYS; MEND".
func (w *world) examine(e *lifecycle.Engine, sources ...string) (lines []string, x *lifecycle.Examination) {
	w.t.Helper()
	before := w.snapshot()
	var subjects []lifecycle.Subject
	for _, s := range sources {
		subjects = append(subjects, lifecycle.Subject{Task: parseTask(w.t, s), File: "task.toml"})
	}
	x, err := e.Examine(w.t.Context(), subjects)
	if err != nil {
		w.t.Fatal(err)
	}
	if string(w.snapshot()) != string(before) {
		w.t.Error("an examination has changed something")
	}
	for _, f := range x.Findings {
		if f.Health != lifecycle.Healthy && f.What != "other accounts" {
			lines = append(lines, fmt.Sprintf("%s %s: %s; %s", f.Health, f.What, f.Says, strings.Join(f.Fix, "; ")))
		}
	}
	return lines, x
}

// TestExamine: each thing that is missing is found, once, and nothing else is. Where it is
// a problem up does not come up, and where it is none up does.
func TestExamine(t *testing.T) {
	t.Parallel()
	const key, either = `"key"`, `["key", "token"]`
	for _, c := range []struct {
		name, project, seed, deliver string
		want                         []string // beginning of a line, and what else is in it
	}{
		{"healthy", agents, ``, key, nil},
		{"API of the host", agents, `disabled_services = ["cloudresourcemanager.googleapis.com"]`, key, []string{
			"problem APIs: not enabled: cloudresourcemanager.googleapis.com; |gcloud services enable cloudresourcemanager.googleapis.com --project=acme-agents"}},
		{"API that mints", agents, `disabled_services = ["iamcredentials.googleapis.com"]`, `"token"`, []string{
			"warning delivery: by token; for a token the operator must first get the right to mint",
			"problem APIs: not enabled: iamcredentials.googleapis.com; "}},
		{"API that mints, and no need of it", agents, `disabled_services = ["iamcredentials.googleapis.com"]`, key, nil},
		{"API of a resource", agents, `disabled_services = ["pubsub.googleapis.com"]`, key, []string{
			"problem APIs: not enabled: pubsub.googleapis.com; |gcloud services enable pubsub.googleapis.com --project=acme-agents"}},
		{"service usage itself", agents, `disabled_services = ["serviceusage.googleapis.com"]`, key, []string{
			"not known APIs: asking which APIs |gcloud services enable serviceusage.googleapis.com --project=567890123456"}},
		{"no keys", agents, `constraints = ["iam.disableServiceAccountKeyUpload"]`, key, []string{
			"problem organisation policies: constraints/iam.disableServiceAccountKeyUpload forbids to upload keys: task looks takes nothing else; |deliver = [\"key\", \"token\"]"}},
		{"no keys, managed", agents, `constraints = ["iam.managed.disableServiceAccountKeyUpload"]`, either, []string{
			"warning organisation policies: constraints/iam.managed.disableServiceAccountKeyUpload forbids to upload keys: task looks is delivered by token; ",
			"warning delivery: by key, else by token; for a token the operator must first get the right to mint"}},
		{"short keys", agents, `constraints = ["iam.serviceAccountKeyExpiryHours=1h"]`, key, []string{
			"problem organisation policies: constraints/iam.serviceAccountKeyExpiryHours allows keys that are valid for 1h, and no longer: task looks takes nothing else; |put ttl = \"1h\" under [task] in the manifest, or less; put deliver"}},
		{"keys short enough", agents, `constraints = ["iam.serviceAccountKeyExpiryHours=8h"]`, key, nil},
		{"no keys of Google's making", agents, `constraints = ["iam.disableServiceAccountKeyCreation"]`, key, nil},
		{"no accounts", agents, `constraints = ["iam.disableServiceAccountCreation"]`, key, []string{
			"problem organisation policies: constraints/iam.disableServiceAccountCreation forbids to create accounts here; |gcloud org-policies describe"}},
		{"members of the organisation", data, `constraints = ["iam.allowedPolicyMemberDomains=acme.example"]`, key, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := sickWorld(t, c.project, c.seed)
			w.before = w.snapshot()
			source := fmt.Sprintf(looksKey, c.deliver)
			got, _ := w.examine(w.engine(), source)
			for i, want := range c.want {
				begin, rest, _ := strings.Cut(want, "|")
				if i >= len(got) || !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, begin) && strings.Contains(l, rest) }) {
					t.Errorf("not found: %s", want)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("found:\n%s", strings.Join(got, "\n"))
			}
			broken := slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "problem") })
			e := w.engine()
			plan := w.plan(e, source)
			_, err := e.Up(t.Context(), plan, w.options(plan))
			if broken != (err != nil) {
				t.Errorf("the examination says %v, and up: %v", got, err)
			}
		})
	}
}

// TestExamineNobody: who has nothing is told so of each thing, with what mends it, and what
// cannot be seen is not known.
func TestExamineNobody(t *testing.T) {
	t.Parallel()
	w := sickWorld(t, agents, "")
	got, x := w.examine(w.engineOf(freshToken), fmt.Sprintf(looksKey, `"key"`))
	want := []string{
		"problem up would refuse: the operator lacks iam.serviceAccounts.create, iam.serviceAccounts.get,",
		"problem binding on gs://acme-reports: the operator lacks storage.buckets.getIamPolicy, storage.buckets.setIamPolicy; taskiam doctor --role task.toml",
		"problem binding on projects/acme-agents/topics/reports: the operator lacks pubsub.topics.getIamPolicy, pubsub.topics.setIamPolicy; taskiam doctor --role task.toml",
		"not known APIs: the operator lacks serviceusage.services.get; if an API is not enabled, the call fails and says which API; gcloud projects add-iam-policy-binding acme-agents",
		"not known organisation policies: the operator lacks orgpolicy.policy.get; if one forbids keys, up says so",
	}
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("found:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, f := range x.Findings {
		if f.Health == lifecycle.Broken && !f.Lacks {
			t.Errorf("%s is not said to be for want of permissions", f.What)
		}
	}
}

// TestExamineLogin: without a login that is taken there is nothing else to ask.
func TestExamineLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got, x := w.examine(w.engineOf("ya29.nobody"), fmt.Sprintf(looksKey, `"key"`))
	if len(got) != 2 || !strings.HasPrefix(got[0], "problem login: ") || !strings.Contains(got[0], "taskiam emulator env") ||
		!strings.HasPrefix(got[1], "not known access: ") || len(x.Findings) != 3 {
		t.Errorf("found:\n%s", strings.Join(got, "\n"))
	}
}

// TestExamineNeighbours: an operator that could be others is told whom, and what keeps
// that apart; one whose project hosts nothing but tasks is not.
func TestExamineNeighbours(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := fmt.Sprintf(looksKey, `"key"`)
	about := func() lifecycle.Examined {
		_, x := w.examine(w.engine(), source)
		i := slices.IndexFunc(x.Findings, func(f lifecycle.Examined) bool { return f.What == "other accounts" })
		if i < 0 {
			t.Fatal("nothing is said of other accounts")
		}
		return x.Findings[i]
	}
	f := about()
	if f.Health != lifecycle.Doubtful || !strings.Contains(f.Says, "ci-runner@acme-agents.iam.gserviceaccount.com, by iam.serviceAccountKeys.create") ||
		!strings.Contains(strings.Join(f.Fix, "\n"), `project = "acme-agents-tasks"`) {
		t.Errorf("%+v", f)
	}
	w.up(source) // an account of ours is no neighbour
	if g := about(); g.Says != f.Says {
		t.Errorf("with a run that is up: %s", g.Says)
	}
	if err := w.engine().Cloud.DeleteAccount(t.Context(), "acme-agents", "ci-runner@acme-agents.iam.gserviceaccount.com"); err != nil {
		t.Fatal(err)
	}
	if f = about(); f.Health != lifecycle.Healthy {
		t.Errorf("%+v", f)
	}
}

// TestExamineClock: a clock that is wrong is said to be, as by up.
// An examination that is broken off has what it has found, and no finding about being broken off.
func TestExamineInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	task, err := manifest.Parse("task.toml", fmt.Appendf(nil, looksKey, `"key"`), manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	w.wire.step(func(n int, _ *http.Request) (*http.Response, error) {
		if n == 6 { // beyond the login
			cancel(interrupted)
			return nil, ctx.Err()
		}
		return nil, nil
	}, nil)
	x, err := w.engine().Examine(ctx, []lifecycle.Subject{{Task: task, File: "task.toml"}})
	if !errors.Is(err, interrupted) || x == nil {
		t.Fatalf("examination %v, error %v", x, err)
	}
	var whats []string
	for _, f := range x.Findings {
		whats = append(whats, f.What)
		if f.Health == lifecycle.Broken || strings.Contains(f.Says, "interrupted") || strings.Contains(f.Says, "canceled") {
			t.Errorf("a finding of the interruption: %+v", f)
		}
	}
	if !slices.Contains(whats, "state") || !slices.Contains(whats, "login") {
		t.Errorf("found only %q", whats)
	}
}

func TestExamineClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine()
	e.Now = func() time.Time { return time.Now().Add(-7 * time.Minute) }
	got, _ := w.examine(e)
	if len(got) != 1 || !strings.HasPrefix(got[0], "warning clock: this machine's clock is 7m0s behind that of the cloud: a run expires by the cloud's") {
		t.Errorf("found:\n%s", strings.Join(got, "\n"))
	}
}

// TestExamineState: a state folder that cannot be written is found in the words of up.
func TestExamineState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.state = filepath.Join(w.state, "file")
	if err := os.WriteFile(w.state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := w.engine()
	got, _ := w.examine(e)
	source := fmt.Sprintf(looksKey, `"key"`)
	_, err := e.Up(t.Context(), w.plan(e, source), lifecycle.UpOptions{})
	if err == nil || len(got) != 1 || !strings.Contains(got[0], err.Error()) || !strings.Contains(got[0], fault.Hints(err)[0]) {
		t.Errorf("found %q, and up: %v", got, err)
	}
}

// heldByNoRole are types whose permissions to get and set policies are in no predefined role:
// whether they are called as they should be cannot be told.
var heldByNoRole = strings.Fields(`
	agentidentity.projects.locations.authProviders.authorizations agentregistry.projects.locations.aiApplications
	agentregistry.projects.locations.skills aiplatform.projects.locations.agents
	aiplatform.projects.locations.datasets aiplatform.projects.locations.models
	analyticshub.projects.locations.subscriptions apigeeregistry.projects.locations.apis.deployments
	apigeeregistry.projects.locations.documents apigeeregistry.projects.locations.instances
	apigeeregistry.projects.locations.runtime beyondcorp.projects.locations.applicationDomains
	beyondcorp.projects.locations.applications beyondcorp.projects.locations.connections
	beyondcorp.projects.locations.connectors beyondcorp.projects.locations.securityGateways.applications
	biglake.projects.catalogs.namespaces.views bigquery.routines
	bigqueryreservation.projects.locations.reservations.assignments cloudiot.projects.locations.registries.groups
	compute.interconnectAttachmentGroups compute.interconnectAttachments compute.interconnectGroups
	compute.interconnects compute.regionSslPolicies compute.reservationBlocks compute.reservationSubBlocks
	compute.reservations compute.sslPolicies connectors.projects.locations.providers
	datacatalog.projects.locations.taxonomies.policyTags datamigration.projects.locations.migrationJobs.objects
	dataplex.organizations.locations.encryptionConfigs dataplex.projects.locations.agentTasks
	dataplex.projects.locations.dataTaxonomies.attributes dataplex.projects.locations.entryLinkTypes
	dataplex.projects.locations.glossaries.categories dataplex.projects.locations.glossaries.terms
	dataplex.projects.locations.governanceRules gameservices.projects.locations.gameServerDeployments
	gkebackup.projects.locations.backupPlans.backups
	gkebackup.projects.locations.backupPlans.backups.volumeBackups
	gkebackup.projects.locations.restorePlans.restores
	gkebackup.projects.locations.restorePlans.restores.volumeRestores
	healthcare.projects.locations.datasets.dataMapperWorkspaces iam.locations.workforcePools.providers.scimTenants
	networkservices.projects.locations.edgeCacheKeysets networkservices.projects.locations.edgeCacheOrigins
	networkservices.projects.locations.edgeCacheServices servicebroker
	servicedirectory.projects.locations.namespaces.workloads servicemanagement.services.consumers
`)

// TestOperatorPermissionsExist: what is said to be needed on a type of resource is what
// some role of Google's holds.
func TestOperatorPermissionsExist(t *testing.T) {
	t.Parallel()
	e := newWorld(t).engine()
	known := map[string]bool{}
	for _, name := range []string{"projects/acme-agents", "organizations/123456789012"} {
		roles, err := e.Cloud.RolesOn(t.Context(), parse(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range roles {
			for _, p := range r.Permissions {
				known[p] = true
			}
		}
	}
	types := 0
	for _, typ := range resource.Types() {
		if !typ.Bindable() {
			continue
		}
		types++
		exist := true
		name := parse(t, typ.Example)
		task := grants.Task{Project: "p", Grants: []grants.Grant{{Role: "roles/viewer", Resource: name}, {Role: "roles/some.role", Resource: name}}}
		for _, n := range review.OperatorNeeds(task) {
			for _, p := range n.Permissions {
				exist = exist && (n.Purpose != review.ForBinding || known[p])
			}
		}
		if unheld := slices.Contains(heldByNoRole, typ.ID); exist == unheld {
			t.Errorf("what is said to be needed on %s (%s) is in a role: %v", typ.A(), typ.ID, exist)
		}
	}
	if types < 250 {
		t.Errorf("only %d types were looked at", types)
	}
}
