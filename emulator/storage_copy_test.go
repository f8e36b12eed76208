package emulator

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

func TestStorageCopy(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const from = gcs + "/b/reports/o/2026%2Fa.txt"
	c.want(200, nil, "operator", "POST "+gcs+"/b?project=acme", `{"name":"copies","iamConfiguration":{"uniformBucketLevelAccess":{"enabled":true}}}`)
	r := c.want(200, nil, "operator", "POST "+from+"/rewriteTo/b/copies/o/x%2Fy", "")
	for field, want := range map[string]string{"done": "true", "objectSize": `"12"`, "totalBytesRewritten": `"12"`, "kind": `"storage#rewriteResponse"`} {
		if got := r.field(field); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
	if got := c.want(200, nil, "operator", "GET "+gcs+"/b/copies/o/x%2Fy?alt=media", ""); string(got.body) != "hello, world" || got.header.Get("Content-Type") != "text/plain" {
		t.Errorf("the copy is %s %q", got.header.Get("Content-Type"), got.body)
	}
	// The body takes the place of the source's metadata, here and not there.
	r = c.want(200, nil, "operator", "POST "+from+"/copyTo/b/copies/o/z", `{"contentType":"text/html","metadata":{"a":"b"}}`)
	if r.field("contentType") != `"text/html"` || r.field("metadata") != `{"a":"b"}` {
		t.Errorf("the copy is %s", r.body)
	}
	if r := c.want(200, nil, "operator", "GET "+from, ""); r.field("contentType") != `"text/plain"` || r.field("metadata") != "" {
		t.Errorf("copying changed the source: %s", r.body)
	}
	for query, want := range map[string]int{
		"?ifGenerationMatch=0": 412, "?ifSourceGenerationMatch=1": 412, "?sourceGeneration=1": 404, "?rewriteToken=t": 501,
		"?destinationPredefinedAcl=private": 501, "?ifSourceMetagenerationMatch=1": 200,
	} {
		if r := c.call("operator", "POST "+from+"/rewriteTo/b/copies/o/z"+query, ""); r.code != want {
			t.Errorf("%s: %d %s, want %d", query, r.code, r.body, want)
		}
	}
	c.want(404, nil, "operator", "POST "+gcs+"/b/reports/o/no/rewriteTo/b/copies/o/z", "")
	c.want(404, nil, "operator", "POST "+from+"/rewriteTo/b/missing/o/z", "")

	// To copy is to read and to create; to copy over something, to delete as well.
	const agent = "agent"
	copies := func(object string) int { return c.call(agent, "POST "+from+"/rewriteTo/b/copies/o/"+object, "").code }
	for _, step := range []struct {
		bucket, role string
		fresh, over  int
	}{
		{"", "", 403, 403},
		{"reports", "roles/storage.objectViewer", 403, 403},
		{"copies", "roles/storage.objectCreator", 200, 403},
		{"copies", "roles/storage.objectAdmin", 200, 200},
	} {
		if step.role != "" {
			if r := c.bindBucket(step.bucket, iam.Binding{Role: step.role, Members: []string{agentMember}}); r.code != 200 {
				t.Fatal(string(r.body))
			}
		}
		if fresh, over := copies("new-"+strings.TrimPrefix(step.role, "roles/")), copies("z"); fresh != step.fresh || over != step.over {
			t.Errorf("with %s on %s: %d, %d over, want %d, %d", step.role, step.bucket, fresh, over, step.fresh, step.over)
		}
	}
}

func TestStoragePatch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const object, bucket = gcs + "/b/reports/o/2026%2Fa.txt", gcs + "/b/reports"
	before := c.want(200, nil, "operator", "GET "+object, "")
	c.want(200, nil, "operator", "PATCH "+object, `{"contentType":"text/csv","metadata":{"a":"1","b":"2"}}`)
	r := c.want(200, nil, "operator", "PATCH "+object+"?ifMetagenerationMatch=2", `{"metadata":{"a":null,"c":"3"}}`)
	if r.field("metadata") != `{"b":"2","c":"3"}` || r.field("contentType") != `"text/csv"` || r.field("metageneration") != `"3"` ||
		r.field("generation") != before.field("generation") {
		t.Errorf("the object is %s", r.body)
	}
	// What was read can be written back.
	c.want(200, nil, "operator", "PATCH "+object, string(r.body))
	c.want(412, nil, "operator", "PATCH "+object+"?ifMetagenerationMatch=2", `{}`)
	c.want(501, nil, "operator", "PATCH "+object, `{"temporaryHold":true}`)
	c.want(400, nil, "operator", "PATCH "+object, `{"metadata":7}`)
	c.want(403, nil, "agent", "PATCH "+object, `{}`)

	c.want(200, nil, "operator", "PATCH "+bucket, `{"labels":{"a":"1","b":"2"},"storageClass":"NEARLINE"}`)
	r = c.want(200, nil, "operator", "PATCH "+bucket, `{"labels":{"a":null}}`)
	if r.field("labels") != `{"b":"2"}` || r.field("storageClass") != `"NEARLINE"` {
		t.Errorf("the bucket is %s", r.body)
	}
	c.want(200, nil, "operator", "PATCH "+bucket, string(r.body))
	c.want(412, nil, "operator", "PATCH "+bucket+"?ifMetagenerationMatch=1", `{}`)
	c.want(501, nil, "operator", "PATCH "+bucket, `{"website":{"mainPageSuffix":"i"}}`)
	c.want(403, nil, "agent", "PATCH "+bucket, `{}`)
}

