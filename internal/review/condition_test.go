package review

import (
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// on returns a grant of a role on a resource, under a condition.
func on(t testing.TB, name, role, condition string) grants.Grant {
	t.Helper()
	n, prefix, err := resource.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return grants.Grant{Role: role, Resource: n, Prefix: prefix, Condition: condition}
}

const (
	aSecret  = "projects/acme-agents/secrets/api-key"
	aProject = "projects/acme-agents"
	aBucket  = "gs://acme-reports"
	aDataset = "bq://acme-agents.sales"
	anSA     = "projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com"
)

func TestCheckConditionAccepts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, condition string }{
		{aSecret, ``},
		{aSecret, `true`},
		{aSecret, `request.time.getHours("Europe/Berlin") < 20`},
		{aSecret, `request.time < timestamp("2026-01-01T00:00:00Z") - duration("3600s")`},
		{aSecret, `resource.name == "projects/123456789012/secrets/api-key/versions/1"`},
		{aSecret, `resource.name.extract("secrets/{name}/") == "api-key"`},
		{aSecret, `resource.type != "secretmanager.googleapis.com/Secret" || resource.service == "x"`},
		{aSecret, `resource.hasTagKey("123456789012/env") && resource.matchTag("123456789012/env", "prod")`},
		{aSecret, `resource.hasTagKeyId("tagKeys/1") || resource.matchTagId("tagKeys/1", "tagValues/2")`},
		{aSecret, `resource.name != "http://é'//" && resource.name != r'\' && resource.name != """a"//"""`},
		{aSecret, `resource.name == 'it\'s // no comment' || bR"\" == b'\\' || "//" != 'b'`},
		{aSecret, "true\n  &&\n  !false"},
		{aBucket, `resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/")`},
		{aDataset, `resource.name.endsWith("/tables/orders")`},
		{aProject, `api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly(["roles/pubsub.editor"])`},
		{aProject, `resource.name.startsWith("projects/acme-agents/zones/")`},
		{aProject, `request.path.startsWith("/admin") && request.host == "hr.example.com"`},
		{aProject, `"accessPolicies/1/accessLevels/x" in request.auth.access_levels && destination.port == 22`},
		{aProject, `!compute.isForwardingRuleCreationOperation() || compute.matchLoadBalancingSchemes(["INTERNAL"])`},
		{anSA, `request.time.getFullYear() == 2026`},
		{aSecret, strings.Repeat(`true && `, 10) + `!false`},
	} {
		if errs := CheckCondition(on(t, tt.name, "roles/x.y", tt.condition), Window{}); len(errs) > 0 {
			t.Errorf("%s: %v", tt.condition, errs)
		}
	}
	// What holds on every resource is checked without one.
	if errs := CheckCondition(grants.Grant{Role: "roles/x.y", Condition: `resource.name == "x"`}, Window{}); errs != nil {
		t.Errorf("without a resource: %v", errs)
	}
}

