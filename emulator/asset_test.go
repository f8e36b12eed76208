package emulator

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const wholeCompany = "organizations/123456789012"

// searched returns the resources that a search finds, all pages of it.
func (l *lab) searched(scope, query, pageSize string) []string {
	l.t.Helper()
	var names []string
	for token := ""; ; {
		r := l.must(l.operator, "GET", "https://cloudasset.googleapis.com/v1/"+scope+":searchAllIamPolicies?"+
			url.Values{"query": {query}, "pageSize": {pageSize}, "pageToken": {token}}.Encode(), "")
		var page struct {
			Results []struct {
				Resource string
				Policy   struct{ Bindings []iam.Binding }
			}
			NextPageToken string
		}
		if err := json.Unmarshal([]byte(r.raw), &page); err != nil {
			l.t.Fatal(err)
		}
		for _, v := range page.Results {
			if len(v.Policy.Bindings) == 0 {
				l.t.Errorf("%s was found, and no binding of it", v.Resource)
			}
			names = append(names, v.Resource)
		}
		if token = page.NextPageToken; token == "" {
			return names
		}
	}
}

func TestSearchAllPolicies(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-fresh")
	member := "serviceAccount:" + email
	bind := func() {
		w := l.getPolicy(3)
		w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{member}})
		if r := l.setPolicy(w); r.code != 200 {
			t.Fatal(r.raw)
		}
	}
	bind()
	l.must(l.operator, "PATCH", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales",
		`{"access":[{"role":"OWNER","specialGroup":"projectOwners"},{"role":"READER","userByEmail":"`+email+`"}]}`)
	l.must(l.operator, "PUT", "https://storage.googleapis.com/storage/v1/b/acme-reports/iam",
		`{"bindings":[{"role":"roles/storage.objectViewer","members":["`+member+`"]}]}`)

	project := "//cloudresourcemanager.googleapis.com/projects/acme-data"
	dataset, bucket := "//bigquery.googleapis.com/projects/acme-data/datasets/sales", "//storage.googleapis.com/acme-reports"
	everywhere := []string{dataset, project, bucket}
	check := func(what, scope, query string, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, l.searched(scope, query, "1")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("the organization", wholeCompany, `policy:"`+email+`"`, everywhere)
	check("a word alone", wholeCompany, strings.ToUpper(email), everywhere)
	check("two conditions", wholeCompany, `policy:"`+email+`" AND policy:roles/browser`, []string{project})
	check("a project", "projects/acme-data", `policy:"`+email+`"`, everywhere)
	check("another project", "projects/567890123456", `policy:"`+email+`"`, nil)
	check("somebody else", wholeCompany, `policy:"nobody@acme.example"`, nil)

	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	check("a tombstone by its email", wholeCompany, `policy:"`+email+`"`, everywhere)
	check("a tombstone by its beginning", wholeCompany, `policy:"deleted:serviceAccount:ti-"`, everywhere)

	search := "https://cloudasset.googleapis.com/v1/" + wholeCompany + ":searchAllIamPolicies?query="
	l.want(l.do(mara, "GET", search+"x", ""), 403, "PERMISSION_DENIED")
	l.want(l.do(l.operator, "GET", search+"roles:x", ""), 501, "UNIMPLEMENTED")
	l.want(l.do(l.operator, "GET", "https://cloudasset.googleapis.com/v1/projects/none:searchAllIamPolicies", ""), 403, "PERMISSION_DENIED")
}

// The search shows a policy as it was, for as long as the lag says.
func TestSearchLag(t *testing.T) {
	t.Parallel()
	now := epoch
	l := newLab(t, func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Lag = wire.Lag{Search: wire.Delay{Min: 10 * time.Minute}}
	})
	email := l.account("ti-fresh")
	found := func() bool { return len(l.searched(wholeCompany, `policy:"`+email+`"`, "500")) > 0 }
	before := l.getPolicy(3)
	with := before
	with.Bindings = append(with.Bindings[:len(with.Bindings):len(with.Bindings)], iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}})
	steps := []struct {
		after time.Duration
		write *iam.PolicyJSON
		want  bool
	}{
		{0, &with, false},
		{9 * time.Minute, nil, false},
		{time.Minute, nil, true},
		{time.Minute, &before, true},
		{10*time.Minute - time.Second, nil, true},
		{time.Second, nil, false},
	}
	for i, s := range steps {
		now = now.Add(s.after)
		if s.write != nil {
			w := *s.write
			w.Etag = l.getPolicy(3).Etag
			if r := l.setPolicy(w); r.code != 200 {
				t.Fatal(r.raw)
			}
		}
		if got := found(); got != s.want {
			t.Errorf("step %d: found is %v, want %v", i, got, s.want)
		}
	}
}
