package metadata

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// trade sends the second step.
func trade(s *Server, subject string) *httptest.ResponseRecorder {
	return postForm(s, url.Values{"grant_type": {exchange}, "audience": {audience}, "scope": {cloudPlatform},
		"requested_token_type": {accessType}, "subject_token": {subject}, "subject_token_type": {subjectType}})
}

func postForm(s *Server, form url.Values) *httptest.ResponseRecorder {
	return request{method: http.MethodPost, path: exchangePath, body: form.Encode(),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}.to(s)
}

// impersonate sends the third.
func impersonate(s *Server, who, bearer, body string) *httptest.ResponseRecorder {
	return request{method: http.MethodPost, path: impersonationPrefix + who + impersonationSuffix, body: body,
		header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + bearer}}}.to(s)
}

// The file leads, step by step, to a token.
func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	s, m := newServer(t, nil)
	const base = "http://127.0.0.1:4711"
	raw := s.CredentialsFile(base + "/")
	var file object
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	want := object{
		"type": "external_account", "universe_domain": "googleapis.com",
		"audience":                          "//iam.googleapis.com/locations/global/workloadIdentityPools/taskiam/providers/local",
		"subject_token_type":                "urn:ietf:params:oauth:token-type:jwt",
		"token_url":                         base + "/taskiam/v1/token",
		"service_account_impersonation_url": base + "/taskiam/v1/projects/-/serviceAccounts/" + email + ":generateAccessToken",
		"credential_source": object{"url": base + "/taskiam/subject-token",
			"headers": object{"Metadata-Flavor": "Google"}, "format": object{"type": "text"}},
	}
	if diff := cmp.Diff(want, file); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
	if strings.Contains(string(raw), s.subject) || strings.Contains(string(raw), s.exchanged) {
		t.Error("the file has a secret in it")
	}

	subject := request{path: subjectPath}.to(s)
	if subject.Code != 200 || subject.Header().Get("Cache-Control") != "no-store" ||
		subject.Header().Get("Content-Type") != "text/plain" {
		t.Fatalf("the first step answered %d %s", subject.Code, subject.Body)
	}
	second := trade(s, subject.Body.String())
	exchanged := decode(t, second)
	bearer, _ := exchanged["access_token"].(string)
	exchanged["access_token"] = ""
	if diff := cmp.Diff(object{"access_token": "", "issued_token_type": accessType, "token_type": "Bearer", "expires_in": 120.0}, exchanged); diff != "" {
		t.Errorf("the second step answered %d (-want +got):\n%s", second.Code, diff)
	}
	s.Extend(now.Add(30 * time.Second))
	if got := decode(t, trade(s, s.subject)); got["expires_in"] != 30.0 {
		t.Errorf("30 s before the end the second step answered %v", got)
	}
	s.Extend(now.Add(time.Hour))
	for _, who := range []string{email, s.cfg.Account.UniqueID} {
		got := impersonate(s, who, bearer, `{"delegates":null,"scope":["`+readOnly+`"],"lifetime":"3600s"}`)
		if diff := cmp.Diff(object{"accessToken": "ya29.test", "expireTime": "2026-11-24T12:02:00Z"}, decode(t, got)); diff != "" {
			t.Errorf("the third step, for %s, answered %d (-want +got):\n%s", who, got.Code, diff)
		}
	}
	if got := impersonate(s, email, bearer, ""); got.Code != 200 { // nothing in particular
		t.Errorf("an empty body: answered %d %s", got.Code, got.Body)
	}
	if diff := cmp.Diff([]string{readOnly, readOnly, cloudPlatform}, m.asked); diff != "" {
		t.Errorf("tokens were made (-want +got):\n%s", diff)
	}
}

