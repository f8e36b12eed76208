package emulator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// family is a company with all kinds of principals, and no grants.
const family = `
[operator]
member = "user:olivia@acme.example"
[organization]
number = "1"
domain = "acme.example"
[[folder]]
number = "20"
parent = "organizations/1"
[[folder]]
number = "21"
parent = "folders/20"
[[project]]
id = "agents"
number = "300"
parent = "folders/21"
[[project]]
id = "other"
number = "301"
parent = "organizations/1"
[[project]]
id = "lonely"
number = "302"
[[service_account]]
project = "agents"
id = "worker"
[[service_account]]
project = "other"
id = "stranger"
[[service_account]]
project = "lonely"
id = "hermit"
[[principal]]
member = "user:mara@acme.example"
[[principal]]
member = "user:guest@example.com"
[[group]]
email = "inner@acme.example"
members = ["serviceAccount:worker@agents.iam.gserviceaccount.com", "user:mara@acme.example"]
[[group]]
email = "outer@acme.example"
members = ["group:inner@acme.example"]
[[group]]
email = "mixed@acme.example"
members = ["principal://iam.googleapis.com/projects/300/locations/global/workloadIdentityPools/pool/subject/build", "domain:example.com"]
[[role]]
parent = "organizations/1"
id = "everything"
permissions = ["storage.objects.get", "storage.buckets.get", "secretmanager.versions.access", "pubsub.topics.publish", "bigquery.datasets.get", "resourcemanager.projects.get", "resourcemanager.folders.get", "resourcemanager.organizations.get", "iam.serviceAccounts.get"]
[[role]]
parent = "projects/agents"
id = "reader"
stage = "GA"
permissions = ["storage.objects.get"]
[[role]]
parent = "projects/agents"
id = "off"
stage = "DISABLED"
permissions = ["storage.objects.get"]
[[role]]
parent = "projects/agents"
id = "dead"
permissions = ["storage.objects.get"]
`

const (
	everything  = "organizations/1/roles/everything"
	crmSet      = "principalSet://cloudresourcemanager.googleapis.com/"
	poolPath    = "//iam.googleapis.com/projects/300/locations/global/workloadIdentityPools/pool"
	buildMember = "principal:" + poolPath + "/subject/build"
)

// court is where decisions are tested: the company, and a chain of resources with
// policies of their own.
type court struct {
	s        *wire.State
	who      map[string]*iam.Principal
	resource map[string]iam.Node
	// policies by what they hang on; each case starts with empty ones.
	policies map[string]*iam.Policy
}

// asked is the permission that is asked for on each resource.
var asked = map[string]string{
	"object 2026": "storage.objects.get", "object 2025": "storage.objects.get", "bucket": "storage.buckets.get",
	"secret": "secretmanager.versions.access", "topic": "pubsub.topics.publish", "dataset": "bigquery.datasets.get",
	"project": "resourcemanager.projects.get", "account": "iam.serviceAccounts.get",
	"folder": "resourcemanager.folders.get", "organization": "resourcemanager.organizations.get",
}