func TestCheckConditionRefuses(t *testing.T) {
	t.Parallel()
	type place struct{ Offset, Line, Column int }
	for _, tt := range []struct {
		name, role, condition, want string
		at                          place
	}{
		{aSecret, "", `request.time <`, "the condition is not finished", place{14, 1, 15}},
		{aSecret, "", "true &&\n  é", "é has no meaning in a condition", place{10, 2, 3}},
		{aSecret, "", `true // && false`, "a condition holds no comments", place{5, 1, 6}},
		{aSecret, "", "resource.name != '//' &&\n  true//", "a condition holds no comments", place{31, 2, 7}},
		{aSecret, "", `resource.name != r'\' && true // '`, "a condition holds no comments", place{30, 1, 31}},
		{aSecret, "", "true //\x1b[1A\x1b[2K", "U+001B cannot be seen", place{7, 1, 8}},
		{aSecret, "", "resource.name == 'é\u202e'", "U+202E cannot be seen", place{19, 1, 20}},
		{aSecret, "", "true\u2028", "U+2028 cannot be seen", place{4, 1, 5}},
		{aSecret, "", "true\u009b", "U+009B cannot be seen", place{4, 1, 5}},
		{aSecret, "", "true\r", "U+000D cannot be seen", place{4, 1, 5}},
		{aSecret, "", "tr\u200bue", "U+200B cannot be seen", place{2, 1, 3}},
		{aSecret, "", `request.tim < timestamp("2026-01-01T00:00:00Z")`, "IAM does not know request.tim; did you mean request.time?", place{0, 1, 1}},
		{aSecret, "", `"é" == "é" && user == "jo"`, "IAM does not know user; it knows request.time, resource.name, resource.type, resource.service", place{14, 1, 15}},
		{aSecret, "", `request.time < 20`, "< does not work between timestamp and int; write a time as timestamp(", place{13, 1, 14}},
		{aSecret, "", `request.time`, "a condition must be true or false, but this is of type timestamp", place{0, 1, 1}},
		{aSecret, "", `request.time < timestamp("tomorrow")`, "timestamp", place{25, 1, 26}},
		{aSecret, "", `request.time - duration("a day") < request.time`, "duration", place{24, 1, 25}},
		{aSecret, "", `[1].exists(x, x > 0)`, "conditions in IAM have no exists()", place{10, 1, 11}},
		{aSecret, "", `has(request.time)`, "conditions in IAM have no has()", place{3, 1, 4}},
		{aSecret, "", `resource.name.matches("a.*")`, "resource.name takes only ==, !=, startsWith, endsWith, extract", place{0, 1, 1}},
		{aSecret, "", `"a".matches("a.*")`, "IAM does not know matches()", place{11, 1, 12}},
		{aSecret, "", `resource.name.contains("a")`, "resource.name takes only ==, !=, startsWith, endsWith, extract", place{0, 1, 1}},
		{aSecret, "", `resource.type.startsWith("secret")`, "resource.type takes only ==, !=", place{0, 1, 1}},
		{aSecret, "", `resource.name.startsWith("projects/acme-agents/secrets/")`, `the number of the project, so "projects/acme-agents" never matches`, place{25, 1, 26}},
		{aSecret, "", `request.path == "/"`, "request.path is not known to a secret, so this would never grant", place{0, 1, 1}},
		{anSA, "", `true || resource.name == "x"`, "resource.name is not known to a service account, so this would never grant", place{8, 1, 9}},
		{anSA, "", `resource.type == "iam.googleapis.com/ServiceAccount"`, "never grant", place{0, 1, 1}},
		{"projects/acme-agents/topics/reports", "", `true`, "a topic takes no conditions", place{0, 1, 1}},
		{aProject, "roles/viewer", `true`, "basic roles take no conditions", place{0, 1, 1}},
		{aBucket, "roles/storage.legacyBucketReader", `true`, "legacy bucket role", place{0, 1, 1}},
		{aSecret, "", strings.Repeat(`true && `, 11) + `!false`, "12 logical operators; with the 1 that a run adds it would have 13", place{0, 1, 1}},
		{aBucket + "/2026/", "", strings.Repeat(`true && `, 10) + `!false`, "11 logical operators; with the 2 that a run adds it would have 13", place{0, 1, 1}},
	} {
		if tt.role == "" {
			tt.role = "roles/x.y"
		}
		errs := CheckCondition(on(t, tt.name, tt.role, tt.condition), Window{})
		if len(errs) == 0 {
			t.Errorf("%s on %s: accepted", tt.condition, tt.name)
			continue
		}
		if e := errs[0]; !strings.Contains(e.Message, tt.want) || (place{e.Offset, e.Line, e.Column}) != tt.at {
			t.Errorf("%s on %s:\ngot  %+v\nwant %+v %s", tt.condition, tt.name, errs, tt.at, tt.want)
		}
	}
}