// How access to a bucket is decided can change, but not so that its policy would say what it cannot mean.
func TestStorageAccessChanges(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	uniform := func(on bool) string {
		body, err := json.Marshal(map[string]any{"iamConfiguration": map[string]any{"uniformBucketLevelAccess": map[string]any{"enabled": on}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	const bucket = gcs + "/b/fine-grained"
	viewer := iam.Binding{Role: "roles/storage.objectViewer", Members: []string{agentMember}, Condition: until("2026-04-01T00:00:00Z")}
	if r := c.bindBucket("fine-grained", viewer); r.code != 412 {
		t.Errorf("a condition without uniform access: %d %s", r.code, r.body)
	}
	if r := c.want(200, nil, "operator", "PATCH "+bucket, uniform(true)); r.field("iamConfiguration", "uniformBucketLevelAccess", "enabled") != "true" {
		t.Errorf("the bucket is %s", r.body)
	}
	if r := c.bindBucket("fine-grained", viewer); r.code != 200 {
		t.Errorf("a condition with uniform access: %d %s", r.code, r.body)
	}
	c.want(412, nil, "operator", "PATCH "+bucket, uniform(false))

	const reports = gcs + "/b/reports"
	c.want(200, nil, "operator", "PATCH "+reports, uniform(false))
	c.want(200, nil, "operator", "PATCH "+reports, uniform(true))
	if r := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{iam.AllUsers}}); r.code != 200 {
		t.Fatal(string(r.body))
	}
	const enforced, inherited = `{"iamConfiguration":{"publicAccessPrevention":"enforced"}}`, `{"iamConfiguration":{"publicAccessPrevention":"inherited"}}`
	c.want(200, nil, "operator", "PATCH "+bucket, enforced)
	if r := c.bindBucket("fine-grained", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{iam.AllUsers}}); r.code != 412 {
		t.Errorf("a public member under prevention: %d %s", r.code, r.body)
	}
	// Prevention is a matter of the policy: who may only update the bucket may not lift it.
	if r := c.bindBucket("fine-grained", iam.Binding{Role: "roles/cloudmigration.inframanager", Members: []string{agentMember}}); r.code != 200 {
		t.Fatal(string(r.body))
	}
	c.want(200, nil, "agent", "PATCH "+bucket, `{"labels":{"a":"1"}}`)
	c.want(403, nil, "agent", "PATCH "+bucket, inherited)
	c.want(200, nil, "operator", "PATCH "+bucket, inherited)
	c.Advance(90*24*time.Hour + 1)
	c.want(412, nil, "operator", "PATCH "+reports, uniform(false))
}