func newCourt(t testing.TB) *court {
	t.Helper()
	srv, err := New(Config{Seed: []byte(family), Now: func() time.Time { return epoch }, NewKey: pooledKey})
	if err != nil {
		t.Fatal(err)
	}
	s := srv.wire.State()
	s.Roles["projects/agents/roles/dead"].Deleted = epoch.Add(-time.Hour)
	account := func(email string) *iam.Principal {
		a := s.AccountByEmail(email)
		return &iam.Principal{Member: a.Member(), Email: a.Email, Account: a}
	}
	person := func(email string) *iam.Principal { return &iam.Principal{Member: "user:" + email, Email: email} }
	from := func(pool, subject string, groups []string, attributes map[string]string) *iam.Principal {
		f := &iam.Federated{Pool: pool, Subject: subject, Groups: groups, Attributes: attributes}
		return &iam.Principal{Member: f.Member(), Email: f.Member(), Federated: f}
	}
	pool := strings.TrimPrefix(poolPath, "//iam.googleapis.com/")
	c := &court{s: s, policies: map[string]*iam.Policy{}, resource: map[string]iam.Node{}, who: map[string]*iam.Principal{
		"worker": account("worker@agents.iam.gserviceaccount.com"), "stranger": account("stranger@other.iam.gserviceaccount.com"),
		"hermit": account("hermit@lonely.iam.gserviceaccount.com"),
		"olivia": person("olivia@acme.example"), "mara": person("mara@acme.example"), "guest": person("guest@example.com"),
		"build":  from(pool, "build", []string{"release"}, map[string]string{"repo": "acme/app"}),
		"BUILD":  from(pool, "BUILD", nil, map[string]string{"repo": "acme/App"}),
		"nearby": from(pool+"2", "build", []string{"release"}, map[string]string{"repo": "acme/app"}),
	}}
	for _, name := range []string{"bucket", "project", "folder", "upper", "organization", "elsewhere"} {
		c.policies[name] = &iam.Policy{}
	}
	const service = "//cloudresourcemanager.googleapis.com/"
	organization := iam.Node{}.Child(service+"organizations/1", "", "", c.policies["organization"])
	folder := organization.Child(service+"folders/20", "", "", c.policies["upper"]).Child(service+"folders/21", "", "", c.policies["folder"])
	project := folder.Child(service+"projects/agents", "", "cloudresourcemanager.googleapis.com/Project", c.policies["project"])
	const name = "projects/_/buckets/b"
	bucket := project.Child("//storage.googleapis.com/"+name, name, "storage.googleapis.com/Bucket", c.policies["bucket"])
	object := func(o string) iam.Node {
		return bucket.Child(bucket.Full+"/objects/"+o, name+"/objects/"+o, "storage.googleapis.com/Object", nil)
	}
	c.resource = map[string]iam.Node{
		"organization": organization, "folder": folder, "project": project, "bucket": bucket,
		"object 2026": object("2026/a"), "object 2025": object("2025/a"),
		"secret":  project.Child("//secretmanager.googleapis.com/projects/agents/secrets/s", "projects/300/secrets/s", "secretmanager.googleapis.com/Secret", nil),
		"topic":   project.Child("//pubsub.googleapis.com/projects/agents/topics/t", "", "", nil),
		"dataset": project.Child("//bigquery.googleapis.com/projects/agents/datasets/d", "projects/agents/datasets/d", "bigquery.googleapis.com/Dataset", nil),
		"account": project.Child("//iam.googleapis.com/projects/agents/serviceAccounts/worker@agents.iam.gserviceaccount.com", "", "", nil),
	}
	return c
}

// bind makes the bindings the only ones of the company.
func (c *court) bind(on string, bindings ...iam.Binding) {
	for _, p := range c.policies {
		p.Bindings = nil
	}
	c.policies[on].Bindings = bindings
}

// decisionRow is one row: a question, and the answer that is right, with the reason.
type decisionRow struct {
	on         string // whose policy has the bindings
	bindings   []iam.Binding
	who        string
	permission string
	resource   string
	at         time.Duration // after epoch
	want       bool
	why        string
}

func (r decisionRow) String() string {
	return fmt.Sprintf("%s asks %s on the %s, %v on the %s at +%v (%s)", r.who, r.permission, r.resource, r.bindings, r.on, r.at, r.why)
}

func (c *court) judge(t *testing.T, rows []decisionRow) {
	t.Helper()
	for _, r := range rows {
		c.bind(r.on, r.bindings...)
		got := c.s.Decide(c.who[r.who], r.permission, c.resource[r.resource], epoch.Add(r.at), nil)
		if got.Allowed != r.want {
			t.Errorf("decided %v by %q, want %v: %s", got.Allowed, got.By, r.want, r)
		}
		if got.Allowed != (got.By != "") {
			t.Errorf("allowed is %v, but the deciding binding is %q: %s", got.Allowed, got.By, r)
		}
		if got.Allowed && !slices.ContainsFunc(r.bindings, func(b iam.Binding) bool { return strings.HasPrefix(got.By, b.Role+" to ") }) {
			t.Errorf("the deciding binding is %q, which is none of them: %s", got.By, r)
		}
	}
}

