package emulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/named"
)

// sampleOf returns a relative name of the type that no other type's sample has.
func sampleOf(t *named.ResourceType, i int) string {
	segments := slices.Clone(t.Template)
	for j, s := range segments {
		if s != "*" && s != "**" {
			continue
		}
		segments[j] = fmt.Sprintf("x%d", i)
		if j == 0 {
			continue
		}
		switch segments[j-1] {
		case "projects":
			segments[j] = "acme-data"
		case "folders":
			segments[j] = "345678901234"
		case "organizations":
			segments[j] = "123456789012"
		case "b":
			segments[j] = "acme-reports"
		case "managedFolders":
			segments[j] += "/"
		}
	}
	if t.Template[0] == "**" {
		return fmt.Sprintf("projects/acme-data/things/x%d/more", i)
	}
	if t.Template[0] == "*" { // any container
		segments[0] = "billingAccounts"
	}
	return strings.Join(segments, "/")
}

// fullNameOf is the full resource name of a relative one.
func fullNameOf(t *named.ResourceType, relative string) string {
	if t.Host == hostStorage {
		relative = strings.Replace(relative, "b/", "projects/_/buckets/", 1)
	}
	return "//" + t.Host + "/" + relative
}

// urlOf is where a method of the type is called.
func urlOf(t *named.ResourceType, base string, prefix []string, relative string, verb named.PolicyVerb) string {
	if i := strings.Index(relative, "/managedFolders/"); i >= 0 {
		i += len("/managedFolders/")
		relative = relative[:i] + url.PathEscape(relative[i:])
	}
	path := base + "/" + strings.Join(prefix, "/") + "/" + relative
	switch {
	case t.Form != "/iam":
		return path + t.Form + string(verb)
	case verb == named.TestPermissions:
		return path + "/iam/testPermissions"
	}
	return path + "/iam"
}

// roleWith returns a role that can be bound on a resource of the type and is none of
// the basic ones, and a permission that it gives; the first that match, by name.
func roleWith(t *named.ResourceType, permission string) *iam.Role {
	service := t.Spec().WriteOptions().Service
	for _, name := range slices.Sorted(maps.Keys(iam.Predefined())) {
		r := iam.Predefined()[name]
		if !iam.IsBasic(r.Name) && !strings.HasPrefix(r.Name, "roles/storage.legacy") && r.GrantableOn(service) && (permission == "" || r.Has(permission)) {
			return r
		}
	}
	return nil
}

// Every type of the table answers as its line says.
func TestEveryType(t *testing.T) {
	t.Parallel()
	bare := newLab(t)
	serves := func(host, verb, path string) bool {
		m, _ := bare.wire.Router.Find(host, verb, path)
		return m != nil && !m.CatchAll()
	}
	type row struct {
		*named.ResourceType
		relative string
	}
	var rows []row
	seed := strings.Builder{}
	seed.Write(acme)
	administrators := map[string]bool{}
	for i, rt := range named.ResourceTypes() {
		if named.HandWritten(serves, rt) {
			continue
		}
		rows = append(rows, row{rt, sampleOf(rt, i)})
		if named.TypeOf(fullNameOf(rt, sampleOf(rt, i))).Name != rt.Name {
			t.Errorf("%s is taken for a %s", fullNameOf(rt, sampleOf(rt, i)), named.TypeOf(fullNameOf(rt, sampleOf(rt, i))).Name)
		}
		fmt.Fprintf(&seed, "\n[[resource]]\nname = %q\n", fullNameOf(rt, sampleOf(rt, i)))
		for _, verb := range []named.PolicyVerb{named.GetPolicy, named.SetPolicy} {
			r := roleWith(rt, rt.Permission+"."+string(verb))
			if rt.Set != "-" && r == nil {
				t.Fatalf("no role holds %s.%s", rt.Permission, verb)
			}
			if r != nil {
				administrators[r.Name] = true
			}
		}
	}
	if len(rows) < 285 {
		t.Errorf("the table has %d types", len(rows))
	}
	l := newLab(t, func(c *Config) { c.Seed = []byte(seed.String()) })
	organization := crm + "v3/organizations/123456789012"
	var w iam.PolicyJSON
	if err := json.Unmarshal([]byte(l.must(l.operator, "POST", organization+":getIamPolicy", "").raw), &w); err != nil {
		t.Fatal(err)
	}
	for name := range administrators {
		w.Bindings = append(w.Bindings, iam.Binding{Role: name, Members: []string{"user:olivia@acme.example"}})
	}
	body, err := json.Marshal(map[string]any{"policy": w})
	if err != nil {
		t.Fatal(err)
	}
	// The operator has to be let in by the seed's own hand: no more of it is needed.
	l.wire.State().Organizations["123456789012"].Policy.Bindings = append(l.wire.State().Organizations["123456789012"].Policy.Bindings,
		iam.Binding{Role: "roles/resourcemanager.organizationAdmin", Members: []string{"user:olivia@acme.example"}})
	l.must(l.operator, "POST", organization+":setIamPolicy", string(body))

	email := l.account("ti-walker")
	token := l.mint(email)
	for _, row := range rows {
		t.Run(row.Name+" "+strings.Join(row.Prefixes[0], "/"), func(t *testing.T) {
			l := *l
			l.t = t
			walkType(row.ResourceType, &l, row.relative, email, token)
		})
	}
}

