package resource

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in           string
		kind, full   string
		str          string // "" means in
		prefix, proj string
	}{
		{"projects/acme-agents", "project", "//cloudresourcemanager.googleapis.com/projects/acme-agents", "", "", "acme-agents"},
		{"projects/123456789012", "project", "//cloudresourcemanager.googleapis.com/projects/123456789012", "", "", "123456789012"},
		{"projects/example.com:agents", "project", "//cloudresourcemanager.googleapis.com/projects/example.com:agents", "", "", "example.com:agents"},
		{"folders/42", "folder", "//cloudresourcemanager.googleapis.com/folders/42", "", "", ""},
		{"organizations/42", "organization", "//cloudresourcemanager.googleapis.com/organizations/42", "", "", ""},
		{"gs://acme-reports", "bucket", "//storage.googleapis.com/projects/_/buckets/acme-reports", "", "", ""},
		{"gs://acme-reports/", "bucket", "//storage.googleapis.com/projects/_/buckets/acme-reports", "gs://acme-reports", "", ""},
		{"gs://acme-reports/2026/", "bucket", "//storage.googleapis.com/projects/_/buckets/acme-reports", "gs://acme-reports", "2026/", ""},
		{"gs://reports.example.com/a b/?x=\"1\"/é", "bucket", "//storage.googleapis.com/projects/_/buckets/reports.example.com", "gs://reports.example.com", "a b/?x=\"1\"/é", ""},
		{"//storage.googleapis.com/projects/_/buckets/acme-reports", "bucket", "//storage.googleapis.com/projects/_/buckets/acme-reports", "gs://acme-reports", "", ""},
		{"projects/_/buckets/acme-reports", "bucket", "//storage.googleapis.com/projects/_/buckets/acme-reports", "gs://acme-reports", "", ""},
		{"bq://acme-agents.sales", "dataset", "//bigquery.googleapis.com/projects/acme-agents/datasets/sales", "", "", "acme-agents"},
		{"bq://acme-agents:sales", "dataset", "//bigquery.googleapis.com/projects/acme-agents/datasets/sales", "bq://acme-agents.sales", "", "acme-agents"},
		{"bq://example.com:agents.sales", "dataset", "//bigquery.googleapis.com/projects/example.com:agents/datasets/sales", "", "", "example.com:agents"},
		{"bq://example.com:agents:sales", "dataset", "//bigquery.googleapis.com/projects/example.com:agents/datasets/sales", "bq://example.com:agents.sales", "", "example.com:agents"},
		{"projects/acme-agents/datasets/sales", "dataset", "//bigquery.googleapis.com/projects/acme-agents/datasets/sales", "bq://acme-agents.sales", "", "acme-agents"},
		{"projects/acme-data/datasets/sales/tables/Bestellungen 2026-é", "table", "//bigquery.googleapis.com/projects/acme-data/datasets/sales/tables/Bestellungen 2026-é", "", "", "acme-data"},
		{"projects/acme-agents/topics/reports", "topic", "//pubsub.googleapis.com/projects/acme-agents/topics/reports", "", "", "acme-agents"},
		{"projects/acme-agents/subscriptions/a+b%c", "subscription", "//pubsub.googleapis.com/projects/acme-agents/subscriptions/a+b%c", "", "", "acme-agents"},
		{"projects/acme-agents/secrets/api-key", "secret", "//secretmanager.googleapis.com/projects/acme-agents/secrets/api-key", "", "", "acme-agents"},
		{"//secretmanager.googleapis.com/projects/42/secrets/api-key", "secret", "//secretmanager.googleapis.com/projects/42/secrets/api-key", "projects/42/secrets/api-key", "", "42"},
		{"projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com", "service account", "//iam.googleapis.com/projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com", "", "", "acme-agents"},
		{"projects/acme-agents/serviceAccounts/12-compute@developer.gserviceaccount.com", "service account", "//iam.googleapis.com/projects/acme-agents/serviceAccounts/12-compute@developer.gserviceaccount.com", "", "", "acme-agents"},
		{"projects/acme-agents/serviceAccounts/104857600000000000001", "service account", "//iam.googleapis.com/projects/acme-agents/serviceAccounts/104857600000000000001", "", "", "acme-agents"},
	} {
		name, prefix, err := Parse(tt.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		if tt.str == "" {
			tt.str = tt.in
		}
		if name.Type() != Lookup(tt.kind) || name.Full() != tt.full || name.String() != tt.str || prefix != tt.prefix || name.Project() != tt.proj {
			t.Errorf("Parse(%q) = %v %s (%s) prefix %q project %q, want %s %s (%s) prefix %q project %q", tt.in,
				name.Type().Kind, name.Full(), name, prefix, name.Project(), tt.kind, tt.full, tt.str, tt.prefix, tt.proj)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want, suggestion string }{
		{"", "a resource is missing", ""},
		{"acme-reports", `did you mean "gs://acme-reports"?`, "gs://acme-reports"},
		{"gs://", "the bucket name is missing", ""},
		{"gs:///x", "the bucket name is missing", ""},
		{"gs://B", `"B" is not a bucket name`, ""},
		{"gs://acme..reports", "is not a bucket name", ""},
		{"gs://" + strings.Repeat("a", 64), "is not a bucket name", ""},
		{"gs://acme-reports/2026/*", `takes no wildcard, it covers every name that begins so; write "gs://acme-reports/2026/"`, "gs://acme-reports/2026/"},
		{"gs://acme-reports/**", `write "gs://acme-reports/"`, "gs://acme-reports/"},
		{"gs://acme-reports/" + strings.Repeat("a", 1025), "at most 1024 bytes", ""},
		{"gs://acme-reports/a\nb", "no control characters", ""},
		{"gs://acme-reports/\xff", "must be UTF-8", ""},
		{"s3://acme-reports", "s3:// names no resource; accepted are projects/{project}", ""},
		{"bq://acme-agents", "write it as bq://{project}.{dataset}", ""},
		{"bq://acme-agents.sales/t", "a dataset takes no prefix", ""},
		{"bq://acme-agents.sales.orders", "is not a project id", ""},
		{"bq://acme-agents.2026-01", `"2026-01" is not a dataset id`, ""},
		{"projects/p", `"p" is not a project id (6 to 30`, ""},
		{"projects/Acme-Agents", "is not a project id", ""},
		{"projects/", "the project id is missing", ""},
		{"projects/-", "is not a project id", ""},
		{"project/acme-agents", `did you mean "projects/acme-agents"?`, "projects/acme-agents"},
		{"folders/abc", `"abc" is not a folder number (digits only)`, ""},
		{"organisations/42", `did you mean "organizations/42"?`, "organizations/42"},
		{"projects/acme-agents/secret/api-key", `did you mean "projects/acme-agents/secrets/api-key"?`, "projects/acme-agents/secrets/api-key"},
		{"projects/acme-agents/secrets/api-key/", `did you mean "projects/acme-agents/secrets/api-key"?`, "projects/acme-agents/secrets/api-key"},
		{"projects/acme-agents/serviceaccounts/robot@acme-agents.iam.gserviceaccount.com", "serviceAccounts/robot", "projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com"},
		{"robot@acme-agents.iam.gserviceaccount.com", "did you mean", "projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com"},
		{"projects/acme-agents/serviceAccounts/jo@example.com", `"jo@example.com" is not a service account`, ""},
		{"projects/acme-agents/topics/ab", "is not a topic id", ""},
		{"projects/acme-data/datasets/sales/tables/a.b", "is not a table id", ""},
		{"projects/acme-agents/queues/q", "no resource has this form; accepted are", ""},
		{"//storage.googleapis.com/projects/_/buckets/acme-reports/objects/2026/", `did you mean "gs://acme-reports/2026/"?`, "gs://acme-reports/2026/"},
		{"//compute.googleapis.com/projects/acme-agents/zones/z/instances/i", "nothing can be bound on resources of compute.googleapis.com", ""},
		{"//pubsub.googleapis.com/projects/acme-agents/topic/reports", "did you mean", "//pubsub.googleapis.com/projects/acme-agents/topics/reports"},
		{"//pubsub.googleapis.com/projects/acme-agents/secrets/api-key", "no resource has this form", ""},
		{"//", "is not a full resource name", ""},
	} {
		name, _, err := Parse(tt.in)
		if err == nil {
			t.Errorf("Parse(%q) = %s, want an error", tt.in, name.Full())
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q): %v\nwant an error with %q", tt.in, err, tt.want)
		}
		if got := Suggest(tt.in); got != tt.suggestion {
			t.Errorf("Suggest(%q) = %q, want %q", tt.in, got, tt.suggestion)
		}
		if tt.suggestion != "" {
			if _, _, err := Parse(tt.suggestion); err != nil {
				t.Errorf("the suggestion for %q is refused: %v", tt.in, err)
			}
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, get string }{
		{"projects/acme-agents", "v3/projects/acme-agents:getIamPolicy"},
		{"projects/example.com:agents", "v3/projects/example.com:agents:getIamPolicy"},
		{"gs://acme-reports/2026/", "storage/v1/b/acme-reports/iam"},
		{"bq://acme-agents.sales", "bigquery/v2/projects/acme-agents/datasets/sales"},
		{"projects/acme-agents/topics/a%2Fb", "v1/projects/acme-agents/topics/a%252Fb:getIamPolicy"},
		{"projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com", "v1/projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com:getIamPolicy"},
	} {
		name, _, err := Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := name.Expand(name.Type().API.GetPath); got != tt.get {
			t.Errorf("path of %s = %q, want %q", tt.in, got, tt.get)
		}
	}
}

func TestZeroName(t *testing.T) {
	t.Parallel()
	var n Name
	if !n.IsZero() || n.Type() != nil || n.Full() != "" || n.String() != "" || n.Project() != "" || n.Expand("v1/{project}") != "v1/" {
		t.Errorf("the zero name says something: %q %q", n.Full(), n.String())
	}
}

// Every row is complete, and its example is a name of its own type.
func TestTable(t *testing.T) {
	t.Parallel()
	kinds := map[string]bool{}
	for _, typ := range Types() {
		if kinds[typ.Kind] {
			t.Errorf("%s stands in the table twice", typ.Kind)
		}
		kinds[typ.Kind] = true
		name, _, err := Parse(typ.Example)
		if err != nil {
			t.Errorf("example of %s: %v", typ.Kind, err)
			continue
		}
		if name.Type() != typ || name.String() != typ.Example {
			t.Errorf("example of %s = %s %s", typ.Kind, name.Type().Kind, name)
		}
		a := typ.API
		if a.Host == "" || a.GetVerb == "" || a.SetVerb == "" || (a.TestVerb == "") != (a.TestPath == "") || (a.TestVerb == "") != (len(typ.Testable) == 0) {
			t.Errorf("%s: incomplete row: %+v", typ.Kind, a)
		}
		for _, path := range []string{a.GetPath, a.SetPath, a.TestPath} {
			if got := name.Expand(path); strings.ContainsAny(got, "{}") || strings.Contains(got, "//") {
				t.Errorf("%s: %s expands to %q", typ.Kind, path, got)
			}
		}
	}
	if got := Lookup("toaster"); got != nil {
		t.Errorf("Lookup(toaster) = %v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, typ := range Types() {
		f.Add(typ.Example)
		name, _, err := Parse(typ.Example)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name.Full())
		f.Add(name.Relative())
	}
	for _, s := range []string{"gs://b-b-b/x*", "bq://example.com:p1:d", "//", "://", "projects/{project}", "projects/acme-agents/topics/%7B", "gs://a.b.c/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, prefix, err := Parse(s)
		if err != nil {
			if !name.IsZero() || prefix != "" {
				t.Errorf("Parse(%q) refused and named %s", s, name)
			}
			if meant := Suggest(s); meant != "" {
				if _, _, err := Parse(meant); err != nil {
					t.Errorf("Suggest(%q) = %q, which is refused: %v", s, meant, err)
				}
			}
			return
		}
		if full, err := ParseFull(name.Full()); err != nil || full != name {
			t.Errorf("ParseFull(%q) = %v, %v, want %v", name.Full(), full, err, name)
		}
		for _, form := range []string{name.Full(), name.String(), name.Relative()} {
			if again, _, err := Parse(form); err != nil || again != name {
				t.Errorf("Parse(%q) = %v, %v, want %v", form, again, err, name)
			}
		}
		if prefix != "" {
			if again, p, err := Parse(name.String() + "/" + prefix); err != nil || again != name || p != prefix {
				t.Errorf("Parse of %s with prefix %q = %v, %q, %v", name, prefix, again, p, err)
			}
		}
		if path := name.Expand(name.Type().API.GetPath); strings.ContainsAny(path, " \"{}") {
			t.Errorf("path of %s = %q", name, path)
		}
	})
}