func grant(role string, members ...string) iam.Binding {
	return iam.Binding{Role: role, Members: members}
}

func grantIf(expression, role string, members ...string) iam.Binding {
	return iam.Binding{Role: role, Members: members, Condition: &iam.Condition{Title: "c", Expression: expression}}
}

const workerMember = "serviceAccount:worker@agents.iam.gserviceaccount.com"

// levelRows: a policy reaches what it hangs on and what lies below, and nothing else.
func levelRows() []decisionRow {
	resources := []string{"object 2026", "bucket", "secret", "topic", "dataset", "account", "project", "folder", "organization"}
	var rows []decisionRow
	for _, level := range []struct {
		on      string
		reaches string // a letter for each of resources
		why     string
	}{
		{"organization", "yyyyyyyyy", "all lies in the organization"},
		{"upper", "yyyyyyyy.", "a folder in the organization"},
		{"folder", "yyyyyyyy.", "a folder in a folder"},
		{"project", "yyyyyyy..", "the project of all of them"},
		{"bucket", "yy.......", "a bucket and its objects"},
		{"elsewhere", ".........", "another project"},
	} {
		for i, resource := range resources {
			rows = append(rows, decisionRow{on: level.on, bindings: []iam.Binding{grant(everything, workerMember)}, who: "worker",
				permission: asked[resource], resource: resource, want: level.reaches[i] == 'y', why: level.why})
		}
	}
	return rows
}

// meaning says of each member string whom it means. It is written by hand: what
// follows from it is the membership of the naive decision, too.
var meaning = []struct {
	member string
	means  string // names of principals
	why    string
}{
	{workerMember, "worker", "the account itself"},
	{"serviceAccount:Worker@Agents.iam.gserviceaccount.com", "worker", "addresses are the same in capitals"},
	{"user:worker@agents.iam.gserviceaccount.com", "", "an account is no user"},
	{"serviceAccount:stranger@other.iam.gserviceaccount.com", "stranger", "the account itself"},
	{"serviceAccount:worker@other.iam.gserviceaccount.com", "", "nobody has this address"},
	{"user:olivia@acme.example", "olivia", "the user itself"},
	{"user:Olivia@ACME.example", "olivia", "addresses are the same in capitals"},
	{"serviceAccount:olivia@acme.example", "", "a user is no account"},
	{"deleted:" + workerMember + "?uid=1", "", "a tombstone means nobody"},
	{"deleted:user:olivia@acme.example?uid=1", "", "a tombstone means nobody"},
	{"allUsers", "worker stranger hermit olivia mara guest build BUILD nearby", "everybody"},
	{"allAuthenticatedUsers", "worker stranger hermit olivia mara guest", "not identities of pools"},
	{"domain:acme.example", "olivia mara", "the people of the domain"},
	{"domain:example.com", "guest", "the people of the domain"},
	{"domain:agents.iam.gserviceaccount.com", "", "accounts are of no domain"},
	{"group:inner@acme.example", "worker mara", "its members"},
	{"group:INNER@acme.example", "worker mara", "addresses are the same in capitals"},
	{"group:outer@acme.example", "worker mara", "a group in a group"},
	{"group:mixed@acme.example", "guest build", "a group may hold domains and identities of pools"},
	{"group:unknown@acme.example", "", "nobody knows this group"},
	{crmSet + "projects/300/type/ServiceAccount", "worker", "the accounts of a project"},
	{crmSet + "projects/agents/type/ServiceAccount", "", "by number alone"},
	{crmSet + "projects/301/type/ServiceAccount", "stranger", "the accounts of a project"},
	{crmSet + "folders/21/type/ServiceAccount", "worker", "the accounts of a folder's projects"},
	{crmSet + "folders/20/type/ServiceAccount", "worker", "folders in a folder count"},
	{crmSet + "organizations/1/type/ServiceAccount", "worker stranger", "the accounts of the organization's projects"},
	{crmSet + "organizations/2/type/ServiceAccount", "", "another organization"},
	{crmSet + "projects/300/type/ServiceAgent", "", "agents are Google's own accounts"},
	{buildMember, "build", "one subject of the pool"},
	{"principal:" + poolPath + "/subject/BUILD", "BUILD", "subjects differ in capitals"},
	{"principal:" + poolPath + "2/subject/build", "nearby", "the same subject of another pool"},
	{"principal:" + poolPath + "/subject/buil", "", "no prefixes"},
	{"principalSet:" + poolPath + "/subject/build", "", "a subject is no set"},
	{"principalSet:" + poolPath + "/*", "build BUILD", "all of the pool"},
	{"principalSet:" + poolPath + "/group/release", "build", "a group of the pool"},
	{"principalSet:" + poolPath + "/group/Release", "", "groups of pools differ in capitals"},
	{"principalSet:" + poolPath + "/attribute.repo/acme/app", "build", "an attribute of the pool"},
	{"principalSet:" + poolPath + "/attribute.repo/acme/App", "BUILD", "attributes differ in capitals"},
	{"principalSet:" + poolPath + "/attribute.ref/acme/app", "", "another attribute"},
	{"projectOwner:agents", "", "no project policy makes anybody an owner"},
}

