package lifecycle_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/fault"
)

// A role that grants nothing, or that does not exist, is refused by plan, doctor and up alike, with
// the command that goes on from there.
func TestNamedRolesThatGrantNothing(t *testing.T) {
	t.Parallel()
	const roles = "https://iam.googleapis.com/v1/projects/acme-data/roles"
	for _, tt := range []struct {
		name, role, says, hint string
		make                   func(*world)
	}{
		{"disabled", "projects/acme-data/roles/named", "the role is disabled and grants nothing", "gcloud iam roles update named --project=acme-data --stage=GA", func(w *world) {
			w.patchRole("projects/acme-data/roles/named?updateMask=stage", `{"stage": "DISABLED"}`)
		}},
		{"deleted", "projects/acme-data/roles/named", "the role is deleted and grants nothing", "gcloud iam roles undelete named --project=acme-data", func(w *world) {
			w.rest(http.MethodDelete, roles+"/named", nil, nil)
		}},
		{"of nobody", "projects/acme-data/roles/nosuch", "there is no such role", "gcloud iam roles list --project=acme-data --show-deleted", nil},
		{"misspelt", "roles/storage.objectVeiwer", "there is no such role", `did you mean role = "roles/storage.objectViewer"?`, nil},
		{"of another language", "roles/frobnicate", "there is no such role", "gcloud iam roles list --filter=name:frobnicate", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rest(http.MethodPost, roles, nil, map[string]any{
				"roleId": "named", "role": map[string]any{"stage": "GA", "includedPermissions": []string{"storage.objects.get"}},
			})
			if tt.make != nil {
				tt.make(w)
			}
			source := fmt.Sprintf("version = 1\n[task]\nname = \"named\"\nproject = \"acme-agents\"\n[[grant]]\nrole = %q\nresource = \"gs://acme-reports\"\n", tt.role)
			e := w.engine()
			plan := w.plan(e, source)
			p, err := e.Preview(t.Context(), plan)
			if err != nil {
				t.Fatal(err)
			}
			refused := func(by string, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: %v, want %q", by, err, tt.says)
					return
				}
				if hints := strings.Join(fault.Hints(err), "\n"); !strings.Contains(hints, tt.hint) {
					t.Errorf("%s hints at %q, want %q", by, hints, tt.hint)
				}
			}
			if len(p.Refusals) != 1 {
				t.Fatalf("plan: %v", p.Refusals) // up would wait for what never works
			}
			refused("plan", p.Refusals[0])
			lines, _ := w.examine(w.engine(), source)
			if got := strings.Join(lines, "\n"); !strings.Contains(got, tt.says) || !strings.Contains(got, tt.hint) {
				t.Errorf("doctor: %s", got)
			}
			_, err = w.tryUp(source)
			refused("up", err)
		})
	}
}
