package emulator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Whoever a binding of a large policy means finds it by the index, in the policy's order.
func TestConcerning(t *testing.T) {
	t.Parallel()
	var p iam.Policy
	for i := range 4 * iam.IndexedFrom {
		b := iam.Binding{Role: fmt.Sprintf("roles/r%03d", i), Members: []string{
			fmt.Sprintf("user:u%d@acme.example", i%5), fmt.Sprintf("group:G%d@acme.example", i%7)}}
		switch i % 11 {
		case 3:
			b.Members = append(b.Members, iam.AllUsers)
		case 5:
			b.Members = []string{"projectOwner:p"}
		case 7:
			b.Members = []string{"principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/x/subject/S"}
		}
		p.Bindings = append(p.Bindings, b)
	}
	for name, ids := range map[string][]string{
		"nobody":      nil,
		"everybody":   {"allusers"},
		"a user":      {"user:u2@acme.example", "allusers"},
		"two groups":  {"group:g1@acme.example", "group:g4@acme.example"},
		"a federated": {"principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/x/subject/S"},
		"a stranger":  {"user:zoe@acme.example"},
	} {
		who := &iam.Principal{Identities: map[string]bool{}}
		for _, id := range ids {
			who.Identities[id] = true
		}
		var want, got []string
		for _, b := range p.Bindings {
			if slices.ContainsFunc(b.Members, func(m string) bool { return who.Identities[iam.Identity(m)] || strings.HasPrefix(m, "projectOwner:") }) {
				want = append(want, b.Role)
			}
		}
		for _, b := range p.Concerning(who, epoch) {
			got = append(got, b.Role)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What is cached of a large policy is not shown, nor decided by, once it has changed: by
// a write, by a deleted member, by audit configs alone.
func TestLargePolicyChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-large")
	member := "serviceAccount:" + email
	w := l.getPolicy(3)
	w.Version = 3
	for i := range 2 * iam.IndexedFrom {
		w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/storage.objectViewer", Members: []string{fmt.Sprintf("user:u%d@acme.example", i)},
			Condition: &iam.Condition{Title: "t", Expression: fmt.Sprintf("request.time < timestamp('2027-01-01T00:00:%02dZ')", i%60), Description: fmt.Sprint(i)}})
	}
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{member}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	token := l.mint(email)
	l.must(token, "GET", dataPolicy, "")
	first := l.getPolicy(3)
	if diff := cmp.Diff(first, l.getPolicy(3)); diff != "" {
		t.Errorf("two reads differ:\n%s", diff)
	}
	if v1 := l.getPolicy(1); v1.Version != 1 || v1.Etag != first.Etag || cmp.Equal(v1.Bindings, first.Bindings) {
		t.Errorf("a read of version 1 is of version %d", v1.Version)
	}

	l.Advance(time.Second)
	l.must(l.operator, "POST", dataPolicy+":setIamPolicy",
		`{"updateMask":"auditConfigs","policy":{"auditConfigs":[{"service":"allServices","auditLogConfigs":[{"logType":"DATA_READ"}]}]}}`)
	if got := l.getPolicy(3); got.Etag == first.Etag || len(got.AuditConfigs) != 1 || !cmp.Equal(got.Bindings, first.Bindings) {
		t.Errorf("after a change of audit configs: etag %s, %d audit configs", got.Etag, len(got.AuditConfigs))
	}

	w = l.getPolicy(3)
	w.Bindings = slices.DeleteFunc(w.Bindings, func(b iam.Binding) bool { return b.Role == "roles/browser" })
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	l.want(l.do(token, "GET", dataPolicy, ""), 403, "PERMISSION_DENIED")

	w = l.getPolicy(3)
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{member}})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	l.must(token, "GET", dataPolicy, "")
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	if got := fmt.Sprint(l.getPolicy(3).Bindings); !strings.Contains(got, "deleted:"+member+"?uid=") || strings.Contains(got, "["+member+"]") {
		t.Errorf("after the deletion of a member the policy is %s", got)
	}
}