var everybody = []string{"worker", "stranger", "hermit", "olivia", "mara", "guest", "build", "BUILD", "nearby"}

func memberRows() []decisionRow {
	var rows []decisionRow
	for _, m := range meaning {
		for _, who := range everybody {
			rows = append(rows, decisionRow{on: "project", bindings: []iam.Binding{grant("roles/storage.objectViewer", m.member)}, who: who,
				permission: "storage.objects.get", resource: "object 2026", want: slices.Contains(strings.Fields(m.means), who), why: m.why})
		}
	}
	return rows
}

// conditionRows: each condition on each kind of resource. Attributes that a service
// does not provide make their part of an expression grant nothing.
func conditionRows() []decisionRow {
	resources := []string{"object 2026", "object 2025", "bucket", "secret", "topic", "dataset", "project", "account"}
	const all, none = "yyyyyyyy", "........"
	const end = `timestamp("2026-03-03T12:00:00Z")`
	const prefix = `resource.name.startsWith("projects/_/buckets/b/objects/2026/")`
	var rows []decisionRow
	for _, c := range []struct{ expression, holds, why string }{
		{`true`, all, "always"},
		{`false`, none, "never"},
		{`request.time < ` + end, all, "time reaches every service"},
		{`request.time > ` + end, none, "not yet"},
		{`request.time >= timestamp("2026-03-03T11:00:00Z")`, all, "the very second"},
		{`request.time.getHours("Europe/Berlin") == 12`, all, "noon in Berlin"},
		{`request.time.getHours() == 11`, all, "UTC without a zone"},
		{`request.time.getDayOfWeek("Asia/Tokyo") == 2`, all, "Tuesday evening in Tokyo"},
		{`request.time.getMonth() == 2 && request.time.getFullYear() == 2026`, all, "months begin at 0"},
		{`request.time.getHours("Europe/Atlantis") >= 0`, none, "no such zone"},
		{`request.time - duration("1h") <= timestamp("2026-03-03T10:00:00Z")`, all, "times less a duration"},
		{prefix, "y.......", "a prefix of the name"},
		{`!` + prefix, ".yyy.y..", "names that begin otherwise"},
		{`resource.name.startsWith("projects/_/buckets/b")`, "yyy.....", "a bucket's prefix is its objects' too"},
		{`resource.name == "projects/_/buckets/b"`, "..y.....", "the bucket's name"},
		{`resource.name != "projects/_/buckets/b"`, "yy.y.y..", "other names, where there are any"},
		{`resource.name.endsWith("/a")`, "yy......", "a suffix of the name"},
		{`resource.name.startsWith("")`, "yyyy.y..", "whatever has a name"},
		{`resource.name.startsWith("projects/300/secrets/")`, "...y....", "secrets are named by number"},
		{`resource.name.startsWith("projects/agents/secrets/")`, none, "and not by id"},
		{`resource.name.startsWith("projects/agents/datasets/d")`, ".....y..", "datasets are named by id"},
		{`resource.name.startsWith("projects/300/datasets/d")`, none, "and not by number"},
		{`resource.type == "storage.googleapis.com/Object"`, "yy......", "objects"},
		{`resource.type != "storage.googleapis.com/Object"`, "..yy.yy.", "types that are another, where there are any"},
		{`resource.type == "cloudresourcemanager.googleapis.com/Project"`, "......y.", "projects have a type"},
		{`resource.name == "projects/300" || resource.name == "projects/agents"`, none, "projects have no name"},
		{`resource.service == "storage.googleapis.com"`, "yyy.....", "the service"},
		{`resource.service != "storage.googleapis.com"`, "...y.yy.", "other services, where they say so"},
		{`resource.service == "pubsub.googleapis.com"`, none, "Pub/Sub provides nothing"},
		{`resource.service == "iam.googleapis.com"`, none, "nor do service accounts"},
		{`resource.type != "storage.googleapis.com/Object" || ` + prefix, "y.yy.yy.", "a guarded prefix"},
		{`resource.type == "storage.googleapis.com/Object" && resource.name.endsWith("/a") && request.time < ` + end, "yy......", "three of three"},
		{`resource.type == "storage.googleapis.com/Object" && resource.name.endsWith("/a") && request.time > ` + end, none, "two of three"},
		{`resource.name.extract("/objects/{folder}/") == "2026"`, "y.......", "what stands between"},
		{`resource.name.extract("/nothing/{folder}/") == ""`, "yyyy.y..", "a template that does not match yields nothing"},
		{`resource.name.extract("buckets/{name}/objects") == "b"`, "yy......", "the bucket of an object"},
		{`resource.matchTag("1/env", "prod")`, none, "no tags here"},
		{`!resource.matchTag("1/env", "prod")`, all, "no tags here"},
		{`resource.hasTagKey("1/env")`, none, "no tags here"},
		{`resource.matchTagId("tagKeys/1", "tagValues/1")`, none, "no tags here"},
		{`api.getAttribute("storage.googleapis.com/objectListPrefix", "none") == "none"`, all, "a default"},
		{`api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["roles/viewer"])`, all, "nothing was modified"},
		{`request.path.startsWith("/")`, none, "an attribute that is missing"},
		{`request.path.startsWith("/") || true`, all, "the other side of || decides"},
		{`request.path.startsWith("/") || false`, none, "an error is a no"},
		{`request.path.startsWith("/") && true`, none, "an error is a no"},
		{`!request.path.startsWith("/")`, none, "an error is a no, and so is its contrary"},
		{`request.host == ""`, none, "missing is not empty"},
		{`"x" in request.auth.access_levels`, none, "an attribute that is missing"},
		{`destination.port == 443`, none, "an attribute that is missing"},
	} {
		for i, resource := range resources {
			rows = append(rows, decisionRow{on: "organization", bindings: []iam.Binding{grantIf(c.expression, everything, workerMember)}, who: "worker",
				permission: asked[resource], resource: resource, want: c.holds[i] == 'y', why: c.why})
		}
	}
	return rows
}