func TestExchangeRefuses(t *testing.T) {
	t.Parallel()
	s, m := newServer(t, nil)
	other, _ := newServer(t, nil)
	good := func() url.Values {
		return url.Values{"grant_type": {exchange}, "audience": {audience}, "subject_token": {s.subject}}
	}
	for name, test := range map[string]struct {
		key, value, want string
	}{
		"another grant":         {"grant_type", "refresh_token", "unsupported_grant_type"},
		"another audience":      {"audience", "//iam.googleapis.com/projects/1/x", "invalid_target"},
		"another run's subject": {"subject_token", other.subject, "invalid_grant"},
		"no subject":            {"subject_token", "", "invalid_grant"},
		"what it is given":      {"subject_token", s.exchanged, "invalid_grant"},
		"too much":              {"options", strings.Repeat("x", maxBody), "invalid_request"},
	} {
		form := good()
		form.Set(test.key, test.value)
		got := postForm(s, form)
		if got.Code != 400 || decode(t, got)["error"] != test.want {
			t.Errorf("%s: answered %d %s", name, got.Code, got.Body)
		}
	}
	// What stands in the URL does not count: it ends up in logs.
	if got := (request{method: http.MethodPost, path: exchangePath + "?" + good().Encode()}).to(s); got.Code != 400 {
		t.Errorf("by the URL: answered %d %s", got.Code, got.Body)
	}
	if got := (request{path: exchangePath}).to(s); got.Code != 405 || got.Header().Get("Allow") != "POST" {
		t.Errorf("by GET: answered %d %s", got.Code, got.Body)
	}
	if len(m.asked) > 0 {
		t.Errorf("tokens were made: %v", m.asked)
	}
}

func TestImpersonationRefuses(t *testing.T) {
	t.Parallel()
	s, m := newServer(t, nil)
	other, _ := newServer(t, nil)
	const victim = "victim@acme-agents.iam.gserviceaccount.com"
	for name, test := range map[string]struct {
		who, bearer, body string
		code              int
	}{
		"no bearer":            {email, "", "{}", 401},
		"the subject":          {email, s.subject, "{}", 401},
		"another run's":        {email, other.exchanged, "{}", 401},
		"a token of Google's":  {email, "ya29.test", "{}", 401},
		"another account":      {victim, s.exchanged, "{}", 404},
		"another, unknown":     {victim, "", "{}", 401}, // who shows nothing learns nothing
		"no account":           {"", s.exchanged, "{}", 404},
		"another method of it": {email + ":signBlob", s.exchanged, "{}", 404},
		"delegates":            {email, s.exchanged, `{"delegates":["projects/-/serviceAccounts/` + victim + `"]}`, 400},
		"no duration":          {email, s.exchanged, `{"lifetime":"long"}`, 400},
		"a negative one":       {email, s.exchanged, `{"lifetime":"-5s"}`, 400},
		"not a number":         {email, s.exchanged, `{"lifetime":"NaNs"}`, 400},
		"none at all":          {email, s.exchanged, `{"lifetime":"0s"}`, 400},
		"endless":              {email, s.exchanged, `{"lifetime":"1e300s"}`, 400},
		"too much":             {email, s.exchanged, `{"scope":["` + strings.Repeat("x", maxBody) + `"]}`, 400},
		"wider":                {email, s.exchanged, `{"scope":["` + drive + `"]}`, 403},
	} {
		if got := impersonate(s, test.who, test.bearer, test.body); got.Code != test.code {
			t.Errorf("%s: answered %d %s, want %d", name, got.Code, got.Body, test.code)
		}
	}
	if got := (request{path: impersonationPrefix + email + impersonationSuffix}).to(s); got.Code != 405 || got.Header().Get("Allow") != "POST" {
		t.Errorf("by GET: answered %d %s", got.Code, got.Body)
	}
	if len(m.asked) > 0 {
		t.Errorf("tokens were made: %v", m.asked)
	}
	// What is asked for shortens what is claimed, and does not lengthen it.
	for lifetime, want := range map[string]time.Duration{"30s": 30 * time.Second, "30.5s": 30 * time.Second, "3600s": maxExpiresIn, "43200s": maxExpiresIn} {
		got := decode(t, impersonate(s, email, s.exchanged, `{"lifetime":"`+lifetime+`"}`))
		if want := now.Add(want).Truncate(time.Second).Format(time.RFC3339); got["expireTime"] != want {
			t.Errorf("%s: expireTime is %v, want %s", lifetime, got["expireTime"], want)
		}
	}
}
