package emulator

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const payerSeed = servicesSeed + `
[[project]]
id = "payer"
number = "4712"
[[project.binding]]
role = "roles/serviceusage.serviceUsageConsumer"
members = ["` + agentMember + `"]

[[bucket]]
project = "acme"
name = "paid"
requester_pays = true
[[bucket.object]]
name = "o"
content = "o"
[[bucket.binding]]
role = "roles/storage.objectAdmin"
members = ["` + agentMember + `", "serviceAccount:agent-two@acme.iam.gserviceaccount.com"]
[[bucket.binding]]
role = "roles/storage.legacyBucketOwner"
members = ["` + agentMember + `"]
[[bucket.binding]]
role = "roles/storage.objectViewer"
members = ["allUsers"]
`

// Where the requester pays, a call has to name a project that pays, which the caller may use. Who could give the
// bucket's own project a billing account needs none.
func TestRequesterPays(t *testing.T) {
	t.Parallel()
	c := cloud{newLab(t, func(c *Config) { c.Seed = []byte(payerSeed) })}
	const bucket, object, xml = gcs + "/b/paid", gcs + "/b/paid/o/o", "storage.googleapis.com/paid/o"
	const missing = "Bucket is requester pays bucket but no user project provided."
	refused := func(code int, reason, message, token, what, body string, header ...string) {
		t.Helper()
		got := c.call(token, what, body, header...)
		var e struct {
			Error struct {
				Message string              `json:"message"`
				Errors  []map[string]string `json:"errors"`
			} `json:"error"`
		}
		if got.code != code || json.Unmarshal(got.body, &e) != nil || e.Error.Message != message || len(e.Error.Errors) != 1 || e.Error.Errors[0]["reason"] != reason {
			t.Errorf("%s as %q is %d: %s\nwant %d %s %s", what, token, got.code, got.body, code, reason, message)
		}
	}
	refusedXML := func(code int, name, token, what string, header ...string) {
		t.Helper()
		if got := c.call(token, what, "", header...); got.code != code || !bytes.Contains(got.body, []byte("<Code>"+name+"</Code>")) {
			t.Errorf("%s as %q is %d: %s\nwant %d %s", what, token, got.code, got.body, code, name)
		}
	}
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{agentMember}}); got.code != 200 {
		t.Fatal(string(got.body))
	}
	upload := "POST storage.googleapis.com/upload/storage/v1/b/paid/o?uploadType=media&name=new"
	for _, what := range []string{
		"GET " + object, "GET " + object + "?alt=media", "GET " + bucket + "/o", "GET " + bucket, "PATCH " + bucket,
		upload, "DELETE " + object, "GET " + bucket + "/iam/testPermissions?permissions=storage.objects.get",
		"POST " + object + "/copyTo/b/reports/o/x", "POST " + gcs + "/b/reports/o/2026%2Fa.txt/copyTo/b/paid/o/x",
	} {
		refused(400, "required", missing, "agent", what, "{}")
	}
	refused(400, "required", missing, "", "GET "+object, "")
	refusedXML(400, "UserProjectMissing", "agent", "GET "+xml)

	// The parameter, or the header.
	const lacks = " does not have serviceusage.services.use access to the Google Cloud project. Permission 'serviceusage.services.use' denied on resource (or it may not exist)."
	const who, other, nobody = agentEmail + lacks, "agent-two@acme.iam.gserviceaccount.com" + lacks, "Anonymous caller" + lacks
	for _, url := range []string{object, xml} {
		c.want(200, nil, "agent", "GET "+url+"?userProject=payer", "")
		c.want(200, nil, "agent", "GET "+url+"?userProject=4712", "")
		c.want(200, nil, "agent", "GET "+url, "", "X-Goog-User-Project: payer")
		c.want(200, nil, "operator", "GET "+url, "")
		c.want(200, nil, "operator", "GET "+url+"?userProject=acme", "")
	}
	refused(403, "forbidden", who, "agent", "GET "+object+"?userProject=acme", "")
	refused(403, "forbidden", who, "agent", "GET "+object, "", "X-Goog-User-Project: acme")
	refused(403, "forbidden", other, "other", "GET "+object+"?userProject=payer", "")
	refused(401, "required", nobody, "", "GET "+object+"?userProject=payer", "")
	refused(400, "invalid", "User project specified in the request is invalid.", "agent", "GET "+object+"?userProject=missing", "")
	refusedXML(403, "UserProjectAccessDenied", "agent", "GET "+xml+"?userProject=acme")
	refusedXML(400, "UserProjectInvalid", "agent", "GET "+xml+"?userProject=missing")
	// Whoever names a payer has to be allowed to, also where nobody asks for one.
	refused(403, "forbidden", who, "agent", "GET "+gcs+"/b/reports/o/2026%2Fa.txt?userProject=acme", "")
	c.want(200, nil, "agent", "GET "+gcs+"/b/reports/o/2026%2Fa.txt?userProject=payer", "")
	// To pay is no permission.
	c.want(403, nil, "agent", "GET "+gcs+"/b/fine-grained/o/o?userProject=payer", "")

	// An upload is paid for by whom its beginning names.
	begun := c.want(200, nil, "agent", "POST storage.googleapis.com/upload/storage/v1/b/paid/o?uploadType=resumable&name=r&userProject=payer", "{}")
	c.want(200, nil, "", "PUT "+begun.header.Get("Location")[len("https://"):], "abc")

	// It is turned off by whoever pays, or owns the bill; and on by whoever may change the bucket.
	if got := c.want(200, nil, "operator", "GET "+bucket, ""); got.field("billing", "requesterPays") != "true" {
		t.Errorf("the bucket is %s", got.body)
	}
	off, on := `{"billing":{"requesterPays":false}}`, `{"billing":{"requesterPays":true}}`
	c.want(400, nil, "agent", "PATCH "+bucket, off)
	if got := c.want(200, nil, "agent", "PATCH "+bucket+"?userProject=payer", off); got.field("billing") != "" {
		t.Errorf("the bucket is %s", got.body)
	}
	c.want(200, nil, "agent", "GET "+object, "")
	c.want(200, nil, "agent", "PATCH "+bucket, on)
	c.want(400, nil, "agent", "GET "+object, "")
	c.want(200, nil, "agent", "PATCH "+bucket+"?userProject=payer", `{"labels":{"a":"b"}}`)
	c.want(400, nil, "agent", "GET "+object, "")
	c.want(200, nil, "operator", "POST "+gcs+"/b?project=acme", `{"name":"fresh-paid","billing":{"requesterPays":true}}`)
	c.want(400, nil, "agent", "GET "+gcs+"/b/fresh-paid", "")
}