func timeRows() []decisionRow {
	var rows []decisionRow
	for _, c := range []struct {
		expression string
		at         time.Duration
		want       bool
		why        string
	}{
		{`request.time < timestamp("2026-03-03T12:00:00Z")`, time.Hour - time.Nanosecond, true, "the last moment"},
		{`request.time < timestamp("2026-03-03T12:00:00Z")`, time.Hour, false, "the end itself"},
		{`request.time < timestamp("2026-03-03T12:00:00Z")`, 9000 * time.Hour, false, "long after"},
		{`request.time <= timestamp("2026-03-03T12:00:00Z")`, time.Hour, true, "the end included"},
		{`request.time < timestamp("2026-03-03T13:00:00+01:00")`, 59 * time.Minute, true, "a zone in the time"},
		{`request.time < timestamp("2026-03-03T13:00:00+01:00")`, 61 * time.Minute, false, "a zone in the time"},
		{`request.time.getHours("Europe/Berlin") == 3`, 26*24*time.Hour - 10*time.Hour, true, "summer time has begun"},
		{`request.time.getHours("Europe/Berlin") == 2`, 26*24*time.Hour - 10*time.Hour, false, "there is no such hour that night"},
		{`request.time.getHours("Europe/Berlin") >= 6 && request.time.getHours("Europe/Berlin") < 22`, 10 * time.Hour, false, "22 o'clock in Berlin"},
		{`request.time.getHours("Europe/Berlin") >= 6 && request.time.getHours("Europe/Berlin") < 22`, 10*time.Hour - time.Second, true, "just before"},
		{`request.time.getDayOfWeek() >= 1 && request.time.getDayOfWeek() <= 5`, 4 * 24 * time.Hour, false, "a Saturday"},
		{`request.time.getDayOfWeek() >= 1 && request.time.getDayOfWeek() <= 5`, 6 * 24 * time.Hour, true, "a Monday"},
		{`request.time.getDate() == 1`, 29*24*time.Hour - 11*time.Hour, true, "the first of April"},
	} {
		rows = append(rows, decisionRow{on: "project", bindings: []iam.Binding{grantIf(c.expression, "roles/pubsub.publisher", workerMember)}, who: "worker",
			permission: "pubsub.topics.publish", resource: "topic", at: c.at, want: c.want, why: c.why})
	}
	return rows
}

