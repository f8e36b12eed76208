package iam

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The embedded table says what Google's list of predefined roles says, for the
// permissions that the emulator knows.
func TestRoleTable(t *testing.T) {
	t.Parallel()
	const path = "../../../../shared/gcp/predefined_roles.json.gz"
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		t.Skipf("the list of predefined roles is not at %s", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Permissions []string
		Roles       map[string]struct {
			Title, Stage string
			P            []int
		}
	}
	if err := json.NewDecoder(z).Decode(&list); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range Predefined() {
		for _, p := range r.Permissions {
			known[p] = true
		}
	}
	if len(known) < 200 {
		t.Errorf("the table knows %d permissions", len(known))
	}
	compared := 0
	for name, want := range list.Roles {
		got := Predefined()[name]
		if strings.HasSuffix(strings.ToLower(name), "serviceagent") {
			if got != nil {
				t.Errorf("%s is a service agent's", name)
			}
			continue
		}
		compared++
		if got == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		var permissions []string
		for _, i := range want.P {
			if p := list.Permissions[i]; known[p] {
				permissions = append(permissions, p)
			}
		}
		slices.Sort(permissions)
		if diff := cmp.Diff(permissions, got.Permissions); diff != "" || got.Title != want.Title || got.Stage != want.Stage {
			t.Errorf("%s: %q %s (-want +got):\n%s", name, got.Title, got.Stage, diff)
		}
	}
	for name := range Predefined() {
		if _, ok := list.Roles[name]; !ok {
			t.Errorf("%s is made up", name)
		}
	}
	// Left out are the roles of service agents alone, some 260 of them.
	if compared < 2000 {
		t.Errorf("%d roles were compared", compared)
	}
}

// Every permission that a method asks for is in the table: else nobody would hold it.
func TestPermissionsAreKnown(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, r := range Predefined() {
		for _, p := range r.Permissions {
			known[p] = true
		}
	}
	for _, p := range []string{
		"iam.serviceAccounts.create", "iam.serviceAccounts.get", "iam.serviceAccounts.list", "iam.serviceAccounts.update",
		"iam.serviceAccounts.delete", "iam.serviceAccounts.undelete", "iam.serviceAccounts.disable", "iam.serviceAccounts.enable",
		"iam.serviceAccounts.getIamPolicy", "iam.serviceAccounts.setIamPolicy", "iam.serviceAccounts.getAccessToken",
		"iam.serviceAccounts.implicitDelegation", "iam.serviceAccountKeys.create", "iam.serviceAccountKeys.list",
		"iam.serviceAccountKeys.get", "iam.serviceAccountKeys.delete", "resourcemanager.projects.get", "resourcemanager.projects.list",
		"resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy", "resourcemanager.folders.get",
		"resourcemanager.folders.list", "resourcemanager.folders.getIamPolicy", "resourcemanager.folders.setIamPolicy",
		"resourcemanager.organizations.get", "resourcemanager.organizations.getIamPolicy", "resourcemanager.organizations.setIamPolicy",
	} {
		if !known[p] {
			t.Errorf("no role holds %s", p)
		}
	}
}
