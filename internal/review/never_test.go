package review

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/resource"
)

// A condition that can be true of nothing is refused, with what was probably meant.
func TestConditionsThatNeverHold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 17, 0, 0, 0, time.UTC)
	window := Window{now, now.Add(12 * time.Hour)}
	const (
		full    = `resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/")`
		aFolder = "projects/_/buckets/acme-reports/managedFolders/2026/"
	)
	for _, tt := range []struct{ name, condition, says, fix string }{
		// Names.
		{aBucket, `resource.name.startsWith("//storage.googleapis.com/projects/_/buckets/acme-reports/objects/2026/")`, "no resource.name on gs://acme-reports fits", full},
		{aBucket, `resource.name.startsWith("projects/acme-data/buckets/acme-reports/objects/2026/")`, "there it is projects/_/buckets/acme-reports or", full},
		{aBucket, `resource.name.startsWith("projects/_/buckets/other/objects/2026/")`, "never true", full},
		{aBucket, `resource.name.startsWith("gs://acme-reports/2026/")`, "never true", full},
		{aBucket, `resource.name.startsWith("buckets/acme-reports/objects/2026/")`, "never true", ""},
		{aBucket, `resource.name.startsWith("2026/")`, "never true", ""},
		{aBucket, `"projects/_/buckets/acme-reportz" == resource.name`, "never true", `"projects/_/buckets/acme-reports" == resource.name`},
		{aBucket + "/2026/", `resource.name.startsWith("projects/_/buckets/acme-reports/objects/2025/")`, "never true", full},
		{aBucket + "/2026/", `resource.type == "storage.googleapis.com/Bucket"`, "never true", `resource.type == "storage.googleapis.com/Object"`},
		{aFolder, `resource.name.startsWith("projects/_/buckets/acme-reports/objects/2025/")`, "never true", full},
		{aDataset, `resource.name == "projects/acme-agents/datasets/hr/tables/t"`, "never true", `resource.name == "projects/acme-agents/datasets/sales/tables/t"`},
		{aDataset, `resource.name.startsWith("projects/123456789012/datasets/sales")`, "never true", `resource.name.startsWith("projects/acme-agents/datasets/sales")`},
		{"projects/42/secrets/api-key", `resource.name == "projects/43/secrets/api-key"`, "never true", `resource.name == "projects/42/secrets/api-key"`},
		{aProject, `resource.name.startsWith("//cloudresourcemanager.googleapis.com/projects/acme-agents")`, "never true", `resource.name.startsWith("projects/acme-agents")`},
		{aProject, `resource.name.startsWith("projects/other-project/")`, "never true", `resource.name.startsWith("projects/acme-agents/")`},
		{"folders/42", `resource.name.startsWith("gs://b")`, "never true", `resource.name.startsWith("projects/_/buckets/b")`},
		// Types and services.
		{aBucket, `resource.service == "storage"`, "never true", `resource.service == "storage.googleapis.com"`},
		{aSecret, `resource.type == "secretmanager.googleapis.com/Secretz" && resource.service == "x.googleapis.com"`, "never true", ""},
		{aDataset, `resource.type == "Table"`, "never true", `resource.type == "bigquery.googleapis.com/Table"`},
		// Times.
		{anSA, `request.time < timestamp("2020-01-01T00:00:00Z")`, "this is so at no time of the run", ""},
		{aBucket, full + ` && request.time < timestamp("2020-01-01T00:00:00Z")`, "this is so at no time of the run", full},
		{aBucket, `timestamp("2026-11-28T00:00:00Z") + duration("3600s") >= request.time`, "this is so at no time of the run", ""},
		{aBucket, `request.time > timestamp("2027-01-01T00:00:00Z")`, "this is so at no time of the run", ""},
		{aBucket, `request.time.getFullYear() == 2025`, "never true", ""},
		{aBucket, `request.time > timestamp("2026-11-28T20:00:00Z") && request.time < timestamp("2026-11-28T19:00:00Z")`, "contradict", ""},
		{aBucket, `request.time == timestamp("2026-11-28T20:00:00Z") && request.time != timestamp("2026-11-28T20:00:00Z")`, "contradict", ""},
		// Logic.
		{anSA, `false`, "contradict", ""},
		{anSA, `1 == 2`, "this is always false", ""},
		{aBucket, `!(resource.name.startsWith("projects/_/buckets/acme-reports"))`, "never true", ""},
		{aBucket, `(resource.service == "x" ? true : false) || resource.service != "storage.googleapis.com"`, "never true", ""},
	} {
		errs := CheckCondition(on(t, tt.name, "roles/x.y", tt.condition), window)
		if len(errs) != 1 || !strings.Contains(errs[0].Message, tt.says) {
			t.Errorf("%s on %s: %+v, want %q", tt.condition, tt.name, errs, tt.says)
			continue
		}
		if diff := cmp.Diff(tt.fix, errs[0].Fix); diff != "" {
			t.Errorf("%s on %s: (-want +got)\n%s", tt.condition, tt.name, diff)
		}
		if tt.fix != "" {
			if errs := CheckCondition(on(t, tt.name, "roles/x.y", tt.fix), window); len(errs) > 0 {
				t.Errorf("what is to be pasted is refused: %s: %+v", tt.fix, errs)
			}
		}
	}
}

