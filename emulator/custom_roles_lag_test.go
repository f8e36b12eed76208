package emulator

import (
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// What a custom role holds follows its changes with a lag, though it reads as changed.
func TestCustomRoleLag(t *testing.T) {
	t.Parallel()
	r := &iam.CustomRole{Permissions: []string{"storage.objects.get"}}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &iam.Company{Delays: &wire.Lags{Lag: wire.Lag{Role: wire.Delay{Min: time.Minute}}}}
	r.ChangedFrom(s, nil, at)
	if r.Grants("storage.objects.get", at) || !r.Grants("storage.objects.get", at.Add(time.Minute)) {
		t.Error("a new role does not come to act after the lag")
	}
	at = at.Add(time.Hour)
	before := r.Holds(at)
	r.Deleted = at
	r.ChangedFrom(s, before, at)
	if !r.Grants("storage.objects.get", at) || r.Grants("storage.objects.get", at.Add(time.Minute)) {
		t.Error("a deleted role does not cease to act after the lag")
	}
}

// The list of permissions says which of them custom roles cannot hold.
func TestTestablePermissionsShowWhatIsNotSupported(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	token, found := "", false
	for range 30 {
		r := l.must(l.operator, "POST", iamAPI+"permissions:queryTestablePermissions",
			`{"fullResourceName":"//cloudresourcemanager.googleapis.com/projects/acme-agents","pageSize":1000,"pageToken":"`+token+`"}`)
		found = found || strings.Contains(r.raw, `"NOT_SUPPORTED"`)
		if strings.Contains(r.raw, `"resourcemanager.folders.`) {
			t.Error("a project shows permissions of folders")
		}
		if token = r.str("nextPageToken"); token == "" {
			break
		}
	}
	if !found || token != "" {
		t.Errorf("found %v, and the next page is %q", found, token)
	}
}
