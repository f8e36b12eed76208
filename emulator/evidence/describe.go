package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/lazy"
)

// Raw is an exchange as it was on the wire.
type Raw struct {
	Method, URL string
	Request     []byte // JSON, or a form; nil if nothing was sent
	Status      int
	Headers     map[string]string // those worth keeping
	Answer      []byte            // JSON
}

// Terms say how an exchange is to be told.
type Terms struct {
	// Documented answers are samples: most of their values are made up, so formats are kept alone.
	Documented bool
	// Operator is the e-mail address of who made the request.
	Operator string
	// Names are further names that must not stay, and the kind of thing that each names.
	Names map[string]string
	// NoEtags tells etags by their format alone. Those of policies say when a policy was changed.
	NoEtags bool
	// Placeholder is what somebody put in the place of an etag that he took out.
	Placeholder string
}

// unsetEtag is that of a policy that was never set.
const unsetEtag = "ACAB"

// Describe tells an exchange as facts.
func Describe(raw Raw, terms Terms) (Exchange, error) {
	address, err := url.Parse(raw.URL)
	if err != nil {
		return Exchange{}, fmt.Errorf("describing a request: %w", err)
	}
	d := describer{terms: terms, names: newNames(terms)}
	x := Exchange{Method: raw.Method, Host: address.Host, Status: raw.Status, Headers: raw.Headers}
	path, verb := splitVerb(address.EscapedPath())
	d.policy = strings.HasSuffix(verb, "IamPolicy") || strings.HasSuffix(path, "IamPolicy")
	d.wrote = strings.HasSuffix(verb, "setIamPolicy") || strings.HasSuffix(path, "setIamPolicy")
	d.storage = address.Host == "storage.googleapis.com"
	var request, answer any
	form, err := d.request(raw.Request, &request)
	if err == nil {
		err = json.Unmarshal(raw.Answer, &answer)
	}
	if err != nil {
		return Exchange{}, fmt.Errorf("describing %s %s: %w", raw.Method, address.Path, err)
	}
	d.made = raw.Method == "POST" && (strings.HasSuffix(path, "/keys"))
	d.collect(path, address.Query(), request, answer)
	x.Path, x.Query = d.names.replace(path)+verb, d.names.replace(address.RawQuery)
	x.Given = d.given(answer)
	for k, v := range form {
		if x.Form == nil {
			x.Form = map[string]string{}
		}
		x.Form[k] = formats(k, d.names.replace(v[0]))
	}
	if request != nil {
		x.Request = d.sent("", request)
	}
	x.Answer = d.told("", answer)
	return x, nil
}

// splitVerb takes a custom verb off a path.
func splitVerb(path string) (before, verb string) {
	last := strings.LastIndex(path, "/") + 1
	if i := strings.Index(path[last:], ":"); i >= 0 {
		return path[:last+i], path[last+i:]
	}
	return path, ""
}

type describer struct {
	terms   Terms
	names   *names
	policy  bool // the call is about an allow policy in the form of google.iam.v1
	wrote   bool // and sets it
	made    bool // the answer names a key that the call has made
	storage bool
}

// request decodes what was sent: JSON into v, or a form.
func (d *describer) request(raw []byte, v *any) (url.Values, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '{' && raw[0] != '[' {
		return url.ParseQuery(string(raw))
	}
	return nil, json.Unmarshal(raw, v)
}

// formats replaces the values of a form that are secret, or as long as a document.
func formats(field, value string) string {
	switch field {
	case "assertion":
		return "<assertion>"
	case "subject_token", "actor_token", "client_secret", "refresh_token", "token":
		return "<token>"
	case "options":
		return "<boundary>"
	}
	return value
}

var (
	unsupported = lazy.Regexp(`^Role (\S+) is not supported`)
	nobody      = lazy.Regexp(`^Service account (\S+) does not exist`)
)

// given is what the message of an error tells of the state before.
func (d *describer) given(answer any) []string {
	body, _ := answer.(map[string]any)
	e, _ := body["error"].(map[string]any)
	message, _ := e["message"].(string)
	if strings.HasPrefix(message, "Account deleted") {
		return []string{GivenAccountDeleted}
	}
	if strings.Contains(message, "API has not been used in project") {
		return []string{GivenAPIDisabled}
	}
	if strings.Contains(message, "marked for deletion") {
		return []string{GivenRoleDeleted}
	}
	if m := unsupported().FindStringSubmatch(message); m != nil {
		return []string{GivenNotForResource + d.names.replace(m[1])}
	}
	if m := nobody().FindStringSubmatch(message); m != nil {
		return []string{GivenMissing + d.names.replace(m[1])}
	}
	return nil
}