func roleRows() []decisionRow {
	var rows []decisionRow
	for _, c := range []struct {
		role, permission string
		want             bool
		why              string
	}{
		{"roles/storage.objectViewer", "storage.objects.get", true, "what it is for"},
		{"roles/storage.objectViewer", "storage.objects.list", true, "what it is for"},
		{"roles/storage.objectViewer", "storage.objects.create", false, "viewers create nothing"},
		{"roles/storage.objectViewer", "storage.objects.delete", false, "viewers delete nothing"},
		{"roles/storage.objectViewer", "storage.buckets.get", false, "objects alone"},
		{"roles/storage.objectCreator", "storage.objects.create", true, "what it is for"},
		{"roles/storage.objectCreator", "storage.objects.get", false, "creators cannot read"},
		{"roles/storage.objectCreator", "storage.objects.delete", false, "nor overwrite"},
		{"roles/storage.objectAdmin", "storage.objects.setIamPolicy", true, "the ACLs of objects"},
		{"roles/storage.objectAdmin", "storage.buckets.setIamPolicy", false, "not the bucket's policy"},
		{"roles/storage.admin", "storage.buckets.setIamPolicy", true, "may grant itself anything on the bucket"},
		{"roles/pubsub.publisher", "pubsub.topics.publish", true, "what it is for"},
		{"roles/pubsub.publisher", "pubsub.subscriptions.consume", false, "publishers do not read"},
		{"roles/pubsub.subscriber", "pubsub.subscriptions.consume", true, "what it is for"},
		{"roles/pubsub.subscriber", "pubsub.topics.publish", false, "subscribers do not publish"},
		{"roles/secretmanager.secretAccessor", "secretmanager.versions.access", true, "what it is for"},
		{"roles/secretmanager.viewer", "secretmanager.versions.access", false, "viewers see no value"},
		{"roles/secretmanager.viewer", "secretmanager.secrets.get", true, "what it is for"},
		{"roles/bigquery.dataViewer", "bigquery.tables.getData", true, "what it is for"},
		{"roles/bigquery.dataViewer", "bigquery.jobs.create", false, "reading is not asking"},
		{"roles/bigquery.jobUser", "bigquery.jobs.create", true, "what it is for"},
		{"roles/bigquery.metadataViewer", "bigquery.tables.getData", false, "no data"},
		{"roles/owner", "iam.serviceAccounts.setIamPolicy", true, "owners set policies"},
		{"roles/owner", "iam.serviceAccountKeys.create", true, "owners make keys"},
		{"roles/owner", "iam.serviceAccounts.actAs", true, "owners run things as accounts"},
		{"roles/owner", "iam.serviceAccounts.getAccessToken", false, "owners mint no tokens"},
		{"roles/owner", "storage.objects.get", false, "owners read objects by the bucket's own policy only"},
		{"roles/owner", "bigquery.tables.getData", false, "and tables by the dataset's"},
		{"roles/editor", "iam.serviceAccounts.getAccessToken", false, "editors mint no tokens"},
		{"roles/editor", "resourcemanager.projects.setIamPolicy", false, "editors set no project's policy"},
		{"roles/editor", "pubsub.topics.publish", true, "editors publish"},
		{"roles/editor", "serviceusage.services.use", true, "editors spend the quota"},
		{"roles/viewer", "pubsub.topics.publish", false, "viewers do not publish"},
		{"roles/viewer", "resourcemanager.projects.get", true, "viewers see the project"},
		{"roles/browser", "resourcemanager.projects.get", true, "what it is for"},
		{"roles/browser", "storage.buckets.list", false, "no more"},
		{"roles/iam.serviceAccountTokenCreator", "iam.serviceAccounts.getAccessToken", true, "what it is for"},
		{"roles/iam.serviceAccountTokenCreator", "iam.serviceAccounts.implicitDelegation", true, "what it is for"},
		{"roles/iam.serviceAccountTokenCreator", "iam.serviceAccounts.signBlob", true, "what it is for"},
		{"roles/iam.serviceAccountTokenCreator", "iam.serviceAccountKeys.create", false, "tokens, not keys"},
		{"roles/iam.workloadIdentityUser", "iam.serviceAccounts.getAccessToken", true, "what it is for"},
		{"roles/iam.workloadIdentityUser", "iam.serviceAccounts.signBlob", false, "no signatures"},
		{"roles/iam.serviceAccountUser", "iam.serviceAccounts.actAs", true, "what it is for"},
		{"roles/iam.serviceAccountUser", "iam.serviceAccounts.getAccessToken", false, "no tokens"},
		{"roles/iam.serviceAccountAdmin", "iam.serviceAccounts.getAccessToken", false, "no tokens"},
		{"roles/iam.serviceAccountAdmin", "iam.serviceAccounts.setIamPolicy", true, "but it may grant them to itself"},
		{"roles/resourcemanager.projectIamAdmin", "resourcemanager.projects.setIamPolicy", true, "what it is for"},
		{"roles/resourcemanager.projectIamAdmin", "iam.serviceAccounts.setIamPolicy", false, "the project's policy alone"},
		{"roles/storage.objectViewer", "storage.objects.frobnicate", false, "no such permission"},
		{"roles/storage.objectViewer", "storage.objects", false, "no such permission"},
		{"roles/storage.objectViewer", "storage.*", false, "no wildcards"},
		{"roles/storage.objectViewer", "", false, "no permission"},
		{"roles/nonsense", "storage.objects.get", false, "no such role"},
		{"storage.objectViewer", "storage.objects.get", false, "no such role"},
		{"", "storage.objects.get", false, "no role"},
		{"projects/agents/roles/reader", "storage.objects.get", true, "a custom role"},
		{"projects/agents/roles/reader", "storage.objects.list", false, "what it does not hold"},
		{"projects/agents/roles/off", "storage.objects.get", false, "a disabled role grants nothing"},
		{"projects/agents/roles/dead", "storage.objects.get", false, "a deleted role grants nothing"},
		{"projects/agents/roles/never", "storage.objects.get", false, "no such role"},
		{"projects/300/roles/reader", "storage.objects.get", false, "custom roles are named by the project's id"},
		{everything, "pubsub.topics.publish", true, "a role of the organization"},
		{everything, "pubsub.topics.delete", false, "what it does not hold"},
	} {
		rows = append(rows, decisionRow{on: "project", bindings: []iam.Binding{grant(c.role, workerMember)}, who: "worker",
			permission: c.permission, resource: "object 2026", want: c.want, why: c.why})
	}
	return rows
}

