package emulator

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const uploadURL = "storage.googleapis.com/upload/storage/v1/b/reports/o?uploadType="

// begin begins a resumable upload and returns its address without the scheme.
func (c cloud) begin(token, name string) string {
	c.t.Helper()
	begun := c.want(200, nil, token, "POST "+uploadURL+"resumable&name="+name, "{}")
	return strings.TrimPrefix(begun.header.Get("Location"), "https://")
}

// The address of a resumable upload is a permission by itself: whoever has it goes on without a login, also after
// whoever began it is gone, for a week. It cannot be guessed, and the state does not hold it.
func TestStorageSession(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectCreator", Members: []string{agentMember}}); got.code != 200 {
		t.Fatalf("binding: %d %s", got.code, got.body)
	}
	session, second := c.begin("agent", "r"), c.begin("agent", "s")
	id := func(session string) string {
		u, err := url.Parse("https://" + session)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("upload_id")
	}
	first, err := base64.RawURLEncoding.DecodeString(id(session))
	if err != nil || len(first) < 16 || id(session)[:8] == id(second)[:8] {
		t.Errorf("upload ids are %s and %s (%v), want 128 random bits or more", id(session), id(second), err)
	}
	if strings.Contains(c.snapshot(), id(session)) {
		t.Error("the snapshot has the id of an upload in it")
	}
	c.want(308, nil, "", "PUT "+session, "abc", "Content-Range: bytes 0-2/6")
	c.want(401, nil, "nobody's", "PUT "+session, "def", "Content-Range: bytes 3-5/6")
	c.want(404, nil, "", "PUT "+session+"x", "def", "Content-Range: bytes 3-5/6")
	c.want(404, nil, "", "PUT "+strings.Replace(session, "/b/reports/", "/b/fine-grained/", 1), "def", "Content-Range: bytes 3-5/6")
	c.want(401, nil, "", "PUT "+uploadURL+"resumable", "def")
	c.want(401, nil, "", "POST "+uploadURL+"resumable&name=r", "{}")

	c.must("operator", "DELETE", iamAPI+"projects/acme/serviceAccounts/"+agentEmail, "")
	c.want(401, nil, "agent", "PUT "+session, "def", "Content-Range: bytes 3-5/6")
	c.want(200, nil, "", "PUT "+session, "def", "Content-Range: bytes 3-5/6")
	if got := c.call("operator", "GET "+gcs+"/b/reports/o/r?alt=media", ""); string(got.body) != "abcdef" {
		t.Errorf("content is %q", got.body)
	}
	c.want(404, nil, "", "PUT "+session, "def", "Content-Range: bytes 3-5/6")

	c.Advance(7*24*time.Hour - time.Second)
	c.want(308, nil, "", "PUT "+second, "", "Content-Range: bytes */6")
	c.Advance(time.Second)
	c.want(410, nil, "", "PUT "+second, "abc", "Content-Range: bytes 0-2/3")
}

// In a project that was shut down an upload does not go on, and does when the project is restored.
func TestStorageSessionInDeletedProject(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	session := c.begin("operator", "r")
	c.want(308, nil, "", "PUT "+session, "abc", "Content-Range: bytes 0-2/6")
	c.want(200, nil, "operator", "DELETE cloudresourcemanager.googleapis.com/v3/projects/acme", "")
	for _, token := range []string{"", "operator"} {
		c.want(403, nil, token, "PUT "+session, "def", "Content-Range: bytes 3-5/6")
		c.want(403, nil, token, "PUT "+session, "", "Content-Range: bytes */6")
		c.want(403, nil, token, "DELETE "+session, "")
	}
	c.want(200, nil, "operator", "POST cloudresourcemanager.googleapis.com/v3/projects/acme:undelete", "{}")
	c.want(200, nil, "", "PUT "+session, "def", "Content-Range: bytes 3-5/6")
}

// Under the doubt that says so, a part is judged by what whoever began the upload may do now.
func TestStorageSessionJudged(t *testing.T) {
	t.Parallel()
	c := cloud{newLab(t, func(c *Config) { c.Seed = []byte(servicesSeed + "[doubts]\nsessions_judged = true\n") })}
	before := c.want(200, nil, "operator", "GET "+gcs+"/b/reports/iam", "")
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectCreator", Members: []string{agentMember}}); got.code != 200 {
		t.Fatalf("binding: %d %s", got.code, got.body)
	}
	session, second := c.begin("agent", "r"), c.begin("operator", "s")
	c.want(308, nil, "", "PUT "+session, "abc", "Content-Range: bytes 0-2/6")
	c.want(200, nil, "operator", "PUT "+gcs+"/b/reports/iam", `{"bindings":`+before.field("bindings")+`}`)
	c.want(403, nil, "", "PUT "+session, "def", "Content-Range: bytes 3-5/6")
	c.must("operator", "DELETE", iamAPI+"projects/acme/serviceAccounts/"+agentEmail, "")
	c.want(401, nil, "", "PUT "+session, "def", "Content-Range: bytes 3-5/6")
	c.want(401, nil, "", "DELETE "+session, "")
	c.want(200, nil, "", "PUT "+second, "abc", "Content-Range: bytes 0-2/3")
}
