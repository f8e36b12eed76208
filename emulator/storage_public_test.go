package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// What is granted to allUsers needs no login, by each of the addresses that an object has, and nothing else is without.
func TestStoragePublic(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const object = gcs + "/b/reports/o/2026%2Fa.txt"
	media := []string{
		object + "?alt=media", "storage.googleapis.com/download/storage/v1/b/reports/o/2026%2Fa.txt?alt=media",
		"storage.googleapis.com/reports/2026/a.txt", "reports.storage.googleapis.com/2026/a.txt",
		"reports.storage.googleapis.com/2026%2Fa.txt", "127.0.0.1:8790/storage/v1/b/reports/o/2026%2Fa.txt?alt=media",
	}
	const grown = "Anonymous caller does not have %[1]s access to the Google Cloud Storage %[2]s. Permission '%[1]s' denied on resource (or it may not exist)."
	refused := func(what, permission, kind string) {
		t.Helper()
		got := c.call("", what, "{}")
		var e struct {
			Error struct {
				Code    int                 `json:"code"`
				Message string              `json:"message"`
				Errors  []map[string]string `json:"errors"`
			} `json:"error"`
		}
		want := fmt.Sprintf(grown, permission, kind)
		if json.Unmarshal(got.body, &e) != nil || got.code != 401 || e.Error.Code != 401 || e.Error.Message != want || len(e.Error.Errors) != 1 ||
			e.Error.Errors[0]["reason"] != "required" || e.Error.Errors[0]["locationType"] != "header" || e.Error.Errors[0]["location"] != "Authorization" {
			t.Errorf("%s by nobody is %d: %s\nwant %s", what, got.code, got.body, want)
		}
	}
	const list, upload = "GET " + gcs + "/b/reports/o", "POST " + uploadURL + "media&name=new"
	private := func() {
		t.Helper()
		refused("GET "+object, "storage.objects.get", "object")
		refused(list, "storage.objects.list", "bucket")
		refused("DELETE "+object, "storage.objects.delete", "object")
		refused("PATCH "+object, "storage.objects.update", "object")
		refused(upload, "storage.objects.create", "object")
		refused("POST "+uploadURL+"resumable&name=new", "storage.objects.create", "object")
		refused("POST "+object+"/copyTo/b/reports/o/new", "storage.objects.get", "object")
		refused("GET "+gcs+"/b/reports", "storage.buckets.get", "bucket")
		refused("GET "+gcs+"/b/reports/iam", "storage.buckets.getIamPolicy", "bucket")
		for _, url := range media[2:5] {
			got := c.call("", "GET "+url, "")
			want := "<Code>AccessDenied</Code><Message>Access denied.</Message><Details>Anonymous caller does not have storage.objects.get access"
			if got.code != 403 || !bytes.Contains(got.body, []byte(want)) {
				t.Errorf("%s by nobody is %d: %s", url, got.code, got.body)
			}
		}
		c.want(404, nil, "", "GET "+gcs+"/b/missing/o/x", "")
	}
	private()

	// Who has no login is not among those who have one.
	bind := func(role, member string) {
		t.Helper()
		if got := c.bindBucket("reports", iam.Binding{Role: role, Members: []string{member}}); got.code != 200 {
			t.Fatalf("binding: %d %s", got.code, got.body)
		}
	}
	bind("roles/storage.admin", iam.AllAuthenticatedUsers)
	private()
	c.want(200, nil, "other", "GET "+object, "")

	bind("roles/storage.legacyObjectReader", iam.AllUsers)
	for _, url := range media {
		if got := c.call("", "GET "+url, ""); got.code != 200 || string(got.body) != "hello, world" {
			t.Errorf("%s by nobody is %d: %s", url, got.code, got.body)
		}
		c.want(401, nil, "no token", "GET "+url, "") // a bad login is worse than none
	}
	c.want(200, nil, "", "GET "+object, "")
	c.want(200, nil, "", "HEAD storage.googleapis.com/reports/2026/a.txt", "")
	refused("GET "+gcs+"/b/reports/o/missing", "storage.objects.list", "bucket")
	refused(list, "storage.objects.list", "bucket")
	refused("DELETE "+object, "storage.objects.delete", "object")
	c.want(401, nil, "", "GET "+gcs+"/b?project=acme", "")
	c.want(401, nil, "", "GET "+gcs+"/b/reports/iam/testPermissions?permissions=storage.objects.get", "")
	c.want(403, nil, "", "PUT reports.storage.googleapis.com/2026/a.txt", "")

	bind("roles/storage.objectViewer", iam.AllUsers)
	c.want(200, nil, "", list, "")
	c.want(404, nil, "", "GET "+gcs+"/b/reports/o/missing", "")
	refused(upload, "storage.objects.create", "object")
	bind("roles/storage.objectCreator", iam.AllUsers)
	c.want(200, nil, "", upload, "x")
	refused(upload, "storage.objects.delete", "object")

	// Public access prevention makes all of it worth nothing, and takes no more of it.
	prevent := func(how string) {
		t.Helper()
		c.want(200, nil, "operator", "PATCH "+gcs+"/b/reports", `{"iamConfiguration":{"publicAccessPrevention":"`+how+`"}}`)
	}
	prevent("enforced")
	private()
	c.want(403, nil, "other", "GET "+object, "")
	c.want(200, nil, "operator", "GET "+object, "")
	bind("roles/storage.objectViewer", agentMember)
	c.want(200, nil, "agent", "GET "+object, "")
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectAdmin", Members: []string{iam.AllUsers}}); got.code != 412 {
		t.Errorf("binding everybody under prevention: %d %s", got.code, got.body)
	}
	prevent("inherited")
	c.want(200, nil, "", "GET "+object, "")
	c.want(200, nil, "other", "GET "+object, "")
}