// sent tells a request: names and texts are replaced, everything else is as it was sent.
func (d *describer) sent(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if key == "labels" {
				label, _ := v[k].(string)
				out[d.names.add("label", k)] = d.names.add("text", label)
				continue
			}
			out[k] = d.sent(k, v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = d.sent(key, v[i])
		}
		return out
	case string:
		switch {
		case key == "etag" && (d.terms.NoEtags || v == d.terms.Placeholder):
			return "<etag>"
		case key == "publicKeyData":
			return "<certificate>"
		case isText(key):
			return d.names.add("text", v)
		}
		return d.names.replace(v)
	}
	return v
}

// isText reports whether people write what the key holds.
func isText(key string) bool {
	switch key {
	case "displayName", "title", "description", "friendlyName", "message", "payload":
		return true
	}
	return false
}

// told tells an answer: values where clients depend on them, formats elsewhere.
func (d *describer) told(path string, v any) any {
	key := path[strings.LastIndex(path, ".")+1:]
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if key == "labels" {
				label, _ := v[k].(string)
				out[d.names.add("label", k)] = d.names.add("text", label)
				continue
			}
			out[k] = d.told(path+"."+k, v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = d.told(path, v[i])
		}
		return out
	case string:
		return d.value(path, key, v)
	case float64:
		if key == "expires_in" {
			return "<int>"
		}
	}
	return v
}

var (
	hiddenRole  = lazy.Regexp(`(_withcond_)[0-9a-f]{20}$`)
	keyName     = lazy.Regexp(`/keys/[0-9a-f]{40}$`)
	enumeration = lazy.Regexp(`^[A-Z][A-Z0-9_]{3,}$`)
)

// value tells one string of an answer.
func (d *describer) value(path, key, s string) string {
	if format := d.format(path, key, s); format != "" {
		return format
	}
	switch {
	case hiddenRole().MatchString(s):
		return d.names.replace(hiddenRole().ReplaceAllString(s, "${1}<hex20>"))
	case keyName().MatchString(s) && d.terms.Documented:
		return "projects/<id>/serviceAccounts/<id>/keys/<key>"
	case keyName().MatchString(s): // one that nobody has named before has an id that nobody can know
		return keyName().ReplaceAllString(d.names.replace(s), "/keys/<key>")
	case strings.Contains(s, "/operations/"):
		return "<text>/operations/<text>"
	case d.terms.Documented && !strings.HasPrefix(path, ".bindings") && !constant(key, s):
		return "<text>"
	case isText(key):
		return d.names.add("text", s)
	}
	return d.names.replace(s)
}

// constant reports whether a value is Google's own even in a document.
func constant(key, s string) bool {
	switch key {
	case "status", "reason", "@type", "error":
		return true
	}
	return enumeration().MatchString(s) || strings.HasPrefix(s, "constraints/")
}

// format is the format of a value that is not kept, or "".
func (d *describer) format(path, key, s string) string {
	switch key {
	case "etag":
		return d.etag(s)
	case "uniqueId", "oauth2ClientId":
		return "<uid>"
	case "uid", "id":
		return "<id>"
	case "error_description":
		return "<text>"
	case "message", "description", "debugMessage", "subject":
		// The texts of errors are Google's to change.
		if d.terms.Documented || strings.HasPrefix(path, ".error") {
			return "<text>"
		}
	case "accessToken", "access_token", "token", "signedJwt", "idToken":
		return "<token>"
	case "privateKeyData", "publicKeyData", "signedBlob":
		return "<base64>"
	case "selfLink", "resourceId":
		return "<any>" + d.names.replace(s[strings.LastIndex(s, "/"):])
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if t.Nanosecond() == 0 {
			return "<seconds>"
		}
		return "<time>"
	}
	if strings.HasSuffix(key, "Time") || key == "generation" || key == "metageneration" { // milliseconds, or a counter
		return "<digits>"
	}
	return ""
}

// etag tells the etag of an answer. That of a policy that was read is kept, because it says since when the policy
// is what it is.
func (d *describer) etag(s string) string {
	switch raw, err := base64.StdEncoding.DecodeString(s); {
	case s == unsetEtag && d.policy:
		return s
	case s == d.terms.Placeholder && d.policy && !d.wrote:
		return "<policy-etag>"
	case d.policy && (d.wrote || d.terms.NoEtags):
		return "<set-etag>"
	case d.terms.Placeholder == s || d.terms.NoEtags:
		return "<etag>"
	case err == nil && len(raw) == 8 && raw[0] == 7:
		return s
	case d.policy:
		return "<set-etag>"
	case err == nil && d.storage && len(raw) > 1 && raw[0] == 8: // a counter
		return s
	}
	return "<etag>"
}
