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

// What is cached of a large policy is not shown, nor decided by, once it has changed: by
// a write, by a deleted member, by audit configs alone.
func TestLargePolicyChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	email := l.account("ti-large")
	member := "serviceAccount:" + email
	w := l.getPolicy(3)
	w.Version = 3
	for i := range 64 {
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