// What may be true of something is not refused.
func TestConditionsThatMayHold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 17, 0, 0, 0, time.UTC)
	window := Window{now, now.Add(12 * time.Hour)}
	for _, tt := range []struct{ name, condition string }{
		{aBucket, `resource.name == "projects/_/buckets/acme-reports"`},
		{aBucket, `resource.name.startsWith("projects/_/buckets/acme-rep")`},
		{aBucket, `resource.name.endsWith(".csv")`},
		{aBucket, `resource.name.endsWith("ts/acme-reports/objects/a.csv")`},
		{aBucket, `resource.type != "storage.googleapis.com/Bucket" || resource.name.startsWith("projects/_/buckets/other")`},
		{aBucket, `resource.name.extract("/objects/{folder}/2026/") != ""`},
		{aBucket, `resource.name == "projects/_/buckets/acme-reports/managedFolders/a/b/"`},
		{aBucket, `resource.name == "projects/_/buckets/acme-reports/folders/a/"`},
		{aBucket, `!resource.name.startsWith("projects/_/buckets/acme-reports/objects/private/")`},
		{aBucket, `resource.service == "x" || request.time.getHours("Europe/Berlin") == 3`},
		{aBucket, `resource.hasTagKey("1/env")`},
		{aBucket, `request.time.getFullYear("Asia/Tokyo") >= 2026 && request.time.getFullYear() < 2027`},
		{aBucket, `request.time >= timestamp("2026-11-28T18:00:00Z") && request.time <= timestamp("2026-11-28T18:00:00Z")`},
		{aBucket, `request.time > timestamp("2026-11-28T18:00:00Z")`},
		{aBucket + "/2026/", `resource.name.endsWith(".csv")`},
		{aBucket + "/2026/", `resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/01/")`},
		{"projects/_/buckets/acme-reports/managedFolders/2026/", `resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/01/")`},
		{aDataset, `resource.name == "projects/acme-agents/datasets/sales"`},
		{aDataset, `resource.type == "bigquery.googleapis.com/Table" && resource.name.startsWith("projects/acme-agents/datasets/sales/tables/o")`},
		{aSecret, `resource.name.startsWith("projects/123456789012/secrets/api-key/versions/")`},
		{aProject, `resource.name == "projects/123456789012"`},
		{aProject, `resource.name.startsWith("projects/_/buckets/acme-reports/objects/")`},
		{aProject, `resource.name.startsWith("projects/acme-agents/zones/z/instances/i")`},
		{"projects/42", `resource.name.startsWith("projects/acme-agents/datasets/")`},
		{"organizations/42", `resource.name.startsWith("projects/acme-agents/datasets/")`},
		{"projects/acme.example:legacy-tools", `resource.name.startsWith("projects/acme.example:legacy-tools/datasets/")`},
		{anSA, `true`},
		{anSA, `request.time < timestamp("2026-11-28T20:00:00Z") ? true : false`},
	} {
		if errs := CheckCondition(on(t, tt.name, "roles/x.y", tt.condition), window); len(errs) > 0 {
			t.Errorf("%s on %s: %+v", tt.condition, tt.name, errs)
		}
	}
	// Without a time, none is in the past.
	if errs := CheckCondition(on(t, anSA, "roles/x.y", `request.time < timestamp("2020-01-01T00:00:00Z")`), Window{}); len(errs) > 0 {
		t.Errorf("without a time: %+v", errs)
	}
}

