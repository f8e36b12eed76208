package emulator

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// sample returns a relative name of the type that no other type's sample has.
func (t *resourceType) sample(i int) string {
	segments := slices.Clone(t.template)
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
	if t.template[0] == "**" {
		return fmt.Sprintf("projects/acme-data/things/x%d/more", i)
	}
	if t.template[0] == "*" { // any container
		segments[0] = "billingAccounts"
	}
	return strings.Join(segments, "/")
}

// full is the full resource name of a relative one.
func (t *resourceType) full(relative string) string {
	if t.host == storageHost {
		relative = strings.Replace(relative, "b/", "projects/_/buckets/", 1)
	}
	return "//" + t.host + "/" + relative
}

// url is where a method of the type is called.
func (t *resourceType) url(base string, prefix []string, relative string, verb policyVerb) string {
	if i := strings.Index(relative, managedFolders); i >= 0 {
		i += len(managedFolders)
		relative = relative[:i] + url.PathEscape(relative[i:])
	}
	path := base + "/" + strings.Join(prefix, "/") + "/" + relative
	switch {
	case t.form != "/iam":
		return path + t.form + string(verb)
	case verb == testPermissions:
		return path + "/iam/testPermissions"
	}
	return path + "/iam"
}

// roleWith returns a role that can be bound on a resource of the type and is none of
// the basic ones, and a permission that it gives; the first that match, by name.
func (t *resourceType) roleWith(permission string) *role {
	service := t.spec().writeOptions().service
	for _, r := range sortedRoles() {
		if !isBasic(r.Name) && !strings.HasPrefix(r.Name, "roles/storage.legacy") && r.grantableOn(service) && (permission == "" || r.has(permission)) {
			return r
		}
	}
	return nil
}

