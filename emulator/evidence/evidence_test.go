package evidence_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/evidence"
)

// strings visits every string of a value, with the key that holds it.
func eachString(key string, v any, visit func(key, s string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			visit("", k)
			eachString(k, e, visit)
		}
	case []any:
		for _, e := range v {
			eachString(key, e, visit)
		}
	case string:
		visit(key, v)
	}
}

// What is here are facts: no message, no description, nobody's name.
func TestNoTextOfOthersIsKept(t *testing.T) {
	t.Parallel()
	known, err := evidence.Read(".")
	if err != nil {
		t.Fatal(err)
	}
	replaced := regexp.MustCompile(`^(<text>|\{text[0-9]*\})$`)
	address := regexp.MustCompile(`[^ /:{}]@|@[^{ ]`)
	for _, x := range known {
		if x.Grade != "A" && x.Grade != "B" && x.Grade != "C" || x.Source == "" || x.Status == 0 || x.About == "" {
			t.Errorf("%s: grade %q, source %q, status %d, about %q", x.ID, x.Grade, x.Source, x.Status, x.About)
		}
		check := func(key, s string) {
			switch key {
			case "message", "description", "displayName", "title", "friendlyName", "debugMessage", "error_description":
				if !replaced.MatchString(s) {
					t.Errorf("%s: %s is %q", x.ID, key, s)
				}
			case "privateKeyData", "publicKeyData", "accessToken", "access_token", "token":
				if !strings.HasPrefix(s, "<") {
					t.Errorf("%s: %s is %q", x.ID, key, s)
				}
			case "updateMask":
			default:
				if strings.Count(s, " ") > 2 {
					t.Errorf("%s: %s is a sentence: %q", x.ID, key, s)
				}
			}
			if address.MatchString(strings.ReplaceAll(s, "@gcp-sa-", "")) && s != "@type" {
				t.Errorf("%s: an address stands in %q", x.ID, s)
			}
		}
		eachString("", x.Request, check)
		eachString("", x.Answer, check)
		check("", x.Path+"?"+x.Query)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	const account = "projects/my-project/serviceAccounts/ci-bot@my-project.iam.gserviceaccount.com"
	for name, tt := range map[string]struct {
		raw   evidence.Raw
		terms evidence.Terms
		want  evidence.Exchange
	}{
		"an account": {
			raw: evidence.Raw{
				Method: "POST", URL: "https://iam.googleapis.com/v1/projects/my-project/serviceAccounts?alt=json", Status: 200,
				Request: []byte(`{"accountId":"ci-bot","serviceAccount":{"displayName":"the bot of CI"}}`),
				Answer: []byte(`{"name":"` + account + `","projectId":"my-project","uniqueId":"112345678901234567890","etag":"MDEw",` +
					`"email":"ci-bot@my-project.iam.gserviceaccount.com","displayName":"the bot of CI"}`),
			},
			want: evidence.Exchange{
				Method: "POST", Host: "iam.googleapis.com", Path: "/v1/projects/{project}/serviceAccounts", Query: "alt=json", Status: 200,
				Request: map[string]any{"accountId": "{account}", "serviceAccount": map[string]any{"displayName": "{text}"}},
				Answer: map[string]any{
					"name":      "projects/{project}/serviceAccounts/{account}@{project}.iam.gserviceaccount.com",
					"projectId": "{project}", "uniqueId": "<uid>", "etag": "<etag>", "displayName": "{text}",
					"email": "{account}@{project}.iam.gserviceaccount.com",
				},
			},
		},
		"a policy": {
			raw: evidence.Raw{
				Method: "POST", URL: "https://cloudresourcemanager.googleapis.com/v1/projects/my-project:getIamPolicy", Status: 200,
				Answer: []byte(`{"etag":"BwWWja0YfJA=","version":1,"bindings":[{"role":"roles/viewer","members":["user:me@example.com","user:you@example.com",` +
					`"serviceAccount:123456789012-compute@developer.gserviceaccount.com","projectOwner:my-project",` +
					`"deleted:serviceAccount:ci-bot@other.iam.gserviceaccount.com?uid=112345678901234567890"]}]}`),
			},
			terms: evidence.Terms{Operator: "me@example.com", NoEtags: true},
			want: evidence.Exchange{
				Method: "POST", Host: "cloudresourcemanager.googleapis.com", Path: "/v1/projects/{project}:getIamPolicy", Status: 200,
				Answer: map[string]any{"etag": "<set-etag>", "version": 1., "bindings": []any{map[string]any{"role": "roles/viewer", "members": []any{
					"user:{operator}", "user:{user}", "serviceAccount:{project-number}-compute@developer.gserviceaccount.com", "projectOwner:{project}",
					"deleted:serviceAccount:{account}@{project2}.iam.gserviceaccount.com?uid={uid}",
				}}}},
			},
		},
		"a key": {
			raw: evidence.Raw{
				Method: "POST", URL: "https://iam.googleapis.com/v1/" + account + "/keys", Status: 200, Request: []byte(`{}`),
				Answer: []byte(`{"name":"` + account + `/keys/0123456789abcdef0123456789abcdef01234567","privateKeyData":"c2VjcmV0","validAfterTime":"2024-04-01T12:34:56Z"}`),
			},
			want: evidence.Exchange{
				Method: "POST", Host: "iam.googleapis.com", Path: "/v1/projects/{project}/serviceAccounts/{account}@{project}.iam.gserviceaccount.com/keys",
				Status: 200, Request: map[string]any{},
				Answer: map[string]any{
					"name":           "projects/{project}/serviceAccounts/{account}@{project}.iam.gserviceaccount.com/keys/<key>",
					"privateKeyData": "<base64>", "validAfterTime": "<seconds>",
				},
			},
		},
		"a token": {
			raw: evidence.Raw{
				Method: "POST", URL: "https://oauth2.googleapis.com/token", Status: 200, Request: []byte("grant_type=g&assertion=ey.secret.x"),
				Answer: []byte(`{"access_token":"ya29.secret","expires_in":3599,"token_type":"Bearer"}`),
			},
			want: evidence.Exchange{
				Method: "POST", Host: "oauth2.googleapis.com", Path: "/token", Status: 200,
				Form:   map[string]string{"grant_type": "g", "assertion": "<assertion>"},
				Answer: map[string]any{"access_token": "<token>", "expires_in": "<int>", "token_type": "Bearer"},
			},
		},
		"a refusal": {
			raw: evidence.Raw{
				Method: "POST", URL: "https://cloudresourcemanager.googleapis.com/v1/projects/my-project:setIamPolicy", Status: 400,
				Request: []byte(`{"policy":{"etag":"BwWWja0YfJA=","bindings":[{"role":"roles/viewer","members":["serviceAccount:gone@my-project.iam.gserviceaccount.com"]}]}}`),
				Answer:  []byte(`{"error":{"code":400,"message":"Service account gone@my-project.iam.gserviceaccount.com does not exist.","status":"INVALID_ARGUMENT"}}`),
			},
			terms: evidence.Terms{NoEtags: true},
			want: evidence.Exchange{
				Method: "POST", Host: "cloudresourcemanager.googleapis.com", Path: "/v1/projects/{project}:setIamPolicy", Status: 400,
				Given: []string{evidence.GivenMissing + "{account}@{project}.iam.gserviceaccount.com"},
				Request: map[string]any{"policy": map[string]any{"etag": "<etag>", "bindings": []any{map[string]any{
					"role": "roles/viewer", "members": []any{"serviceAccount:{account}@{project}.iam.gserviceaccount.com"},
				}}}},
				Answer: map[string]any{"error": map[string]any{"code": 400., "message": "<text>", "status": "INVALID_ARGUMENT"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := evidence.Describe(tt.raw, tt.terms)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v, want +got:\n%s", err, diff)
			}
		})
	}
}

// What is written is read again, and what is not known is refused.
func TestFiles(t *testing.T) {
	t.Parallel()
	x := evidence.Exchange{
		ID: "1", Grade: "A", About: "about", Source: "somewhere", Method: "GET", Host: "iam.googleapis.com", Path: "/v1/<x>", Status: 200,
		Answer: map[string]any{"a": "<time>"},
	}
	y := x
	y.ID, y.Host = "2", "sts.googleapis.com"
	files, err := evidence.Files([]evidence.Exchange{x, y})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := evidence.Read(dir)
	if diff := cmp.Diff([]evidence.Exchange{x, y}, got); diff != "" || err != nil {
		t.Errorf("%v, want +got:\n%s", err, diff)
	}
	for name, content := range map[string]string{
		"an id twice":  string(files["iam.json"]),
		"an odd field": strings.Replace(string(files["iam.json"]), `"id": "1"`, `"id": "3", "body": "x"`, 1),
		"no id":        strings.Replace(string(files["iam.json"]), `"id": "1"`, `"id": ""`, 1),
	} {
		extra := filepath.Join(dir, "extra.json")
		if err := os.WriteFile(extra, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.Read(dir); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// Every format that stands anywhere has a pattern.
func TestFormatsAreKnown(t *testing.T) {
	t.Parallel()
	known, err := evidence.Read(".")
	if err != nil {
		t.Fatal(err)
	}
	format := regexp.MustCompile(`<([a-z0-9-]+)>`)
	var unknown []string
	for _, x := range known {
		text, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range format.FindAllStringSubmatch(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(text)), -1) {
			if _, ok := evidence.Formats[m[1]]; !ok {
				unknown = append(unknown, m[1])
			}
		}
	}
	if slices.Sort(unknown); len(unknown) > 0 {
		t.Errorf("no pattern for %q", slices.Compact(unknown))
	}
}