// mixedRows: what several bindings come to is what any of them gives.
func mixedRows() []decisionRow {
	const viewer = "roles/storage.objectViewer"
	const other = "user:olivia@acme.example"
	var rows []decisionRow
	for _, c := range []struct {
		bindings []iam.Binding
		want     bool
		why      string
	}{
		{nil, false, "nothing is granted"},
		{[]iam.Binding{grant(viewer)}, false, "a binding without members"},
		{[]iam.Binding{grant(viewer, other)}, false, "to somebody else"},
		{[]iam.Binding{grant(viewer, other, workerMember)}, true, "one of several members"},
		{[]iam.Binding{grantIf("false", viewer, workerMember), grant(viewer, workerMember)}, true, "the unconditional one wins"},
		{[]iam.Binding{grant(viewer, workerMember), grantIf("false", viewer, workerMember)}, true, "in either order"},
		{[]iam.Binding{grantIf("false", viewer, workerMember), grant(viewer, other)}, false, "each has its own members"},
		{[]iam.Binding{grantIf("false", viewer, workerMember), grantIf("true", viewer, workerMember)}, true, "one condition is enough"},
		{[]iam.Binding{grantIf("false", viewer, workerMember), grantIf("true", viewer, other)}, false, "conditions do not mix"},
		{[]iam.Binding{grantIf("true", "roles/storage.objectCreator", workerMember), grantIf("false", viewer, workerMember)}, false, "roles do not mix"},
		{[]iam.Binding{grantIf("request.path == ''", viewer, workerMember), grant(viewer, "group:outer@acme.example")}, true, "an error hides nothing"},
		{[]iam.Binding{grant("roles/nonsense", workerMember), grant(viewer, "allUsers")}, true, "an unknown role hides nothing"},
		{[]iam.Binding{grant("projects/agents/roles/dead", workerMember), grant("projects/agents/roles/reader", workerMember)}, true, "a deleted role hides nothing"},
		{[]iam.Binding{grant(viewer, "deleted:"+workerMember+"?uid=1"), grant(viewer, workerMember)}, true, "a tombstone hides nothing"},
	} {
		rows = append(rows, decisionRow{on: "bucket", bindings: c.bindings, who: "worker",
			permission: "storage.objects.get", resource: "object 2026", want: c.want, why: c.why})
	}
	return rows
}

