package emulator

import (
	"strings"
	"testing"
)

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
