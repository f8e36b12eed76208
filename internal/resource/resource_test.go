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
		{"bq://acme-data.sales.orders", "table", "//bigquery.googleapis.com/projects/acme-data/datasets/sales/tables/orders", "projects/acme-data/datasets/sales/tables/orders", "", "acme-data"},
		{"bq://example.com:agents.sales.orders", "table", "//bigquery.googleapis.com/projects/example.com:agents/datasets/sales/tables/orders", "projects/example.com:agents/datasets/sales/tables/orders", "", "example.com:agents"},
		{"//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web", "Cloud Run service", "//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web", "", "", "acme-agents"},
		{"https://run.googleapis.com/v2/projects/acme-agents/locations/europe-west3/services/web", "Cloud Run service", "//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web", "//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web", "", "acme-agents"},
		{"https://europe-west3-run.googleapis.com/v1/projects/acme-agents/locations/europe-west3/services/web", "Cloud Run service", "//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web", "//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web", "", "acme-agents"},
		{"https://www.googleapis.com/compute/v1/projects/acme-agents/zones/europe-west3-a/instances/vm", "Compute instance", "//compute.googleapis.com/projects/acme-agents/zones/europe-west3-a/instances/vm", "projects/acme-agents/zones/europe-west3-a/instances/vm", "", "acme-agents"},
		{"https://compute.googleapis.com/compute/beta/projects/acme-agents/global/images/debian?alt=json", "Compute image", "//compute.googleapis.com/projects/acme-agents/global/images/debian", "projects/acme-agents/global/images/debian", "", "acme-agents"},
		{"https://www.googleapis.com/storage/v1/b/acme-reports", "bucket", "//storage.googleapis.com/projects/_/buckets/acme-reports", "gs://acme-reports", "", ""},
		{"https://storage.googleapis.com/storage/v1/b/acme-reports/managedFolders/2026%2Fq1%2F", "managed folder", "//storage.googleapis.com/projects/_/buckets/acme-reports/managedFolders/2026/q1/", "projects/_/buckets/acme-reports/managedFolders/2026/q1/", "", ""},
		{"https://bigquery.googleapis.com/bigquery/v2/projects/acme-agents/datasets/sales", "dataset", "//bigquery.googleapis.com/projects/acme-agents/datasets/sales", "bq://acme-agents.sales", "", "acme-agents"},
		{"https://secretmanager.europe-west3.rep.googleapis.com/v1/projects/acme-agents/locations/europe-west3/secrets/api-key", "regional secret", "//secretmanager.googleapis.com/projects/acme-agents/locations/europe-west3/secrets/api-key", "projects/acme-agents/locations/europe-west3/secrets/api-key", "", "acme-agents"},
		{"https://sqladmin.googleapis.com/sql/v1beta4/projects/acme-agents/instances/main", "Cloud SQL instance", "//sqladmin.googleapis.com/projects/acme-agents/instances/main", "//sqladmin.googleapis.com/projects/acme-agents/instances/main", "", "acme-agents"},
		{"https://www.googleapis.com/sql/v1beta4/projects/acme-agents/instances/main", "Cloud SQL instance", "//sqladmin.googleapis.com/projects/acme-agents/instances/main", "//sqladmin.googleapis.com/projects/acme-agents/instances/main", "", "acme-agents"},
		{"//bigtable.googleapis.com/projects/acme-agents/instances/main", "Bigtable instance", "//bigtableadmin.googleapis.com/projects/acme-agents/instances/main", "//bigtableadmin.googleapis.com/projects/acme-agents/instances/main", "", "acme-agents"},
		{"gcp-kms://projects/acme-agents/locations/global/keyRings/r/cryptoKeys/k", "KMS key", "//cloudkms.googleapis.com/projects/acme-agents/locations/global/keyRings/r/cryptoKeys/k", "projects/acme-agents/locations/global/keyRings/r/cryptoKeys/k", "", "acme-agents"},
		{"europe-west3-docker.pkg.dev/acme.example/tools/images", "Artifact Registry repository", "//artifactregistry.googleapis.com/projects/acme.example:tools/locations/europe-west3/repositories/images", "//artifactregistry.googleapis.com/projects/acme.example:tools/locations/europe-west3/repositories/images", "", "acme.example:tools"},
		{"europe-west3-docker.pkg.dev/acme-agents/images", "Artifact Registry repository", "//artifactregistry.googleapis.com/projects/acme-agents/locations/europe-west3/repositories/images", "//artifactregistry.googleapis.com/projects/acme-agents/locations/europe-west3/repositories/images", "", "acme-agents"},
		{"billingAccounts/01A2B3-C4D5E6-F7A8B9", "billing account", "//cloudbilling.googleapis.com/billingAccounts/01A2B3-C4D5E6-F7A8B9", "", "", ""},
		{"projects/42/iap_web", "IAP resource", "//iap.googleapis.com/projects/42/iap_web", "", "", "42"},
		{"projects/42/iap_web/compute/services/b", "IAP resource", "//iap.googleapis.com/projects/42/iap_web/compute/services/b", "", "", "42"},
		{"projects/acme-agents/repos/team/code", "source repository", "//sourcerepo.googleapis.com/projects/acme-agents/repos/team/code", "", "", "acme-agents"},
		{"projects/acme-agents/databases/(default)", "Firestore database", "//firestore.googleapis.com/projects/acme-agents/databases/(default)", "", "", "acme-agents"},
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
		{"gs://acme-reports/2026/*", `has no wildcard, it covers every name that begins with it; write "gs://acme-reports/2026/"`, "gs://acme-reports/2026/"},
		{"gs://acme-reports/**", `write "gs://acme-reports/"`, "gs://acme-reports/"},
		{"gs://acme-reports/" + strings.Repeat("a", 1025), "at most 1024 bytes", ""},
		{"gs://acme-reports/a\nb", "no control characters", ""},
		{"gs://acme-reports/\xff", "must be UTF-8", ""},
		{"s3://acme-reports", "s3:// is not the name of a resource; accepted are projects/{project}", ""},
		{"bq://acme-agents", "write it as bq://{project}.{dataset}", ""},
		{"bq://acme-agents.sales/t", "a dataset takes no prefix", ""},
		{"bq://acme-agents.sales.orders.x", "is not a project id", ""},
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
		{"//storage.googleapis.com/projects/_/buckets/acme-reports/2026/", `did you mean "gs://acme-reports/2026/"?`, "gs://acme-reports/2026/"},
		{"//maps.googleapis.com/projects/acme-agents/maps/m", "nothing can be bound on resources of maps.googleapis.com", ""},
		{"projects/acme-agents/queue/q", "see taskiam resources", ""},
		{"projects/acme-agents/location/europe-west3/queues/q", `did you mean "projects/acme-agents/locations/europe-west3/queues/q"?`, "projects/acme-agents/locations/europe-west3/queues/q"},
		{"projects/acme-agents/location/europe-west3/services/web", "see taskiam resources services", ""}, // of two services
		{"projects/acme-agents/locations/europe-west3/services/web", "the name fits more than one type; write one of " +
			"//metastore.googleapis.com/projects/acme-agents/locations/europe-west3/services/web, //run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web", ""},
		{"projects/acme-agents/instances/main", "//bigtableadmin.googleapis.com/projects/acme-agents/instances/main, //spanner.googleapis.com/projects/acme-agents/instances/main, //sqladmin.googleapis.com/projects/acme-agents/instances/main", ""},
		{"projects/acme-agents/locations/{location}/queues/q", `"{location}" is not a location`, ""},
		{"projects/acme-agents/locations/evil.example/secrets/s", `"evil.example" is not a location`, ""},
		{"projects/acme-agents/locations/europe-west3/queues/*", "cannot be a name's part queue", ""},
		{"billingAccounts/123", "is not a billing account", ""},
		{"//storage.googleapis.com/projects/_/buckets/acme-reports/managedFolders/2026", "that end with a slash", ""},
		{"projects/42/iap_webs/compute", "no resource has this form", ""},
		{"https://console.cloud.google.com/run/detail/europe-west3/web", "is a page of the console and not a resource", ""},
		{"https://example.com/v1/projects/acme-agents", "nothing can be bound on resources of example.com", ""},
		{"https://compute.googleapis.com/compute/v1/projects/acme-agents/zones/z/instance/i", "no resource has this form", ""},
		{"https://pubsub.googleapis.com/v1/projects/acme-agents/topics/%zz", "invalid URL escape", ""},
		{"europe-docker.pkg.dev/acme-agents/images/web@sha256:0", "write it as {location}-docker.pkg.dev/{project}/{repository}", "europe-docker.pkg.dev/acme-agents/images"},
		{"europe-docker.pkg.dev/acme.example/tools/images/web:1", "write it as", "europe-docker.pkg.dev/acme.example:tools/images"},
		{"robot@tools.acme.example.iam.gserviceaccount.com", "did you mean", "projects/acme.example:tools/serviceAccounts/robot@tools.acme.example.iam.gserviceaccount.com"},
		{"europe-docker.pkg.dev/acme-agents", "write it as {location}-docker.pkg.dev/{project}/{repository}", ""},
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
		{"//storage.googleapis.com/projects/_/buckets/acme-reports/managedFolders/2026/q 1/", "storage/v1/b/acme-reports/managedFolders/2026%2Fq%201%2F/iam"},
		{"projects/acme-agents/repos/team/c?d", "v1/projects/acme-agents/repos/team/c%3Fd:getIamPolicy"},
		{"projects/acme-agents/zones/z/instances/i", "compute/v1/projects/acme-agents/zones/z/instances/i/getIamPolicy"},
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