// Every type of the table answers as its line says.
func TestEveryType(t *testing.T) {
	t.Parallel()
	bare := newLab(t)
	type row struct {
		*resourceType
		relative string
	}
	var rows []row
	seed := strings.Builder{}
	seed.Write(acme)
	administrators := map[string]bool{}
	for i, rt := range resourceTypes() {
		if handWritten(bare.seeding(), rt) {
			continue
		}
		rows = append(rows, row{rt, rt.sample(i)})
		if typeOf(rt.full(rt.sample(i))).name != rt.name {
			t.Errorf("%s is taken for a %s", rt.full(rt.sample(i)), typeOf(rt.full(rt.sample(i))).name)
		}
		fmt.Fprintf(&seed, "\n[[resource]]\nname = %q\n", rt.full(rt.sample(i)))
		for _, verb := range []policyVerb{getPolicy, setPolicy} {
			r := rt.roleWith(rt.permission + "." + string(verb))
			if rt.set != "-" && r == nil {
				t.Fatalf("no role holds %s.%s", rt.permission, verb)
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
	var w wirePolicy
	if err := json.Unmarshal([]byte(l.must(l.operator, "POST", organization+":getIamPolicy", "").raw), &w); err != nil {
		t.Fatal(err)
	}
	for name := range administrators {
		w.Bindings = append(w.Bindings, binding{Role: name, Members: []string{"user:olivia@acme.example"}})
	}
	body, err := json.Marshal(map[string]any{"policy": w})
	if err != nil {
		t.Fatal(err)
	}
	// The operator has to be let in by the seed's own hand: no more of it is needed.
	l.wire.state.Organizations["123456789012"].Policy.Bindings = append(l.wire.state.Organizations["123456789012"].Policy.Bindings,
		binding{Role: "roles/resourcemanager.organizationAdmin", Members: []string{"user:olivia@acme.example"}})
	l.must(l.operator, "POST", organization+":setIamPolicy", string(body))

	email := l.account("ti-walker")
	token := l.mint(email)
	for _, row := range rows {
		t.Run(row.name+" "+strings.Join(row.prefixes[0], "/"), func(t *testing.T) {
			l := *l
			l.t = t
			row.walk(&l, row.relative, email, token)
		})
	}
}

// walk does with one resource all that can be done.
func (t *resourceType) walk(l *lab, relative, email, token string) {
	base := "https://" + t.host
	at := func(verb policyVerb) string { return t.url(base, t.prefixes[0], relative, verb) }
	for _, prefix := range t.prefixes {
		for _, base := range []string{base, "http://127.0.0.1:8790", "http://localhost"} {
			if got := l.must(l.operator, t.get, t.url(base, prefix, relative, getPolicy), "").raw; got != `{"etag":"ACAB"}` {
				l.t.Errorf("at %s/%s the policy that was never set is %s", base, prefix, got)
			}
		}
	}
	other := map[string]string{"GET": "POST", "POST": "GET"}[t.get]
	if t.form != "/iam" {
		l.want(l.do(l.operator, other, at(getPolicy), ""), 501, "UNIMPLEMENTED")
	}
	denied, anonymous := "PERMISSION_DENIED", "UNAUTHENTICATED"
	if t.host == storageHost { // whose errors have no status
		denied, anonymous = "", ""
	}
	l.want(l.do(token, t.get, at(getPolicy), ""), 403, denied)
	l.want(l.do("", t.get, at(getPolicy), ""), 401, anonymous)
	if t.set == "-" {
		l.want(l.do(l.operator, "POST", at(setPolicy), "{}"), 501, "UNIMPLEMENTED")
		return
	}

	r := t.roleWith("")
	set := func(token string, w wirePolicy) response {
		l.t.Helper()
		var v any = map[string]any{"policy": w}
		if t.set == "PUT" {
			v = w
		}
		body, err := json.Marshal(v)
		if err != nil {
			l.t.Fatal(err)
		}
		return l.do(token, t.set, at(setPolicy), string(body))
	}
	plain := binding{Role: r.Name, Members: []string{"serviceAccount:" + email}}
	l.want(set(token, wirePolicy{Bindings: []binding{plain}}), 403, denied)
	answer := set(l.operator, wirePolicy{Etag: unsetEtag, Bindings: []binding{plain}})
	etag := answer.str("etag")
	if answer.code != 200 || etag == "" || etag == unsetEtag || answer.body["version"] != 1.0 {
		l.t.Fatalf("setting the policy: %d %s", answer.code, answer.raw)
	}
	stale := set(l.operator, wirePolicy{Etag: unsetEtag, Bindings: []binding{plain}})
	if t.host == storageHost {
		l.want(stale, 412, "")
	} else {
		l.want(stale, 409, "ABORTED")
	}

	if t.test == "-" {
		l.want(l.do(token, "POST", at(testPermissions), `{"permissions":["a.b.c"]}`), 501, "UNIMPLEMENTED")
	} else {
		const missing = "emulator.things.imagine"
		held := r.Permissions[0]
		asked, body := at(testPermissions), ""
		if t.test == "query" {
			asked += "?" + url.Values{"permissions": {held, missing}}.Encode()
		} else {
			body = fmt.Sprintf(`{"permissions":[%q,%q]}`, held, missing)
		}
		if got, want := l.must(token, t.testVerb, asked, body).raw, fmt.Sprintf(`{"permissions":[%q]}`, held); got != want {
			l.t.Errorf("%s: the account holds %s, want %s", asked, got, want)
		}
	}

	timed := plain
	timed.Condition = until("2026-04-01T00:00:00Z")
	answer = set(l.operator, wirePolicy{Version: 3, Etag: etag, Bindings: []binding{timed}})
	if !t.conditions {
		l.want(answer, 400, "INVALID_ARGUMENT")
		return
	}
	if answer.code != 200 || answer.body["version"] != 3.0 {
		l.t.Fatalf("setting a policy with a condition: %d %s", answer.code, answer.raw)
	}
	// Version 3 may be asked for in the query, in either spelling, and in the body.
	for _, q := range []string{"?options.requestedPolicyVersion=3", "?optionsRequestedPolicyVersion=3"} {
		if got := l.must(l.operator, t.get, at(getPolicy)+q, ""); got.body["version"] != 3.0 {
			l.t.Errorf("the policy read with %s is %s", q, got.raw)
		}
	}
	if t.get == "POST" {
		if got := l.must(l.operator, t.get, at(getPolicy), `{"options":{"requestedPolicyVersion":3}}`); got.body["version"] != 3.0 {
			l.t.Errorf("the policy read with options is %s", got.raw)
		}
	}
	if t.host != storageHost {
		if got := l.must(l.operator, t.get, at(getPolicy), ""); !strings.Contains(got.raw, "_withcond_") || strings.Contains(got.raw, "request.time") {
			l.t.Errorf("the policy read as version 1 is %s", got.raw)
		}
	}
}
