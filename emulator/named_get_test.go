package emulator

import (
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// A resource of the table can be missed, but not shown.
func TestNamedGet(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const service = "https://run.googleapis.com/v2/projects/acme-data/locations/europe-west1/services/"
	l.wire.State().Resources["//run.googleapis.com/projects/acme-data/locations/europe-west1/services/shop"] = &iam.Resource{Policy: &iam.Policy{}}
	l.want(l.do(l.operator, "GET", service+"shop", ""), 501, "UNIMPLEMENTED")
	l.want(l.do(l.operator, "DELETE", service+"shop", ""), 501, "UNIMPLEMENTED")
	missing := l.do(l.operator, "GET", service+"none", "")
	l.want(missing, 404, "NOT_FOUND")
	if want := `service \"projects/acme-data/locations/europe-west1/services/none\" not found`; !strings.Contains(missing.raw, want) {
		t.Errorf("the answer is %s, want %s in it", missing.raw, want)
	}
	// Who may not know learns nothing of either.
	stranger := l.mint(l.account("ti-stranger"))
	for _, name := range []string{"shop", "none"} {
		l.want(l.do(stranger, "GET", service+name, ""), 403, "PERMISSION_DENIED")
	}
	l.want(l.do("", "GET", service+"none", ""), 401, "UNAUTHENTICATED")
}
