package emulator

import (
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// open are the methods that anybody may call: those by which a login is come by or
// looked into, public keys, and the description of BigQuery's API.
var open = []string{
	"oauth2.token", "oauth2.tokeninfo", "oauth2.v1.tokeninfo", "sts.token", "sts.introspect",
	"oauth2.certs", "serviceAccounts.x509", "serviceAccounts.jwk", "bigquery.discovery",
}

// TestNoLogin calls every method that there is, at its production name and by path,
// without a login, with one that is none, and with one of another kind: all are 401.
// Else a client that lost its login on the way would pass for one that may.
func TestNoLogin(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	variable := regexp.MustCompile(`\{[^}]*\}`)
	names := map[string]string{
		"{bucket}": "acme-reports", "{object}": "2026%2F01.csv", "{object...}": "2026/01.csv",
		"{project}": "acme-agents", "{account}": "ci-runner@acme-agents.iam.gserviceaccount.com",
		"{topic}": "reports", "{subscription}": "reports-audit", "{secret}": "api-key", "{dataset}": "sales", "{table}": "orders",
	}
	asked := map[string]int{}
	for _, r := range l.wire.Router.Routes {
		if r.Method.Public {
			if !slices.Contains(open, r.Method.ID) {
				t.Errorf("%s is open to anybody", r.Method.ID)
			}
			continue
		}
		_, path, _ := strings.Cut(r.Method.Pattern, " ")
		path = variable.ReplaceAllStringFunc(path, func(v string) string {
			if name, ok := names[v]; ok {
				return name
			}
			return "x"
		})
		if r.Verb == "POST" && strings.HasPrefix(path, "/upload/") || strings.HasPrefix(path, "/resumable/") {
			path += "?uploadType=media&name=new"
		}
		for _, host := range []string{r.Method.Host, "127.0.0.1:8790"} {
			for _, header := range []string{"", "Bearer", "Bearer ya29.nobody", "Bearer e30.e30.e30", "Basic b2xpdmlhOng="} {
				q := httptest.NewRequest(r.Verb, "http://"+host+path, strings.NewReader("{}"))
				if r.Method.OverGRPC {
					q = q.WithContext(wire.OverGRPC(q.Context(), "google.test.v1.Test/Any"))
				}
				if header != "" {
					q.Header.Set("Authorization", header)
				}
				want := 401
				if header == "" && strings.Contains(r.Method.Pattern, " /{bucket}") { // the XML API has other words
					want = 403
				}
				if got := l.send(q); got.code != want {
					t.Errorf("%s %s%s with Authorization %q is %d: %s", r.Verb, host, path, header, got.code, got.raw)
				}
				asked[r.Method.Host]++
			}
		}
	}
	for _, host := range []string{
		hostIAM, "iamcredentials.googleapis.com", "cloudresourcemanager.googleapis.com", hostStorage,
		"pubsub.googleapis.com", "secretmanager.googleapis.com", hostBigquery, "cloudkms.googleapis.com",
	} {
		if asked[host] == 0 {
			t.Errorf("nothing of %s was asked for", host)
		}
	}
}