// walkType does with one resource all that can be done.
func walkType(t *named.ResourceType, l *lab, relative, email, token string) {
	base := "https://" + t.Host
	at := func(verb named.PolicyVerb) string { return urlOf(t, base, t.Prefixes[0], relative, verb) }
	for _, prefix := range t.Prefixes {
		for _, base := range []string{base, "http://127.0.0.1:8790", "http://localhost"} {
			if got := l.must(l.operator, t.Get, urlOf(t, base, prefix, relative, named.GetPolicy), "").raw; got != `{"etag":"ACAB"}` {
				l.t.Errorf("at %s/%s the policy that was never set is %s", base, prefix, got)
			}
		}
	}
	other := map[string]string{"GET": "POST", "POST": "GET"}[t.Get]
	if t.Form != "/iam" {
		l.want(l.do(l.operator, other, at(named.GetPolicy), ""), 501, "UNIMPLEMENTED")
	}
	denied, anonymous := "PERMISSION_DENIED", "UNAUTHENTICATED"
	if t.Host == hostStorage { // whose errors have no status
		denied, anonymous = "", ""
	}
	l.want(l.do(token, t.Get, at(named.GetPolicy), ""), 403, denied)
	l.want(l.do("", t.Get, at(named.GetPolicy), ""), 401, anonymous)
	if t.Set == "-" {
		l.want(l.do(l.operator, "POST", at(named.SetPolicy), "{}"), 501, "UNIMPLEMENTED")
		return
	}

	r := roleWith(t, "")
	set := func(token string, w iam.PolicyJSON) response {
		l.t.Helper()
		var v any = map[string]any{"policy": w}
		if t.Set == "PUT" {
			v = w
		}
		body, err := json.Marshal(v)
		if err != nil {
			l.t.Fatal(err)
		}
		return l.do(token, t.Set, at(named.SetPolicy), string(body))
	}
	plain := iam.Binding{Role: r.Name, Members: []string{"serviceAccount:" + email}}
	l.want(set(token, iam.PolicyJSON{Bindings: []iam.Binding{plain}}), 403, denied)
	answer := set(l.operator, iam.PolicyJSON{Etag: iam.UnsetEtag, Bindings: []iam.Binding{plain}})
	etag := answer.str("etag")
	if answer.code != 200 || etag == "" || etag == iam.UnsetEtag || answer.body["version"] != 1.0 {
		l.t.Fatalf("setting the policy: %d %s", answer.code, answer.raw)
	}
	stale := set(l.operator, iam.PolicyJSON{Etag: iam.UnsetEtag, Bindings: []iam.Binding{plain}})
	if t.Host == hostStorage {
		l.want(stale, 412, "")
	} else {
		l.want(stale, 409, "ABORTED")
	}

	if t.Test == "-" {
		l.want(l.do(token, "POST", at(named.TestPermissions), `{"permissions":["a.b.c"]}`), 501, "UNIMPLEMENTED")
	} else {
		const missing = "emulator.things.imagine"
		held := r.Permissions[0]
		asked, body := at(named.TestPermissions), ""
		if t.Test == "query" {
			asked += "?" + url.Values{"permissions": {held, missing}}.Encode()
		} else {
			body = fmt.Sprintf(`{"permissions":[%q,%q]}`, held, missing)
		}
		if got, want := l.must(token, t.TestVerb, asked, body).raw, fmt.Sprintf(`{"permissions":[%q]}`, held); got != want {
			l.t.Errorf("%s: the account holds %s, want %s", asked, got, want)
		}
	}

	timed := plain
	timed.Condition = until("2026-04-01T00:00:00Z")
	answer = set(l.operator, iam.PolicyJSON{Version: 3, Etag: etag, Bindings: []iam.Binding{timed}})
	if !t.Conditions {
		l.want(answer, 400, "INVALID_ARGUMENT")
		return
	}
	if answer.code != 200 || answer.body["version"] != 3.0 {
		l.t.Fatalf("setting a policy with a condition: %d %s", answer.code, answer.raw)
	}
	// Version 3 may be asked for in the query, in either spelling, and in the body.
	for _, q := range []string{"?options.requestedPolicyVersion=3", "?optionsRequestedPolicyVersion=3"} {
		if got := l.must(l.operator, t.Get, at(named.GetPolicy)+q, ""); got.body["version"] != 3.0 {
			l.t.Errorf("the policy read with %s is %s", q, got.raw)
		}
	}
	if t.Get == "POST" {
		if got := l.must(l.operator, t.Get, at(named.GetPolicy), `{"options":{"requestedPolicyVersion":3}}`); got.body["version"] != 3.0 {
			l.t.Errorf("the policy read with options is %s", got.raw)
		}
	}
	if t.Host != hostStorage {
		if got := l.must(l.operator, t.Get, at(named.GetPolicy), ""); !strings.Contains(got.raw, "_withcond_") || strings.Contains(got.raw, "request.time") {
			l.t.Errorf("the policy read as version 1 is %s", got.raw)
		}
	}
}