func TestCheckConditionReportsEverything(t *testing.T) {
	t.Parallel()
	errs := CheckCondition(on(t, aSecret, "roles/x.y", `resource.tipe == "a" || request.path == "b"`), Window{})
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	want := []string{
		"IAM does not know resource.tipe; did you mean resource.type?",
		"request.path is not known to a secret, so this would never grant",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExpressions(t *testing.T) {
	t.Parallel()
	until := policy.UntilExpression(time.Date(2026, 1, 2, 4, 4, 5, 999, time.FixedZone("CET", 3600)))
	for _, tt := range []struct{ got, want string }{
		{until, `request.time < timestamp("2026-01-02T03:04:05Z")`},
		{policy.PrefixExpression("b", `2026/"a"\`), `resource.name.startsWith("projects/_/buckets/b/objects/2026/\"a\"\\")`},
		{policy.And(), ""},
		{policy.And("a || b"), "a || b"},
		{policy.And("a == 1", until), `a == 1 && ` + until},
		{policy.And("a || b", until), `(a || b) && ` + until},
		{policy.And("a ? b : c", until), `(a ? b : c) && ` + until},
		{policy.And("a // b", until), "(a // b\n) && " + until},
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
}

// evaluate runs a condition as a service would: an error is no access.
func evaluate(t *testing.T, expr, name string, at time.Time) bool {
	t.Helper()
	e, err := dialect()
	if err != nil {
		t.Fatal(err)
	}
	compiled, issues := e.Compile(expr)
	if issues.Err() != nil {
		t.Fatalf("%s: %v", expr, issues.Err())
	}
	program, err := e.Program(compiled)
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := program.Eval(map[string]any{"request.time": at, "resource.name": name})
	if err != nil {
		return false
	}
	return out.Value() == true
}

// Whatever the user's condition, ours bounds it: no way of writing one gets round the
// end of the run or the prefix.
func FuzzAnd(f *testing.F) {
	for _, s := range []string{`true`, `true || true`, `true // `, `true ? true : false`, "true\n//", `"(" == ")"`, `"//" == "//"`, "true //\r", `[true][0]`} {
		f.Add(s, "2026/", "2026/x")
	}
	f.Add(`resource.name != ""`, "\"\\\n\x00\u202e", "\"\\\n\x00\u202e.txt")
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, condition, prefix, object string) {
		e, err := dialect()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{condition, prefix, object} {
			if s != strings.ToValidUTF8(s, "") {
				return
			}
		}
		checked, issues := e.Compile(condition)
		if issues.Err() != nil || !checked.OutputType().IsExactType(cel.BoolType) {
			return
		}
		expr := policy.And(condition, policy.PrefixExpression("b", prefix), policy.UntilExpression(end))
		name := "projects/_/buckets/b/objects/" + object
		before := end.Add(-time.Second)
		if got, want := evaluate(t, expr, name, before), evaluate(t, condition, name, before) && strings.HasPrefix(object, prefix); got != want {
			t.Errorf("%s\non %q is %v, want %v", expr, object, got, want)
		}
		if evaluate(t, expr, name, end) {
			t.Errorf("%s\nholds at the end", expr)
		}
	})
}

func FuzzCheckCondition(f *testing.F) {
	for _, s := range []string{`request.time < timestamp("2026-01-01T00:00:00Z")`, "a\n.b", `resource.name.extract("{x}")`, `{"a": [1]}.a`, `!(`, "é.è"} {
		f.Add(s)
	}
	g := on(f, aSecret, "roles/x.y", "")
	f.Fuzz(func(t *testing.T, condition string) {
		g.Condition = condition
		for _, e := range CheckCondition(g, Window{}) {
			if lines := strings.Split(condition, "\n"); e.Offset < 0 || e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1 || e.Message == "" {
				t.Errorf("%q: impossible place %+v", condition, e)
			}
		}
	})
}
