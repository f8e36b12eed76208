package emulator

import (
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// A project that was shut down is seen and restored, and gives nobody anything else: not by
// its own policy, nor by those of what lies in it, nor to the accounts that are its own.
func TestDeletedProject(t *testing.T) {
	t.Parallel()
	const (
		v1      = crm + "v1/projects/acme-data"
		v3      = crm + "v3/projects/acme-data"
		dataset = "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets"
		buckets = "https://storage.googleapis.com/storage/v1/b"
	)
	for _, at := range []string{v1, v3} {
		l := newLab(t)
		bucket := buckets + "/acme-reports/o"
		l.must(l.operator, "GET", bucket, "")
		l.want(l.do(mara, "DELETE", at, ""), 403, "PERMISSION_DENIED")
		l.must(l.operator, "DELETE", at, "")
		for _, c := range []struct{ verb, url, body, reason string }{
			{"GET", dataset, "", "CONSUMER_INVALID"},
			{"GET", iamAPI + "projects/acme-data/serviceAccounts", "", "CONSUMER_INVALID"},
			{"GET", bucket, "", ""},
			{"POST", v1 + ":setIamPolicy", `{"policy":{}}`, ""},
		} {
			if r := l.do(l.operator, c.verb, c.url, c.body); r.code != 403 || c.reason != "" && r.reason() != c.reason {
				t.Errorf("%s %s in a deleted project: %d %s", c.verb, c.url, r.code, r.raw)
			}
		}
		if r := l.must(l.operator, "GET", v1, ""); r.str("lifecycleState") != "DELETE_REQUESTED" {
			t.Errorf("the deleted project is %s", r.raw)
		}
		if r := l.must(l.operator, "GET", v3, ""); r.str("state") != "DELETE_REQUESTED" || r.str("deleteTime") == "" {
			t.Errorf("the deleted project is %s", r.raw)
		}
		for query, shown := range map[string]bool{
			"v1/projects": true, "v1/projects?filter=lifecycleState:ACTIVE": false, "v1/projects?filter=lifecycleState%3DDELETE_REQUESTED": true,
			"v3/projects:search?query=state:ACTIVE": false, "v3/projects:search": true,
		} {
			if r := l.must(l.operator, "GET", crm+query, ""); strings.Contains(r.raw, `"acme-data"`) != shown {
				t.Errorf("%s: the deleted project is shown: %v", query, !shown)
			}
		}
		l.want(l.do(l.operator, "DELETE", at, ""), 400, "FAILED_PRECONDITION")
		l.must(l.operator, "POST", at+":undelete", "{}")
		l.want(l.do(l.operator, "POST", at+":undelete", "{}"), 400, "FAILED_PRECONDITION")
		l.must(l.operator, "GET", dataset, "")
		l.must(l.operator, "GET", bucket, "")

		l.must(l.operator, "DELETE", at, "")
		l.Advance(iam.UndeletePeriod)
		l.want(l.do(l.operator, "POST", at+":undelete", "{}"), 403, "PERMISSION_DENIED")
		l.want(l.do(l.operator, "GET", at, ""), 403, "PERMISSION_DENIED")
		if r := l.must(l.operator, "GET", crm+"v1/projects", ""); strings.Contains(r.raw, `"acme-data"`) {
			t.Errorf("a project that is gone is listed: %s", r.raw)
		}
	}
}

// The accounts of a project that was shut down are refused elsewhere too, and whoever names
// it to pay.
func TestDeletedProjectsAccounts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("worker")
	token := l.mint(email)
	l.bindData(grant("roles/pubsub.viewer", "serviceAccount:"+email))
	l.must(token, "GET", "https://pubsub.googleapis.com/v1/projects/acme-data/topics", "")
	l.must(l.operator, "DELETE", crm+"v3/projects/acme-agents", "")
	if r := l.do(token, "GET", "https://pubsub.googleapis.com/v1/projects/acme-data/topics", ""); r.code != 403 || r.reason() != "CONSUMER_INVALID" {
		t.Errorf("an account of a deleted project: %d %s", r.code, r.raw)
	}
}