// What belongs to a location is asked for there, where the service says so.
func TestHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"projects/acme-agents/secrets/s":                                   "secretmanager.googleapis.com",
		"projects/acme-agents/locations/europe-west3/secrets/s":            "secretmanager.europe-west3.rep.googleapis.com",
		"projects/acme-agents/locations/europe-west3/models/m":             "europe-west3-aiplatform.googleapis.com",
		"projects/acme-agents/locations/global/models/m":                   "aiplatform.googleapis.com",
		"//run.googleapis.com/projects/acme-agents/locations/l/services/s": "run.googleapis.com",
	} {
		name, _, err := Parse(in)
		if err != nil {
			t.Error(err)
		} else if got := name.Host(); got != want {
			t.Errorf("%s is reached at %s, want %s", in, got, want)
		}
	}
}

func TestZeroName(t *testing.T) {
	t.Parallel()
	var n Name
	if !n.IsZero() || n.Type() != nil || n.Full() != "" || n.String() != "" || n.Project() != "" || n.Host() != "" || n.Expand("v1/{project}") != "v1/" {
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
		if typ.ID == "" || typ.Service == "" || a.Host == "" {
			t.Errorf("%s: incomplete row: %+v", typ.Kind, typ)
		}
		for _, o := range typ.rivals {
			if o.Service == typ.Service {
				t.Errorf("a name of %s may be one of %s of the same service", typ.A(), o.A())
			}
		}
		if !typ.Bindable() {
			if typ.Conditions || a.SetVerb != "" {
				t.Errorf("%s: a row of what cannot be bound on: %+v", typ.Kind, typ)
			}
			continue
		}
		if a.GetVerb == "" || a.SetVerb == "" || (a.TestVerb == "") != (a.TestPath == "") || (a.TestVerb == "") != (len(typ.Testable) == 0) {
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

// What is known by hand is of types and services that are there.
func TestKnown(t *testing.T) {
	t.Parallel()
	ids, services, kinds := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, typ := range Types() {
		ids[typ.ID], services[typ.Service], kinds[typ.Kind] = true, true, true
	}
	there := func(what string, id string) {
		if !ids[id] {
			t.Errorf("%s names %s, which is not in the table", what, id)
		}
	}
	for id := range attributes {
		there("attributes", id)
	}
	for id := range shortForms {
		there("shortForms", id)
	}
	for id := range readForms {
		there("readForms", id)
	}
	for id := range testable {
		there("testable", id)
	}
	for id := range examples {
		there("examples", id)
	}
	for api := range conditional {
		if !services[api+".googleapis.com"] {
			t.Errorf("conditional names %s, which is not in the table", api)
		}
	}
	for service := range aliases {
		if !services[service] {
			t.Errorf("aliases names %s, which is not in the table", service)
		}
	}
	for _, kind := range familiar {
		if !kinds[kind] {
			t.Errorf("familiar names %s, which is not in the table", kind)
		}
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
		f.Add("https://" + name.Host() + "/" + strings.TrimSuffix(name.Expand(typ.API.GetPath), ":getIamPolicy"))
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
			if form == name.Relative() && form != name.String() && len(name.Type().rivals) > 0 {
				continue // what several services have
			}
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

func TestPatternsCompile(t *testing.T) {
	for name, v := range variables {
		if v.pattern().MatchString("") {
			t.Errorf("%s: %s takes nothing for a name", name, v.pattern())
		}
	}
}