func TestDecide(t *testing.T) {
	t.Parallel()
	total := 0
	for name, rows := range map[string][]decisionRow{
		"levels": levelRows(), "members": memberRows(), "conditions": conditionRows(), "times": timeRows(),
		"roles": roleRows(), "mixed": mixedRows(),
	} {
		total += len(rows)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newCourt(t).judge(t, rows)
		})
	}
	if total < 300 {
		t.Errorf("the tables have %d rows, want 300", total)
	}
	t.Logf("%d rows", total)
}

func TestDecideNobody(t *testing.T) {
	t.Parallel()
	c := newCourt(t)
	c.bind("project", grant("roles/storage.objectViewer", iam.AllUsers))
	if d := c.s.Decide(nil, "storage.objects.get", c.resource["object 2026"], epoch, nil); d.Allowed {
		t.Errorf("nobody was allowed by %s", d.By)
	}
}

func TestConvenienceMembers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	bucket := &iam.Policy{Bindings: []iam.Binding{{Role: "roles/storage.legacyBucketOwner", Members: []string{"projectOwner:acme-data"}}}}
	project, _, err := l.wire.State().ProjectNode("acme-data")
	if err != nil {
		t.Fatal(err)
	}
	n := project.Child("//storage.googleapis.com/projects/_/buckets/b", "projects/_/buckets/b", "storage.googleapis.com/Bucket", bucket)
	for email, want := range map[string]bool{"olivia@acme.example": true, "noah@acme.example": false} {
		who := &iam.Principal{Member: "user:" + email, Email: email}
		if got := l.wire.State().Decide(who, "storage.objects.list", n, epoch, nil); got.Allowed != want {
			t.Errorf("%s: decided %v, want %v", email, got.Allowed, want)
		}
	}
}
