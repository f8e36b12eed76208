package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

func name(t testing.TB, s string) resource.Name {
	t.Helper()
	n, _, err := resource.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var sameName = cmp.Comparer(func(a, b resource.Name) bool { return a == b })

const reference = `version = 1
[task]
name    = "nightly-report"
project = "acme-agents"
ttl     = "2h"
reason  = "Build the nightly sales report"

[[grant]]
role     = "roles/storage.objectViewer"
resource = "gs://acme-reports/2026/"
[[grant]]
role      = "roles/secretmanager.secretAccessor"
resource  = "projects/acme-agents/secrets/api-key"
condition = 'request.time.getHours("Europe/Berlin") < 20'
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
[[grant]]
role        = "roles/viewer"
resource    = "projects/acme-agents"
allow_basic = true
unbounded   = "accept"
[[grant]]
role     = "projects/acme-agents/roles/tableReader"
resource = "bq://acme-agents.sales"

[credentials]
deliver        = ["metadata", "token"]
token_lifetime = "10m"
audiences      = ["https://reports.example.com"]

[sandbox]
tree = "read"
`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse("task.toml", []byte(reference), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := grants.Task{
		Name: "nightly-report", Project: "acme-agents", TTL: 2 * time.Hour,
		Reason:  "Build the nightly sales report",
		Deliver: []grants.DeliveryKind{delivery.Metadata, delivery.Token}, TokenLifetime: 10 * time.Minute,
		Audiences: []string{"https://reports.example.com"},
		Sandbox:   grants.Sandbox{Tree: grants.TreeRead},
		Grants: []grants.Grant{
			{Role: "roles/storage.objectViewer", Resource: name(t, "gs://acme-reports"), Prefix: "2026/"},
			{Role: "roles/secretmanager.secretAccessor", Resource: name(t, "projects/acme-agents/secrets/api-key"), Condition: `request.time.getHours("Europe/Berlin") < 20`},
			{Role: "roles/pubsub.publisher", Resource: name(t, "projects/acme-agents/topics/reports"), AcceptUnbounded: true},
			{Role: "roles/viewer", Resource: name(t, "projects/acme-agents"), AllowBasic: true, AcceptUnbounded: true},
			{Role: "projects/acme-agents/roles/tableReader", Resource: name(t, "bq://acme-agents.sales")},
		},
	}
	if diff := cmp.Diff(want, got, sameName); diff != "" {
		t.Error(diff)
	}
}

// The same task, written with inline tables, dotted keys, a byte order mark and
// another platform's line ends.
func TestParseOtherNotation(t *testing.T) {
	t.Parallel()
	src := "\ufeffversion = 1\ntask.name = 'nightly-report'\ntask.\"project\" = 'acme-agents'\n" +
		"grant = [ { role = 'roles/browser', resource = 'projects/acme-agents' },\n { role = 'roles/pubsub.viewer', resource = '//pubsub.googleapis.com/projects/acme-agents/topics/reports', unbounded = 'accept' } ]\n"
	want := grants.Task{
		Name: "nightly-report", Project: "acme-agents", TTL: time.Hour,
		Grants: []grants.Grant{
			{Role: "roles/browser", Resource: name(t, "projects/acme-agents")},
			{Role: "roles/pubsub.viewer", Resource: name(t, "projects/acme-agents/topics/reports"), AcceptUnbounded: true},
		},
	}
	for _, s := range []string{src, strings.ReplaceAll(src, "\n", "\r\n")} {
		got, err := Parse("task.toml", []byte(s), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, sameName); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	src := func(ttl string) []byte {
		return []byte("version = 1\n[task]\nname = 'a'\nproject = 'acme-agents'\n" + ttl + "\n[[grant]]\nrole = 'roles/browser'\nresource = 'projects/acme-agents'\n")
	}
	for _, tt := range []struct {
		ttl    string
		limits Limits
		want   time.Duration // 0 means refused
	}{
		{"", Limits{}, time.Hour},
		{"ttl = '12h'", Limits{}, 12 * time.Hour},
		{"ttl = '12h0m1s'", Limits{}, 0},
		{"ttl = '24h'", Limits{MaxTTL: 24 * time.Hour}, 24 * time.Hour},
		{"ttl = '1h'", Limits{MaxTTL: 30 * time.Minute}, 0},
		{"", Limits{MaxTTL: 30 * time.Minute}, 30 * time.Minute},
		{"ttl = '1m'", Limits{}, time.Minute},
		{"ttl = '59s'", Limits{}, 0},
		{"ttl = '-1h'", Limits{}, 0},
	} {
		got, err := Parse("f", src(tt.ttl), tt.limits)
		if (err == nil) != (tt.want != 0) || got.TTL != tt.want {
			t.Errorf("ttl %q with %v = %v, %v, want %v", tt.ttl, tt.limits, got.TTL, err, tt.want)
		}
	}
}

// parts of manifests for the table below.
const (
	head = "version = 1\n[task]\nname = \"a\"\nproject = \"acme-agents\"\n"
	good = "[[grant]]\nrole = \"roles/browser\"\nresource = \"projects/acme-agents\"\n"
)

// grant is a whole manifest of one grant, which begins in line 5.
func grant(lines ...string) string { return head + "[[grant]]\n" + strings.Join(lines, "\n") + "\n" }

// refusal is a manifest that is refused, with every message and every fix.
type refusal struct {
	name, src string
	want, fix []string
}

func refusals() []refusal {
	const (
		bucketRole = `role = "roles/storage.objectViewer"`
		bucket     = `resource = "gs://acme-reports"`
		secretRole = `role = "roles/secretmanager.secretAccessor"`
		secret     = `resource = "projects/acme-agents/secrets/api-key"`
		topicRole  = `role = "roles/pubsub.publisher"`
		topic      = `resource = "projects/acme-agents/topics/reports"`
	)
	return append(networkRefusals(), []refusal{
		{"an empty file", "", []string{
			"f:1:1: the version of the manifest is missing",
			"f:1:1: the table [task] is missing",
			"f:1:1: the manifest has no grant; a task that needs no access needs no account",
		}, []string{"version = 1", "[task]", "[[grant]]"}},
		{"not UTF-8", "version = 1\n# \xff", []string{"f:2:3: the file is not in UTF-8, as TOML must be"}, []string{""}},
		{"too much", strings.Repeat("#", MaxSize+1), []string{"f:1:1: the file has more than 262144 bytes, the most that a manifest may have"}, []string{""}},
		{"too deep", "a = " + strings.Repeat("[{b = ", 9) + "1" + strings.Repeat("}]", 9), []string{"f:1:49: tables and lists are nested more than 16 deep"}, []string{""}},
		{"too deep by its keys", "a = 1\n" + strings.Repeat("a.", 20) + "a = 1", []string{"f:2:1: tables and lists are nested more than 16 deep"}, []string{""}},
		{"not TOML", head + "ttl = \n", []string{`f:5:7: expected value but found '\n' instead`}, []string{""}},
		{"a key twice", head + "name = \"b\"\n", []string{`f:5:1: key 'task.name' has already been defined.`}, []string{""}},
		{"a later version", "version = 2\nnew = 1\n", []string{"f:1:11: version 2 of the manifest is not known; this program reads version 1"}, []string{"version = 1"}},
		{"a version of another type", "version = \"1\"\n" + strings.TrimPrefix(head, "version = 1\n") + good, []string{"f:1:11: version is an integer, and this is a string"}, []string{"version = 1"}},
		{"a bare key that is none", "é = 1\nversion = 1\n[task]\nname = \"a\"\nproject = \"acme-agents\"\nreasons = \"x\"\nlabels = {a = 1}\n" + good + "  roles = []\n[crendentials]\n", []string{
			`f:1:1: expected '.' or '=', but got 'é' instead`,
		}, []string{""}},
		{"unknown keys of every table", head + "reasons = \"x\"\nlabels = {a = 1}\n" + good + "  expires = []\n[crendentials]\n", []string{
			`f:5:1: unknown key "reasons" in [task]; did you mean reason?`,
			`f:6:1: unknown key "labels" in [task]; allowed are name, project, ttl, reason`,
			`f:10:3: unknown key "expires" in [[grant]]; allowed are role, permissions, resource, condition, unbounded, allow_basic, accept`,
			`f:11:1: unknown key "crendentials" in the manifest; did you mean credentials?`,
		}, []string{"", "", "", ""}},
		{"what must be there", "version = 1\n[task]\n[[grant]]\n", []string{
			"f:2:1: [task] has no name",
			"f:2:1: [task] has no project",
			"f:3:1: [[grant]] has no role",
			"f:3:1: [[grant]] has no resource",
		}, []string{`name = "nightly-report"`, `project = "acme-agents"`, roleExample, resourceExample}},
		{"wrong types", "version = 1\ncredentials = 1\n[task]\nname = 1\nproject = true\nttl = 3600\nreason = 1.5\n[[grant]]\nrole = {}\nresource = 2026-01-01\ncondition = [ ]\nunbounded = true\nallow_basic = \"yes\"\n", []string{
			"f:2:1: credentials is a table, and this is an integer",
			"f:4:8: name is a string, and this is an integer",
			"f:5:11: project is a string, and this is true or false",
			"f:6:7: ttl is a string, and this is an integer",
			"f:7:10: reason is a string, and this is a number with a point",
			"f:9:8: role is a string, and this is a table",
			"f:10:12: resource is a string, and this is a date or time",
			"f:11:1: condition is a string, and this is a list",
			"f:12:13: unbounded is a string, and this is true or false",
			"f:13:15: allow_basic is true or false, and this is a string",
		}, []string{"[credentials]", `name = "nightly-report"`, `project = "acme-agents"`, `ttl = "1h"`, `reason = "Build the nightly report"`, roleExample, resourceExample, `condition = 'request.time.getHours("Europe/Berlin") < 20'`, unboundedFix, basicFix}},
		{"one bracket too few", head + "[grant]\nrole = \"roles/browser\"\n", []string{"f:5:1: grant is a list of tables, and this is a table"}, []string{"[[grant]]"}},
		{"no table", "version = 1\ntask = 1\ngrant = [1]\n", []string{
			"f:2:1: task is a table, and this is an integer",
			"f:3:10: grant is a list of tables, and this element is an integer",
		}, []string{"[task]", "[[grant]]"}},
		{"an empty list", "version = 1\ngrant = []\n[task]\nname = \"a\"\nproject = \"acme-agents\"\n", []string{"f:2:1: the manifest has no grant; a task that needs no access needs no account"}, []string{"[[grant]]"}},

		{"a name in capitals", "version = 1\n[task]\nname = \"Nightly Report!\"\nproject = \"acme-agents\"\n" + good, []string{
			`f:3:8: "Nightly Report!" cannot be a task's name: up to 40 of a-z, 0-9 and -, beginning with a letter`,
		}, []string{`name = "nightly-report"`}},
		{"a project that is none", "version = 1\n[task]\nname = \"a\"\nproject = \"Acme\"\n" + good, []string{
			`f:4:11: "Acme" is not a project id (6 to 30 of a-z, 0-9 and -, beginning with a letter and not ending with -; or a project number)`,
		}, []string{""}},
		{"a project by number", "version = 1\n[task]\nname = \"a\"\nproject = \"123456789012\"\n" + good, []string{
			`f:4:11: 123456789012 is the number of a project; write its id, which the names of service accounts contain`,
		}, []string{`project = "acme-agents"`}},
		{"no duration", head + "ttl = \"2 hours\"\n" + good, []string{`f:5:7: "2 hours" is not a duration such as "90m" or "1h30m"`}, []string{`ttl = "1h"`}},
		{"too long", head + "ttl = \"720h\"\n" + good, []string{`f:5:7: a ttl of 720h is too long; the maximum is 12h`}, []string{`ttl = "1h"`}},
		{"too short", head + "ttl = \"0s\"\n" + good, []string{`f:5:7: a ttl of 0s is too short; the minimum is 1m`}, []string{`ttl = "1h"`}},
		{"parts of a second", head + "ttl = \"1h0.5s\"\n" + good, []string{`f:5:7: a ttl of 1h0m0.5s is not in whole seconds`}, []string{`ttl = "1h"`}},
		{"a reason with a line break", head + "reason = \"a\\tb\\nc\"\n" + good, []string{`f:5:12: the reason is sent as a header and cannot hold '\t': printable ASCII only`}, []string{""}},
		{"a reason that is not ASCII", head + "reason = 'für'\n" + good, []string{`f:5:12: the reason is sent as a header and cannot hold '\u00fc': printable ASCII only`}, []string{""}},
		{"a long reason", head + "reason = '" + strings.Repeat("a", 257) + "'\n" + good, []string{`f:5:10: the reason has 257 characters, and at most 256 are sent`}, []string{""}},

		{"a role without its beginning", grant(`role = "storage.objectViewer"`, bucket), []string{
			`f:6:8: "storage.objectViewer" is not a role; write roles/SERVICE.NAME, projects/PROJECT/roles/ID or organizations/NUMBER/roles/ID`,
		}, []string{`role = "roles/storage.objectViewer"`}},
		{"a role that is none", grant(`role = "admin"`, bucket), []string{
			`f:6:8: "admin" is not a role; write roles/SERVICE.NAME, projects/PROJECT/roles/ID or organizations/NUMBER/roles/ID`,
		}, []string{""}},
		{"a custom role elsewhere", grant(`role = "projects/other-project/roles/x.y"`, secret), []string{`f:6:8: a custom role of other-project cannot be granted in acme-agents`}, []string{""}},
		{"a custom role of no project", grant(`role = "projects/p/roles/x.y"`, secret), []string{`f:6:8: "p" is not a project id (6 to 30 of a-z, 0-9 and -, beginning with a letter and not ending with -; or a project number)`}, []string{""}},
		{"a project's custom role on a folder", grant(`role = "projects/acme-agents/roles/x.y"`, `resource = "folders/42"`), []string{`f:6:8: a project's custom role cannot be granted on a folder`}, []string{""}},
		{"a resource with a wrong part", grant(secretRole, `resource = "projects/acme-agents/secret/api-key"`), []string{
			`f:7:12: "projects/acme-agents/secret/api-key": no resource has this form; did you mean "projects/acme-agents/secrets/api-key"?`,
		}, []string{`resource = "projects/acme-agents/secrets/api-key"`}},
		{"a bare word, and a role that is about buckets", grant(bucketRole, `resource = "reports"`), []string{
			`f:7:12: "reports": no resource has this form; for roles/storage.objectViewer write "gs://reports"`,
		}, []string{`resource = "gs://reports"`}},
		{"a bare word, and a role that is about topics", grant(topicRole, `resource = "reports"`), []string{
			`f:7:12: "reports": no resource has this form; for roles/pubsub.publisher write "projects/acme-agents/topics/reports"`,
		}, []string{`resource = "projects/acme-agents/topics/reports"`}},
		{"a bare word, and a role that is about subscriptions", grant(`role = "roles/pubsub.subscriber"`, `resource = "reports"`), []string{
			`f:7:12: "reports": no resource has this form; for roles/pubsub.subscriber write "projects/acme-agents/subscriptions/reports"`,
		}, []string{`resource = "projects/acme-agents/subscriptions/reports"`}},
		{"a bare word, and a role that is about all of Pub/Sub", grant(`role = "roles/pubsub.viewer"`, `resource = "reports"`), []string{
			`f:7:12: "reports": no resource has this form; for roles/pubsub.viewer write one of projects/acme-agents/topics/reports, ` +
				`projects/acme-agents/subscriptions/reports, projects/acme-agents/schemas/reports, projects/acme-agents/snapshots/reports`,
		}, []string{""}},
		{"a bare word, and a permission of topics", grant(`permissions = ["pubsub.topics.publish"]`, `resource = "reports"`), []string{
			`f:7:12: "reports": no resource has this form; for pubsub.topics.publish write "projects/acme-agents/topics/reports"`,
		}, []string{`resource = "projects/acme-agents/topics/reports"`}},
		{"a bare word, and a role that is about datasets", grant(`role = "roles/bigquery.dataViewer"`, `resource = "sales"`), []string{
			`f:7:12: "sales": no resource has this form; for roles/bigquery.dataViewer write "bq://acme-agents.sales"`,
		}, []string{`resource = "bq://acme-agents.sales"`}},
		{"a bare word, and a role that is about secrets", grant(secretRole, `resource = "api-key"`), []string{
			`f:7:12: "api-key": no resource has this form; for roles/secretmanager.secretAccessor write "projects/acme-agents/secrets/api-key"`,
		}, []string{`resource = "projects/acme-agents/secrets/api-key"`}},
		{"a bare word, and a role that is about what has a location", grant(`role = "roles/run.invoker"`, `resource = "web"`), []string{
			`f:7:12: "web": no resource has this form; for roles/run.invoker write one of ` +
				`//run.googleapis.com/projects/acme-agents/locations/LOCATION/jobs/web, ` +
				`//run.googleapis.com/projects/acme-agents/locations/LOCATION/services/web, with its location for LOCATION`,
		}, []string{""}},
		{"a bare word, and a role that is about projects", grant(`role = "roles/logging.logWriter"`, `resource = "acme-data"`), []string{
			`f:7:12: "acme-data": no resource has this form; for roles/logging.logWriter write "projects/acme-data"`,
		}, []string{`resource = "projects/acme-data"`}},
		{"a bare word, and a role that says nothing", grant(`role = "projects/acme-agents/roles/x.y"`, `resource = "reports"`), []string{
			`f:7:12: "reports": no resource has this form; did you mean "gs://reports"?`,
		}, []string{`resource = "gs://reports"`}},
		{"a wildcard", grant(bucketRole, `resource = "gs://acme-reports/2026/*"`), []string{
			`f:7:12: "gs://acme-reports/2026/*": a prefix has no wildcard, it covers every name that begins with it; write "gs://acme-reports/2026/"`,
		}, []string{`resource = "gs://acme-reports/2026/"`}},
		{"a prefix of a dataset", grant(`role = "roles/bigquery.dataViewer"`, `resource = "bq://acme-agents.sales/orders"`), []string{
			`f:7:12: "bq://acme-agents.sales/orders": a dataset takes no prefix; write bq://{project}.{dataset}`,
		}, []string{""}},

		{"the same twice", grant(bucketRole, bucket) + "[[grant]]\n" + bucketRole + "\nresource = \"//storage.googleapis.com/projects/_/buckets/acme-reports\"\n", []string{
			"f:8:1: this grant is the same as the one in line 5",
		}, []string{""}},
		{"the whole and a part", grant(bucketRole, `resource = "gs://acme-reports/2026/"`) + "[[grant]]\n" + bucketRole + "\n" + bucket + "\n", []string{
			"f:5:1: this grant adds nothing: the one in line 8 gives the same role on all of gs://acme-reports",
		}, []string{""}},

		{"in a list", "version = 1\ngrant = [{role = 'roles/browser'}, {" + topicRole + ", " + topic + ", exp = 1}]\n[task]\nname = \"a\"\nproject = \"acme-agents\"\n", []string{
			"f:2:10: [[grant]] has no resource",
			"f:2:36: this grant cannot expire, because a topic takes no conditions; if down alone may end it, write so",
			`f:2:120: unknown key "exp" in [[grant]]; allowed are role, permissions, resource, condition, unbounded, allow_basic, accept`,
		}, []string{resourceExample, unboundedFix, ""}},
		{"a topic without unbounded", grant(topicRole, topic), []string{
			"f:5:1: this grant cannot expire, because a topic takes no conditions; if down alone may end it, write so",
		}, []string{unboundedFix}},
		{"a condition on a topic", grant(topicRole, topic, `condition = "true"`, `unbounded = "accept"`), []string{"f:8:14: a topic takes no conditions"}, []string{""}},
		{"unbounded says something else", grant(topicRole, topic, `unbounded = "yes"`), []string{`f:8:13: "yes" is not known here; unbounded takes only "accept"`}, []string{unboundedFix}},
		{"unbounded without need", grant(bucketRole, bucket, `unbounded = "accept"`), []string{
			"f:8:1: this grant expires, since a bucket takes conditions; leave unbounded out here, so that it keeps its meaning elsewhere",
		}, []string{""}},
		{"a basic role", grant(`role = "roles/editor"`, `resource = "projects/acme-agents"`), []string{
			"f:5:1: this grant cannot expire, because basic roles take no conditions; if down alone may end it, write so",
			"f:6:8: roles/editor is a basic role and gives access to every service of a project; if you want that, say so",
		}, []string{unboundedFix, basicFix}},
		{"a basic role under a condition", grant(`role = "roles/viewer"`, `resource = "projects/acme-agents"`, basicFix, unboundedFix, `condition = "true"`), []string{
			"f:10:14: roles/viewer is a basic role, and basic roles take no conditions",
		}, []string{""}},
		{"allow_basic without need", grant(bucketRole, bucket, `allow_basic = true`), []string{
			"f:8:1: allow_basic is only for roles/owner, roles/editor and roles/viewer; remove the line",
		}, []string{""}},
		{"a legacy bucket role", grant(`role = "roles/storage.legacyBucketReader"`, bucket), []string{
			"f:5:1: this grant cannot expire, because legacy bucket roles take no conditions; if down alone may end it, write so",
		}, []string{unboundedFix}},
		{"a legacy bucket role under a condition", grant(`role = "roles/storage.legacyBucketReader"`, bucket, `condition = "true"`, unboundedFix), []string{
			"f:8:14: roles/storage.legacyBucketReader is a legacy bucket role, and those take no conditions",
		}, []string{""}},
		{"a legacy bucket role on a prefix", grant(`role = "roles/storage.legacyObjectReader"`, `resource = "gs://acme-reports/2026/"`, unboundedFix), []string{
			"f:7:12: a prefix becomes a condition, and legacy bucket roles take no conditions",
		}, []string{`resource = "gs://acme-reports"`}},

		{"an empty condition", grant(secretRole, secret, `condition = " "`), []string{"f:8:13: the condition is empty; remove the line"}, []string{""}},
		{"a condition that does not compile", grant(secretRole, secret, `condition = 'request.time < 20'`), []string{
			`f:8:27: < does not work between timestamp and int; write a time as timestamp("2026-12-31T23:00:00Z")`,
		}, []string{""}},
		{"a service without policies", grant(`role = "roles/documentai.viewer"`, `resource = "https://eu-documentai.googleapis.com/v1/projects/acme-data/locations/eu/processors/abc"`), []string{
			`f:7:12: "https://eu-documentai.googleapis.com/v1/projects/acme-data/locations/eu/processors/abc": resources of this service have no allow policies, and conditions do not see their names: ` +
				`bind the role on projects/acme-data instead; it then applies to everything there that the role covers, until the run ends`,
		}, []string{`resource = "projects/acme-data"`}},
		{"its full name", grant(`permissions = ["documentai.processors.get"]`, `resource = "//documentai.googleapis.com/projects/acme-data/locations/eu/processors/abc"`), []string{
			`f:7:12: "//documentai.googleapis.com/projects/acme-data/locations/eu/processors/abc": resources of this service have no allow policies, and conditions do not see their names: ` +
				`bind the role on projects/acme-data instead; it then applies to everything there that the role covers, until the run ends`,
		}, []string{`resource = "projects/acme-data"`}},
		{"its relative name", grant(`role = "roles/documentai.viewer"`, `resource = "projects/acme-data/locations/eu/processors/abc"`), []string{
			`f:7:12: "projects/acme-data/locations/eu/processors/abc": resources of this service have no allow policies, and conditions do not see their names: ` +
				`bind the role on projects/acme-data instead; it then applies to everything there that the role covers, until the run ends`,
		}, []string{`resource = "projects/acme-data"`}},
		{"a relative name for a role of another service", grant(bucketRole, `resource = "projects/acme-data/locations/eu/processors/abc"`), []string{
			`f:7:12: "projects/acme-data/locations/eu/processors/abc": no resource has this form; accepted are projects/{project}, gs://{bucket}, bq://{project}.{dataset}, projects/{project}/secrets/{secret}, full names //service/... and others: see taskiam resources`,
		}, []string{""}},
		{"a name that the role decides", grant(`role = "roles/run.invoker"`, `resource = "projects/acme-agents/locations/europe-west3/services/web"`), []string{
			`f:7:12: "projects/acme-agents/locations/europe-west3/services/web": the name fits more than one type; write one of ` +
				`//metastore.googleapis.com/projects/acme-agents/locations/europe-west3/services/web, //run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web`,
		}, []string{`resource = "//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web"`}},
		{"a name that the permissions decide", grant(`permissions = ["cloudsql.instances.get"]`, `resource = "projects/acme-agents/instances/main"`), []string{
			`f:7:12: "projects/acme-agents/instances/main": the name fits more than one type; write one of ` +
				`//bigtableadmin.googleapis.com/projects/acme-agents/instances/main, //spanner.googleapis.com/projects/acme-agents/instances/main, //sqladmin.googleapis.com/projects/acme-agents/instances/main`,
		}, []string{`resource = "//sqladmin.googleapis.com/projects/acme-agents/instances/main"`}},
		{"a name that nothing decides", grant(`role = "roles/browser"`, `resource = "projects/acme-agents/locations/europe-west3/services/web"`), []string{
			`f:7:12: "projects/acme-agents/locations/europe-west3/services/web": the name fits more than one type; write one of ` +
				`//metastore.googleapis.com/projects/acme-agents/locations/europe-west3/services/web, //run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web`,
		}, []string{""}},
		{"= for ==", grant(secretRole, secret, `condition = 'request.time.getHours() = 3'`), []string{
			"f:8:38: = is not an operator of conditions; write ==",
		}, []string{"condition = \"request.time.getHours() == 3\""}},
		{"a condition that is never true", grant(bucketRole, bucket, `condition = 'resource.name.startsWith("//storage.googleapis.com/projects/_/buckets/acme-reports")'`), []string{
			`f:8:39: no resource.name on gs://acme-reports fits "//storage.googleapis.com/projects/_/buckets/acme-reports": there it is ` +
				`projects/_/buckets/acme-reports or projects/_/buckets/acme-reports/managedFolders/... or projects/_/buckets/acme-reports/objects/... or ..., ` +
				`so the condition is never true and would grant nothing`,
		}, []string{`condition = 'resource.name.startsWith("projects/_/buckets/acme-reports")'`}},
		{"a star for a name", grant(bucketRole, `resource = "gs://acme-reports/2026/*.csv"`), []string{
			`f:7:12: "gs://acme-reports/2026/*.csv": a prefix has no wildcard, it covers every name that begins with it; write "gs://acme-reports/2026/"`,
		}, []string{"resource = \"gs://acme-reports/2026/\"\ncondition = 'resource.name.endsWith(\".csv\")'"}},
		{"a star for a folder", grant(bucketRole, `resource = "gs://acme-reports/*/2026/"`), []string{
			`f:7:12: "gs://acme-reports/*/2026/": a prefix has no wildcard, it covers every name that begins with it; write "gs://acme-reports/"`,
		}, []string{"resource = \"gs://acme-reports\"\ncondition = 'resource.name.extract(\"/objects/{any}/2026/\") != \"\"'"}},
		{"two stars", grant(bucketRole, `resource = "gs://acme-reports/a/*/b/*"`), []string{
			`f:7:12: "gs://acme-reports/a/*/b/*": a prefix has no wildcard, it covers every name that begins with it; write "gs://acme-reports/a/"`,
		}, []string{`resource = "gs://acme-reports/a/"`}},
		{"a class", grant(bucketRole, `resource = "gs://acme-reports/202[0-9]/"`), []string{
			`f:7:12: "gs://acme-reports/202[0-9]/": a prefix has no wildcard, it covers every name that begins with it; write "gs://acme-reports/202"`,
		}, []string{`resource = "gs://acme-reports/202"`}},
		{"behind escapes", grant(secretRole, secret, `condition = "\u0022é\" == \"\t\" && request.tim < 20"`), []string{"f:8:37: IAM does not know request.tim; did you mean request.time?"}, []string{""}},
		{"in a string of several lines", grant(secretRole, secret, `condition = """`, `true && \`, ``, `   true &&`, `  request.tim < 20"""`), []string{"f:12:3: IAM does not know request.tim; did you mean request.time?"}, []string{""}},
		{"in a literal of several lines", grant(secretRole, secret, `condition = '''`, `true &&`, `  request.tim < 20 && tru`, `'''`), []string{
			"f:10:3: IAM does not know request.tim; did you mean request.time?",
			"f:10:23: IAM does not know tru; it knows request.time, resource.name, resource.type, resource.service",
		}, []string{"", ""}},
		{"something behind a value", grant(secretRole, `resource = "toast" x!`, `condition = 'request.tim < 20'`), []string{
			`f:7:20: expected a top-level item to end with a newline, comment, or EOF, but got 'x' instead`,
		}, []string{""}},
		{"a wrong resource does not hide a wrong condition", grant(secretRole, `resource = "!"`, `condition = 'request.tim < 20'`), []string{
			`f:7:12: "!": no resource has this form; accepted are projects/{project}, gs://{bucket}, bq://{project}.{dataset}, projects/{project}/secrets/{secret}, full names //service/... and others: see taskiam resources`,
			"f:8:14: IAM does not know request.tim; did you mean request.time?",
		}, []string{"", ""}},

		{"a role and permissions", grant(bucketRole, `permissions = ["storage.objects.get"]`, bucket), []string{
			"f:7:1: a grant gives a role or a list of permissions, and this one has both; leave one out, or write two grants",
		}, []string{""}},
		{"permissions that are none", grant(`permissions = [ "storage.objects.get", "storage.objects.get", "storage.*", "storage.objects.*", "get", "roles/browser", 3 ]`, bucket), []string{
			`f:6:40: the permission storage.objects.get is listed twice`,
			`f:6:63: "storage.*": a custom role takes no wildcard; name each permission`,
			`f:6:76: "storage.objects.*": a custom role takes no wildcard; name each permission, such as storage.objects.get`,
			`f:6:97: "get" is not a permission; write SERVICE.RESOURCE.VERB, such as storage.objects.get`,
			`f:6:104: "roles/browser" is a role, and not a permission`,
			`f:6:121: permissions is a list of strings, and this element is an integer`,
		}, []string{`permissions = ["storage.objects.get", "storage.*", "storage.objects.*", "get", "roles/browser"]`, "", "", "", `role = "roles/browser"`, permissionsExample}},
		{"permissions of what is above projects", grant(`permissions = ["resourcemanager.projects.list", "compute.instances.list", "billing.resourceAssociations.list"]`, `resource = "projects/acme-data"`), []string{
			"f:6:16: permissions are granted through a custom role of a project, and Google does not take resourcemanager.projects.list there: it is a permission of the folder or organization that projects are in; leave it out",
			"f:6:75: permissions are granted through a custom role of a project, and Google does not take billing.resourceAssociations.list there: it is a permission of billing accounts; leave it out",
		}, []string{`permissions = ["compute.instances.list"]`, `permissions = ["compute.instances.list"]`}},
		{"one of folders alone, on a bucket", grant(`permissions = ["resourcemanager.folders.get"]`, bucket), []string{
			"f:6:16: permissions are granted through a custom role of a project, and Google does not take resourcemanager.folders.get there: it is a permission of folders and organizations; leave it out",
		}, []string{""}},
		{"permissions on a billing account", grant(`permissions = ["resourcemanager.projects.get"]`, `resource = "billingAccounts/01A2B3-C4D5E6-F7A8B9"`, `unbounded = "accept"`), []string{
			"f:6:1: permissions are granted through a custom role of a project, and that cannot be granted on a billing account; name a role",
		}, []string{""}},
		{"no permissions", grant(`permissions = []`, bucket), []string{"f:6:1: permissions is an empty list"}, []string{permissionsExample}},
		{"one permission, not in a list", grant(`permissions = "storage.objects.get"`, bucket), []string{
			"f:6:15: permissions is a list of strings, and this is a string",
		}, []string{`permissions = ["storage.objects.get"]`}},
		{"a permission for a role", grant(`role = "storage.objects.get"`, bucket), []string{
			`f:6:8: "storage.objects.get" is not a role; write roles/SERVICE.NAME, projects/PROJECT/roles/ID or organizations/NUMBER/roles/ID`,
		}, []string{`permissions = ["storage.objects.get"]`}},
		{"permissions on an organization", grant(`permissions = ["resourcemanager.projects.get"]`, `resource = "organizations/123456789012"`), []string{
			"f:6:1: permissions are granted through a custom role of a project, and that cannot be granted on an organization; name a role",
		}, []string{""}},
		{"the same permissions twice, and narrowed", grant(`permissions = ["storage.objects.get", "storage.objects.list"]`, bucket) +
			"[[grant]]\npermissions = [\"storage.objects.list\", \"storage.objects.get\"]\nresource = \"gs://acme-reports\"\n" +
			"[[grant]]\npermissions = [\"storage.objects.list\", \"storage.objects.get\"]\nresource = \"gs://acme-reports/2026/\"\n", []string{
			"f:8:1: this grant is the same as the one in line 5",
			"f:11:1: this grant adds nothing: the one in line 5 gives the same permissions on all of gs://acme-reports",
		}, []string{"", ""}},
		{"permissions on a topic", grant(`permissions = ["pubsub.topics.publish"]`, topic, `allow_basic = true`), []string{
			"f:5:1: this grant cannot expire, because a topic takes no conditions; if down alone may end it, write so",
			"f:8:1: allow_basic is only for roles/owner, roles/editor and roles/viewer; remove the line",
		}, []string{unboundedFix, ""}},

		{"an unknown finding", grant(bucketRole, bucket, `accept = { escalate = "it is about access" }`), []string{
			`f:8:12: there is no finding "escalate"; did you mean escalates?`,
		}, []string{""}},
		{"a finding like none", grant(bucketRole, bucket, `accept = { "no such thing" = "x" }`), []string{
			`f:8:12: there is no finding "no such thing"; you can accept escalates, runs-code-as, hands-out-credentials, access-elsewhere, destroys, role-unread, outlives, runs-code, unreviewed, object-acls, reaches-beyond, not-uniform, ambient-already, adds-nothing, asked-elsewhere, deprecated-role, too-small, narrower-role`,
		}, []string{""}},
		{"accepted without a reason", grant(bucketRole, bucket, `accept = { escalates = " " }`), []string{
			"f:8:24: escalates is accepted without a reason; say why: the receipt shows it",
		}, []string{acceptExample}},
		{"accepted for a number", grant(bucketRole, bucket, `accept = { escalates = 1, acts-as = "deploys" }`), []string{
			"f:8:24: the reason for which escalates is accepted is a string, and this is an integer",
		}, []string{acceptExample}},
		{"accepted at too great length", grant(bucketRole, bucket, `accept = { escalates = "`+strings.Repeat("x", maxReason+1)+`" }`), []string{
			fmt.Sprintf("f:8:24: the reason has %d bytes, and at most %d are kept", maxReason+1, maxReason),
		}, []string{""}},
		{"accepted in other words", grant(bucketRole, bucket, `accept = { basic-role = "x" }`), []string{"f:8:12: basic-role is accepted by a key of its own"}, []string{"allow_basic = true"}},
		{"what cannot be accepted", grant(bucketRole, bucket, `accept = { not-grantable = "x" }`), []string{"f:8:12: not-grantable cannot be accepted"}, []string{""}},
		{"accept of another type", grant(bucketRole, bucket, `accept = "escalates"`), []string{"f:8:10: accept is a table of findings with a reason each, and this is a string"}, []string{acceptExample}},
		{"accept in a table of its own", grant(bucketRole, bucket) + "[grant.accept]\nescalates = \"\"\n", []string{
			"f:9:13: escalates is accepted without a reason; say why: the receipt shows it",
		}, []string{acceptExample}},
		{"an empty accept", grant(bucketRole, bucket, "accept = {}"), []string{"f:8:10: accept is empty; remove the line"}, []string{""}},

		{"an unknown delivery", head + good + "[credentials]\ndeliver = \"mail\"\n", []string{`f:9:11: "mail" is not a kind of delivery; allowed are ` + known()}, []string{deliverExample}},
		{"unknown and repeated deliveries in a list", head + good + "[credentials]\ndeliver = [\"key\", \"mail\", \"key\", 3]\n", []string{
			`f:9:19: "mail" is not a kind of delivery; allowed are ` + known(),
			`f:9:27: "key" is listed twice`,
			`f:9:34: deliver is a list of strings, and this element is an integer`,
		}, []string{deliverExample, "", deliverExample}},
		{"no delivery at all", head + good + "[credentials]\ndeliver = []\n", []string{"f:9:1: deliver is an empty list"}, []string{deliverExample}},
		{"a delivery of another type", head + good + "[credentials]\ndeliver = true\n", []string{"f:9:11: deliver is a string or a list of strings, and this is true or false"}, []string{deliverExample}},
		{"token lifetimes", head + good + "[credentials]\ntoken_lifetime = \"2h\"\n", []string{"f:9:18: a token lives between 5m and 1h, not 2h"}, []string{`token_lifetime = "15m"`}},
		{"a tree that is none", head + good + "[sandbox]\ntree = \"copy\"\n", []string{`f:9:8: "copy" is no kind of work tree; there are direct, read`}, []string{treeExample}},
		{"an audience with a space", head + good + "[credentials]\naudiences = \"https://a b\"\n", []string{`f:9:13: "https://a b" cannot be an audience: it is empty, or has white space in it`}, []string{""}},
	}...)
}

// known names the kinds of delivery as a message does.
func known() string {
	var names []string
	for _, k := range delivery.Kinds() {
		names = append(names, `"`+string(k.Name)+`"`)
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range refusals() {
		task, err := Parse("f", []byte(tt.src), Limits{})
		if err == nil {
			t.Errorf("%s: accepted as %+v", tt.name, task)
			continue
		}
		if !fault.Is(err, fault.Usage) {
			t.Errorf("%s: kind %s", tt.name, fault.KindOf(err))
		}
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("%s: no problems in %v", tt.name, err)
			continue
		}
		var fixes []string
		for _, p := range problems {
			fixes = append(fixes, p.Fix)
		}
		if diff := cmp.Diff(strings.Join(tt.want, "\n"), err.Error()); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.fix, fixes); diff != "" {
			t.Errorf("%s: fixes:\n%s", tt.name, diff)
		}
	}
}

func TestStarter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, project, wantName, wantProject string }{
		{"nightly-report", "acme-agents", "nightly-report", "acme-agents"},
		{"Nightly Report", "example.com:agents", "nightly-report", "example.com:agents"},
		{"", "", "my-task", "my-project"},
		{"42", "123456789012", "my-task", "my-project"},
		{strings.Repeat("ab ", 20), "\"\n[x]", "ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-a", "my-project"},
	} {
		src := Starter(tt.name, tt.project)
		task, err := Parse("task.toml", src, Limits{})
		if err != nil {
			t.Errorf("Starter(%q, %q): %v", tt.name, tt.project, err)
			continue
		}
		if task.Name != tt.wantName || task.Project != tt.wantProject {
			t.Errorf("Starter(%q, %q) names %q and %q, want %q and %q", tt.name, tt.project, task.Name, task.Project, tt.wantName, tt.wantProject)
		}
		// What is commented out is a manifest too.
		all := strings.NewReplacer("# [[", "[[", "# role", "role", "# resource", "resource", "# condition", "condition", "# unbounded", "unbounded", "# reason", "reason").Replace(string(src))
		if task, err = Parse("task.toml", []byte(all), Limits{}); err != nil || len(task.Grants) != 4 || task.Reason == "" {
			t.Errorf("Starter(%q, %q) without its comment signs: %+v, %v", tt.name, tt.project, task, err)
		}
	}
}

// TestWhatCannotBeSeen: text that would look like other text, or change what is around it, is refused where it
// stands, in every string.
func TestWhatCannotBeSeen(t *testing.T) {
	t.Parallel()
	const head = "version = 1\n[task]\nname = \"t\"\nproject = \"acme-agents\"\n[[grant]]\n"
	grant := func(role, resource, condition string) string {
		return head + "role = \"" + role + "\"\nresource = \"" + resource + "\"\ncondition = \"" + condition + "\"\n"
	}
	const role, secret = "roles/secretmanager.viewer", "projects/acme-agents/secrets/api-key"
	for _, tt := range []struct{ src, want string }{
		{grant(role, secret, `true //\u001b[1A\u001b[2K`), "f:8:21: U+001B cannot be seen"},
		{grant(role, secret, `true && true // more`), "f:8:27: a condition holds no comments"},
		{grant(role, secret, "true \u202e"), "f:8:19: U+202E cannot be seen"},
		{grant(`roles/\u200bsecretmanager.viewer`, secret, "true"), "f:6:15: U+200B cannot be seen"},
		{grant("roles/secretm\u0430nager.viewer", secret, "true"), "f:6:8: \"roles/secretm\\u0430nager.viewer\" is not a role: U+0430 in it is not an ASCII character"},
		{grant(role, "projects/acme-agents/secr\u0435ts/api-key", "true"), "U+0435 in it is not an ASCII character"},
		{grant(role, `projects/acme-agents/secrets/api\u2028-key`, "true"), "f:7:45: U+2028 cannot be seen"},
		{grant(role, secret, "true") + "[credentials]\ndeliver = [\"key\", \"to\u2066ken\"]\n", "f:10:22: U+2066 cannot be seen"},
		{strings.Replace(grant(role, secret, "true"), `"acme-agents"`, "\"acme-\u0430gents\"", 1), "U+0430 in it is not an ASCII character"},
		{head + "permissions = [\"secretmanager.v\u0435rsions.access\"]\nresource = \"" + secret + "\"\n", "U+0435 in it is not an ASCII character"},
	} {
		_, err := Parse("f", []byte(tt.src), Limits{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q:\ngot  %v\nwant %s", tt.src, err, tt.want)
		}
	}
}

// What a wildcard is refused with says the same, and is read.
func TestLinesForAWildcardAreRead(t *testing.T) {
	t.Parallel()
	for _, on := range []string{"2026/*.csv", "*/2026/", "202[0-9]/", "a/*/b/*", "*", "**/x.csv", "it's/*\"/"} {
		_, _, err := resource.Parse("gs://acme-reports/" + on)
		var wild *resource.WildcardError
		if !errors.As(err, &wild) {
			t.Errorf("%s: %v", on, err)
			continue
		}
		lines := withoutWildcard(*wild)
		if _, err := Parse("f", []byte(header+"[[grant]]\nrole = \"roles/storage.objectViewer\"\n"+lines+"\n"), Limits{}); err != nil {
			t.Errorf("%s: %v\n%s", on, err, lines)
		}
	}
}

// A condition that has ended is refused; a machine's clock may be wrong by a day.
func TestConditionsThatHaveEnded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 17, 0, 0, 0, time.UTC)
	for until, refused := range map[string]bool{"2020-01-01T00:00:00Z": true, "2026-11-28T00:00:00Z": false, "2026-11-29T00:00:00Z": false} {
		src := header + "[[grant]]\nrole = \"roles/storage.objectViewer\"\nresource = \"gs://acme-reports\"\ncondition = 'request.time < timestamp(\"" + until + "\")'\n"
		if _, err := Parse("f", []byte(src), Limits{Now: now}); (err != nil) != refused {
			t.Errorf("until %s: %v", until, err)
		}
		if _, err := Parse("f", []byte(src), Limits{}); err != nil {
			t.Errorf("without a clock, until %s: %v", until, err)
		}
	}
}