// The example of every type that has a name in conditions fits the name that is expected of it.
func TestEveryNameIsOneOfItsThings(t *testing.T) {
	t.Parallel()
	for _, typ := range resource.Types() {
		if !typ.SuppliesName || !typ.Conditions {
			continue
		}
		name, _, err := resource.Parse(typ.Example)
		if err != nil {
			t.Fatal(err)
		}
		path := name.Relative()
		if typ.NumbersProject {
			path = strings.Replace(path, name.Project(), "123456789012", 1)
		}
		if errs := CheckCondition(on(t, typ.Example, "roles/x.y", `resource.name == "`+path+`"`), Window{}); len(errs) > 0 {
			t.Errorf("%s: %+v", typ.Kind, errs)
		}
	}
}

// What has no meaning in an allow policy, and what is written as in other languages, is refused
// with the condition that was meant.
func TestConditionsFromElsewhere(t *testing.T) {
	t.Parallel()
	const name = `resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/")`
	for _, tt := range []struct{ condition, says, fix string }{
		{name + ` || api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("2026/")`, "objectListPrefix\") has no effect in an allow policy", name},
		{`api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('2026/')`, "has no effect", ""},
		{`resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/*.csv")`, "no wildcards", name},
		{`resource.name.endsWith("*.csv")`, "no wildcards", `resource.name.endsWith(".csv")`},
		{`resource.name = "projects/_/buckets/acme-reports"`, "= is not an operator of conditions; write ==", `resource.name == "projects/_/buckets/acme-reports"`},
		{`resource.name === "projects/_/buckets/acme-reports"`, "write ==", `resource.name == "projects/_/buckets/acme-reports"`},
		{`true & request.time.getHours() = 3 and true`, "& is not an operator", `true && request.time.getHours() == 3 && true`},
		{`true OR true`, "OR is not an operator of conditions; write ||", `true || true`},
		{`resource.name = = "x"`, "= is not an operator", ""},
		{`request.time <`, "the condition is not finished: something is missing at its end", ""},
		{`true ? false`, "the condition is not finished: : and what belongs behind it are missing", ""},
		{`(true`, ") is missing at the end", ""},
		{`true)`, ") does not belong here", ""},
		{`resource.name == "abc`, "this string has no end", ""},
		{`resource.name == “x”`, "“ is not a quote", ""},
		{`"\q" == "q"`, `a \ before a character`, ""},
		{`request.time > "2027"`, `> does not work between timestamp and string; write a time as timestamp(`, ""},
		{`request.time.getHour() > 3`, "IAM does not know getHour; did you mean getHours?", ""},
		{`resource.name.startsWith()`, "startsWith of string does not take nothing", ""},
		{`resource.matchTag("a")`, "resource.matchTag does not take string", ""},
		{`"a" && true`, "something of type string where one of type bool belongs", ""},
		{`!"a"`, "! does not work on string", ""},
		{`if (true) true`, "if is a word that CEL keeps for itself", ""},
		{`99999999999999999999 > 1`, "too large", ""},
		{`request.time < timestamp("tomorrow")`, "not a timestamp such as", ""},
		{`request.time - duration("a day") < request.time`, "not a duration such as", ""},
	} {
		errs := CheckCondition(on(t, aBucket, "roles/x.y", tt.condition), Window{})
		if len(errs) == 0 || !strings.Contains(errs[0].Message, tt.says) {
			t.Errorf("%s: %+v, want %q", tt.condition, errs, tt.says)
			continue
		}
		if diff := cmp.Diff(tt.fix, errs[0].Fix); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.condition, diff)
		}
		for _, e := range errs {
			for _, raw := range []string{"yntax error", "overload", "<EOF>", "undeclared", "token"} {
				if strings.Contains(e.Message, raw) {
					t.Errorf("%s: the compiler's own words: %s", tt.condition, e.Message)
				}
			}
		}
	}
}
