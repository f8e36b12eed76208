package lifecycle_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// Google says the same of a project that does not exist and of one that one may not see; so the hint names both, and
// a project of a similar name. Of a project that one sees, it is known that it exists.
func TestAProjectThatDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newFreshWorld(t, nil)
	source := strings.ReplaceAll(fmt.Sprintf(looksKey, `"key"`), `"acme-agents"`, `"acme-agnets"`)
	const missing = "or there is no project acme-agnets: Google says the same of both; did you mean acme-agents?"
	e := w.engine()
	host := w.plan(e, source)
	_, ofHost := e.Up(t.Context(), host, w.options(host))
	resource := w.plan(e, strings.ReplaceAll(fmt.Sprintf(looksKey, `"key"`), "projects/acme-agents/", "projects/acme-agnets/"))
	_, ofResource := e.Up(t.Context(), resource, w.options(resource))
	_, ofSweep := e.Sweep(t.Context(), lifecycle.SweepOptions{Projects: []string{"acme-agnets"}})
	_, ofRoles := e.SweepRoles(t.Context(), lifecycle.SweepOptions{Projects: []string{"acme-agnets"}})
	_, ofAccount := e.DownAccount(t.Context(), "acme-agnets", host.Email, nil)
	for name, err := range map[string]error{
		"the host": ofHost, "a resource's": ofResource, "sweep": ofSweep, "sweep --roles": ofRoles, "down --account": ofAccount,
	} {
		if hints := fault.Hints(err); !fault.Is(err, fault.Denied) || !slices.Contains(hints, missing) ||
			!slices.Contains(hints, "gcloud projects list") {
			t.Errorf("%s: %v, with hints %q", name, err, hints)
		}
	}
	// Who sees no project at all is told of both too; no name is near.
	fresh := w.engineOf(freshToken)
	plan := w.plan(fresh, fmt.Sprintf(looksKey, `"key"`))
	_, err := fresh.Up(t.Context(), plan, w.options(plan))
	if hints := strings.Join(fault.Hints(err), "\n"); !strings.Contains(hints, "there is no project acme-agents: ") || strings.Contains(hints, "did you mean acme") {
		t.Errorf("who sees nothing: %v, with hints %q", err, hints)
	}
	// That it exists is no question to who sees it.
	w.denyPermissions("iam.serviceAccounts.create")
	plan = w.plan(e, fmt.Sprintf(looksKey, `"key"`))
	_, err = e.Up(t.Context(), plan, w.options(plan))
	if hints := strings.Join(fault.Hints(err), "\n"); !fault.Is(err, fault.Denied) || strings.Contains(hints, "no project") {
		t.Errorf("who sees it: %v, with hints %q", err, hints)
	}
}

// A key that is valid for too long is refused with the hours that are allowed, if the operator may read them.
func TestAKeyThatIsValidForTooLong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		constraint, deny, want string
	}{
		{"iam.serviceAccountKeyExpiryHours=1h", "", `keys may be valid for 1h here, and not for 2h: put ttl = "1h" under [task] in the manifest, or less`},
		{"iam.serviceAccountKeyExpiryHours=1h", "orgpolicy.googleapis.com", "keys may not be valid for 2h here; how long they may: gcloud org-policies describe iam.serviceAccountKeyExpiryHours --project=acme-agents --effective"},
		{"iam.disableServiceAccountKeyUpload", "", `keys are not allowed here: put deliver = ["key", "token"] under [credentials] in the manifest`},
	} {
		w := sickWorld(t, agents, "constraints = [\""+tt.constraint+"\"]")
		w.before = w.snapshot()
		e := w.engine()
		if tt.deny != "" {
			w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
				if r.Host == tt.deny {
					return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
				}
				return nil, nil
			}, nil)
		}
		plan := w.plan(e, fmt.Sprintf(looksKey, `"key"`))
		_, err := e.Up(t.Context(), plan, w.options(plan))
		if hints := fault.Hints(err); !fault.Is(err, fault.Precondition) || !slices.Contains(hints, tt.want) {
			t.Errorf("%s: %v, with hints %q", tt.constraint, err, hints)
		}
		w.wire.step(nil, nil)
		w.asBefore()
	}

	w := sickWorld(t, agents, `constraints = ["iam.serviceAccountKeyExpiryHours=8h"]`)
	result, plan := w.up(fmt.Sprintf(looksKey, `"key"`))
	_, err := w.engine().Renew(t.Context(), result.Run.ID(), lifecycle.RenewOptions{TTL: 9 * 3600e9})
	want := "keys may be valid for 8h here, and not for 9h: taskiam renew " + string(plan.Run) + " --ttl 8h, or less"
	if hints := fault.Hints(err); !slices.Contains(hints, want) {
		t.Errorf("renew: %v, with hints %q", err, hints)
	}
}
