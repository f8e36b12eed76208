package guard

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

func on(t *testing.T, text string) resource.Name {
	t.Helper()
	name, _, err := resource.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// base is a task with something in every field.
func base(t *testing.T) grants.Task {
	t.Helper()
	return grants.Task{
		Name: "report", Project: "acme-agents", TTL: time.Hour, Reason: "why",
		Grants: []grants.Grant{
			{Role: "roles/storage.objectViewer", Resource: on(t, "gs://acme-reports"), Prefix: "2026/"},
			{Permissions: []string{"storage.objects.create", "storage.objects.get"}, Resource: on(t, "gs://acme-drop")},
			{
				Role: "roles/secretmanager.secretAccessor", Resource: on(t, "projects/acme-data"),
				Condition: `request.time.getHours("Europe/Berlin") < 20`,
			},
			{Role: "roles/pubsub.publisher", Resource: on(t, "projects/acme-agents/topics/reports"), AcceptUnbounded: true},
			{Role: "roles/viewer", Resource: on(t, "projects/acme-agents"), AllowBasic: true, AcceptUnbounded: true},
		},
		Accept:  []grants.Acceptance{{Grant: 2, Finding: "hands-out-credentials", Reason: "it reads them"}},
		Deliver: []grants.DeliveryKind{"metadata"}, TokenLifetime: 30 * time.Minute,
		Audiences: []string{"https://a.example"}, Sandbox: grants.Sandbox{Tree: grants.TreeRead},
		Network: &grants.Network{
			Hosts: []grants.Host{
				{Name: "docs.example", Port: 443},
				{
					Name: "git.example", Port: 8443, Write: true, MaxUpload: 1000,
					Addresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
				},
				{
					Name: "api.example", Port: 443, Header: "x-api-key", Scheme: "Bearer",
					From: grants.Origin{Kind: grants.FromEnv, Name: "KEY"},
				},
				{Name: "db.example", Port: 5432, Tunnel: true},
			},
			Resources: []resource.Name{on(t, "gs://acme-public")}, MaxUpload: 10 << 20,
		},
	}
}

func TestWider(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(x *grants.Task)
		want []string // none: it opens no more
	}{
		{"nothing", func(*grants.Task) {}, nil},
		{"another reason", func(x *grants.Task) { x.Reason = "because" }, nil},
		{"another reason to accept", func(x *grants.Task) { x.Accept[0].Reason = "so" }, nil},
		{"another task", func(x *grants.Task) { x.Name = "other" }, []string{"task: other; before: report"}},
		{"another project", func(x *grants.Task) { x.Project = "acme-prod" }, []string{"project: acme-prod; before: acme-agents"}},
		{"the operator's project", func(x *grants.Task) { x.Project = "" }, nil},
		{"longer", func(x *grants.Task) { x.TTL = 8 * time.Hour }, []string{"ttl: 8h; before: 1h"}},
		{"shorter", func(x *grants.Task) { x.TTL = time.Minute }, nil},
		{"a key instead of metadata", func(x *grants.Task) { x.Deliver = []grants.DeliveryKind{"key"} },
			[]string{"deliver: key; before: metadata"}},
		{"a token if metadata will not do", func(x *grants.Task) { x.Deliver = append(x.Deliver, "token") },
			[]string{"deliver: token; before: metadata"}},
		{"whatever will do", func(x *grants.Task) { x.Deliver = nil }, []string{"deliver: key, token; before: metadata"}},
		{"the proxy", func(x *grants.Task) { x.Deliver = []grants.DeliveryKind{"proxy"} }, nil},
		{"tokens that live longer", func(x *grants.Task) { x.TokenLifetime = time.Hour },
			[]string{"token_lifetime: 1h; before: 30m"}},
		{"tokens of the delivery", func(x *grants.Task) { x.TokenLifetime = 0 },
			[]string{"token_lifetime: that of the delivery; before: 30m"}},
		{"tokens that end sooner", func(x *grants.Task) { x.TokenLifetime = 5 * time.Minute }, nil},
		{"one more audience", func(x *grants.Task) { x.Audiences = append(x.Audiences, "https://b.example") },
			[]string{"audiences: https://b.example; before: https://a.example"}},
		{"no audience", func(x *grants.Task) { x.Audiences = nil }, nil},

		{"a work tree to write to", func(x *grants.Task) { x.Sandbox.Tree = grants.TreeDirect },
			[]string{"tree: direct; before: read"}},
		{"whatever work tree", func(x *grants.Task) { x.Sandbox.Tree = "" }, []string{"tree: not said; before: read"}},

		{"no network", func(x *grants.Task) { x.Network = nil },
			[]string{"network: not said: any network will do; before: a closed one"}},
		{"a host less", func(x *grants.Task) { x.Network.Hosts = x.Network.Hosts[:3] }, nil},
		{"one more host", func(x *grants.Task) {
			x.Network.Hosts = append(x.Network.Hosts, grants.Host{Name: "new.example", Port: 443})
		}, []string{"host new.example: read; before: not reached"}},
		{"another port", func(x *grants.Task) { x.Network.Hosts[0].Port = 22 },
			[]string{"host docs.example:22: read; before: not reached"}},
		{"writing", func(x *grants.Task) { x.Network.Hosts[0].Write = true },
			[]string{"host docs.example: every method and login; before: read"}},
		{"a tunnel", func(x *grants.Task) { x.Network.Hosts[1].Write, x.Network.Hosts[1].Tunnel = false, true },
			[]string{"host git.example:8443: a tunnel; before: every method and login"}},
		{"reading", func(x *grants.Task) { x.Network.Hosts[1].Write = false }, nil},
		{"no tunnel", func(x *grants.Task) { x.Network.Hosts[3].Write, x.Network.Hosts[3].Tunnel = true, false }, nil},
		{"a credential", func(x *grants.Task) {
			x.Network.Hosts[0].Header, x.Network.Hosts[0].From = "x", grants.Origin{Kind: "file", Name: "/k"}
		}, []string{"host docs.example: every method, with file:/k added as x; before: read"}},
		{"another credential", func(x *grants.Task) { x.Network.Hosts[2].From.Name = "OTHER" }, []string{
			"host api.example: every method, with env:OTHER added as x-api-key Bearer; before: " +
				"every method, with env:KEY added as x-api-key Bearer"}},
		{"another kind of credential", func(x *grants.Task) { x.Network.Hosts[2].From.Kind = "command" }, []string{
			"host api.example: every method, with command:KEY added as x-api-key Bearer; before: " +
				"every method, with env:KEY added as x-api-key Bearer"}},
		{"another field", func(x *grants.Task) { x.Network.Hosts[2].Header = "x" }, []string{
			"host api.example: every method, with env:KEY added as x Bearer; before: " +
				"every method, with env:KEY added as x-api-key Bearer"}},
		{"another scheme", func(x *grants.Task) { x.Network.Hosts[2].Scheme = "" }, []string{
			"host api.example: every method, with env:KEY added as x-api-key; before: " +
				"every method, with env:KEY added as x-api-key Bearer"}},
		{"every login for the added one", func(x *grants.Task) {
			x.Network.Hosts[2] = grants.Host{Name: "api.example", Port: 443, Write: true}
		}, []string{"host api.example: every method and login; before: every method, with env:KEY added as x-api-key Bearer"}},
		{"no login for the added one", func(x *grants.Task) {
			x.Network.Hosts[2] = grants.Host{Name: "api.example", Port: 443}
		}, nil},
		{"more bytes to a host", func(x *grants.Task) { x.Network.Hosts[1].MaxUpload++ },
			[]string{"host git.example:8443: max_upload: 1001 bytes; before: 1000 bytes"}},
		{"any number of bytes to a host", func(x *grants.Task) { x.Network.Hosts[1].MaxUpload = 0 },
			[]string{"host git.example:8443: max_upload: any number of bytes; before: 1000 bytes"}},
		{"fewer bytes to a host", func(x *grants.Task) { x.Network.Hosts[0].MaxUpload, x.Network.Hosts[1].MaxUpload = 5, 999 }, nil},
		{"more addresses", func(x *grants.Task) {
			x.Network.Hosts[1].Addresses[0] = netip.MustParsePrefix("10.0.0.0/8")
		}, []string{"host git.example:8443: addresses: 10.0.0.0/8; before: 10.20.0.0/16"}},
		{"fewer addresses", func(x *grants.Task) {
			x.Network.Hosts[1].Addresses[0] = netip.MustParsePrefix("10.20.3.0/24")
		}, nil},
		{"one more resource", func(x *grants.Task) {
			x.Network.Resources = append(x.Network.Resources, on(t, "gs://acme-other"))
		}, []string{"network.resources: gs://acme-other; before: gs://acme-public"}},
		{"more bytes", func(x *grants.Task) { x.Network.MaxUpload = 11 << 20 },
			[]string{"network.max_upload: 11534336 bytes; before: 10485760 bytes"}},
		{"any number of bytes", func(x *grants.Task) { x.Network.MaxUpload = 0 },
			[]string{"network.max_upload: any number of bytes; before: 10485760 bytes"}},

		{"without a grant", func(x *grants.Task) { x.Grants = x.Grants[:4] }, nil},
		{"in another order", func(x *grants.Task) { slices.Reverse(x.Grants); x.Accept[0].Grant = 2 }, nil},
		{"one more grant", func(x *grants.Task) {
			x.Grants = append(x.Grants, grants.Grant{
				Role: "roles/storage.admin", Resource: on(t, "gs://acme-drop"), Condition: "a\nb",
			})
		}, []string{`grant on gs://acme-drop: roles/storage.admin if "a\nb"; before: storage.objects.create, storage.objects.get`}},
		{"another role", func(x *grants.Task) { x.Grants[0].Role = "roles/storage.objectUser" },
			[]string{"grant on gs://acme-reports: roles/storage.objectUser under `2026/`; before: roles/storage.objectViewer"}},
		{"another resource", func(x *grants.Task) { x.Grants[0].Resource = on(t, "gs://acme-payroll") },
			[]string{"grant on gs://acme-payroll: roles/storage.objectViewer under `2026/`; before: none"}},
		{"from a project to what is in it", func(x *grants.Task) {
			x.Grants[2].Resource = on(t, "projects/acme-data/secrets/s")
		}, nil},
		{"to what is in another project", func(x *grants.Task) {
			x.Grants[2].Resource = on(t, "projects/acme-data2/secrets/s")
		}, []string{"grant on projects/acme-data2/secrets/s: roles/secretmanager.secretAccessor " +
			"if `request.time.getHours(\"Europe/Berlin\") < 20`, accepting hands-out-credentials; before: none"}},
		{"no prefix", func(x *grants.Task) { x.Grants[0].Prefix = "" },
			[]string{"roles/storage.objectViewer on gs://acme-reports: prefix: none; before: `2026/`"}},
		{"another prefix", func(x *grants.Task) { x.Grants[0].Prefix = "2025/" },
			[]string{"roles/storage.objectViewer on gs://acme-reports: prefix: `2025/`; before: `2026/`"}},
		{"a longer prefix", func(x *grants.Task) { x.Grants[0].Prefix = "2026/01/" }, nil},
		{"a condition", func(x *grants.Task) { x.Grants[0].Condition = "request.time.getHours() < 20" }, nil},
		{"no condition", func(x *grants.Task) { x.Grants[2].Condition = "" }, []string{
			"roles/secretmanager.secretAccessor on projects/acme-data: condition: none; before: " +
				"`request.time.getHours(\"Europe/Berlin\") < 20`"}},
		{"another condition", func(x *grants.Task) { x.Grants[2].Condition = "true" }, []string{
			"roles/secretmanager.secretAccessor on projects/acme-data: condition: `true`; before: " +
				"`request.time.getHours(\"Europe/Berlin\") < 20`"}},
		{"one more permission", func(x *grants.Task) {
			x.Grants[1].Permissions = []string{"storage.objects.create", "storage.objects.delete", "storage.objects.get"}
		}, []string{"grant on gs://acme-drop: storage.objects.delete; before: storage.objects.create, storage.objects.get"}},
		{"one permission less", func(x *grants.Task) { x.Grants[1].Permissions = x.Grants[1].Permissions[:1] }, nil},
		{"a list in two grants", func(x *grants.Task) {
			second := x.Grants[1]
			second.Permissions = second.Permissions[1:]
			x.Grants[1].Permissions = x.Grants[1].Permissions[:1]
			x.Grants = append(x.Grants, second)
		}, nil},
		{"unbounded", func(x *grants.Task) { x.Grants[0].AcceptUnbounded = true }, []string{
			"roles/storage.objectViewer on gs://acme-reports: unbounded: accepted: it does not expire; before: it expired"}},
		{"basic", func(x *grants.Task) { x.Grants[0].AllowBasic = true },
			[]string{"roles/storage.objectViewer on gs://acme-reports: allow_basic: true; before: false"}},
		{"a finding accepted", func(x *grants.Task) {
			x.Accept = append(x.Accept, grants.Acceptance{Grant: 0, Finding: "escalates", Reason: "r"})
		}, []string{"roles/storage.objectViewer on gs://acme-reports: accept: escalates; before: none"}},
		{"a finding accepted of another grant", func(x *grants.Task) { x.Accept[0].Grant = 1 },
			[]string{"storage.objects.create, storage.objects.get on gs://acme-drop: accept: hands-out-credentials; before: none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			was, now := base(t), base(t)
			tt.edit(&now)
			var got []string
			for _, w := range Wider(ScopeOf(was), ScopeOf(now)) {
				got = append(got, w.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Where two grants give the same, the one that comes nearer is told of; and one without a condition covers all.
func TestWiderThanTheNearest(t *testing.T) {
	t.Parallel()
	bucket := on(t, "gs://acme-reports")
	was := grants.Task{Grants: []grants.Grant{
		{Role: "roles/x", Resource: bucket, Prefix: "a/", Condition: "c"},
		{Role: "roles/x", Resource: bucket, Prefix: "a/"},
	}}
	now := grants.Task{Grants: []grants.Grant{{Role: "roles/x", Resource: bucket, Condition: "d"}}}
	got := Wider(ScopeOf(was), ScopeOf(now))
	want := []Widening{{WiderPrefix, 0, "roles/x on gs://acme-reports: prefix", none, "`a/`"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := Wider(ScopeOf(now), ScopeOf(was)); len(got) != 2 {
		t.Errorf("other conditions are not covered: %v", got)
	}
}

// opensNothing are the fields whose change opens nothing.
var opensNothing = []string{"Task.Reason", "Acceptance.Reason"}

// A field that is added to a task, or to what is in one, and not to its scope would be a way around the comparison.
func TestEveryFieldOfATaskIsCompared(t *testing.T) {
	t.Parallel()
	was := ScopeOf(base(t))
	differs := map[string]bool{}
	visit(reflect.ValueOf(base(t)), nil, func(path []int, field string) {
		now := base(t)
		v := reflect.ValueOf(&now).Elem()
		for _, i := range path {
			for v.Kind() == reflect.Pointer {
				v = v.Elem()
			}
			if v.Kind() == reflect.Slice {
				v = v.Index(i)
			} else {
				v = v.Field(i)
			}
		}
		if v.IsZero() || field == "Grant.Resource" { // a grant without a resource is none
			differs[field] = differs[field] || field == "Grant.Resource"
			return
		}
		v.SetZero()
		differs[field] = differs[field] || !reflect.DeepEqual(was, ScopeOf(now))
	})
	if len(differs) < 30 {
		t.Errorf("only these fields were found: %v", differs)
	}
	for field, does := range differs {
		if does == slices.Contains(opensNothing, field) {
			t.Errorf("a scope must differ with %s, which the base of this test must have, unless it opens nothing", field)
		}
	}
}

// visit calls a function for every field in a value, of the types of package grants.
func visit(v reflect.Value, path []int, do func(path []int, field string)) {
	switch v.Kind() {
	case reflect.Pointer:
		visit(v.Elem(), path, do)
	case reflect.Slice:
		for i := range v.Len() {
			visit(v.Index(i), append(slices.Clone(path), i), do)
		}
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[grants.Task]().PkgPath() {
			return
		}
		for i := range v.NumField() {
			at := append(slices.Clone(path), i)
			do(at, v.Type().Name()+"."+v.Type().Field(i).Name)
			visit(v.Field(i), at, do)
		}
	}
}

func TestScopeIsKept(t *testing.T) {
	t.Parallel()
	want := ScopeOf(base(t))
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseScope(b)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	text := string(b)
	for name, broken := range map[string]string{
		"a later version":    strings.Replace(text, `"version":1`, `"version":2`, 1),
		"no version":         strings.Replace(text, `"version":1,`, ``, 1),
		"an unknown field":   strings.Replace(text, `"task"`, `"hosts":["x"],"task"`, 1),
		"a field of a grant": strings.Replace(text, `"role"`, `"more":1,"role"`, 1),
		"cut short":          text[:len(text)-1],
		"more behind it":     text + "{}",
		"nothing":            "",
		"something else":     "[]",
	} {
		if s, err := ParseScope([]byte(broken)); err == nil {
			t.Errorf("%s: it was read, as %+v", name, s)
		}
	}
}

// Whatever is kept, reading it does not panic, and a scope is no wider than itself.
func FuzzScope(f *testing.F) {
	f.Add([]byte(`{"version":1,"task":"t","ttl":3600000000000,"grants":[]}`), []byte(`{}`))
	f.Add([]byte(`{"version":1,"task":"t","ttl":1,"grants":[{"role":"r","resource":"gs://b","prefix":"p","condition":"c"}]}`),
		[]byte(`{"version":1,"task":"t","ttl":2,"grants":[{"permissions":["a","b"],"resource":"projects/p","accept":["x"]}],`+
			`"deliver":["key"],"audiences":["a"]}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, err := ParseScope(a)
		if err != nil {
			return
		}
		if w := Wider(x, x); len(w) > 0 {
			t.Errorf("a scope is wider than itself: %v", w)
		}
		y, err := ParseScope(b)
		if err != nil {
			return
		}
		for _, w := range Wider(x, y) {
			if strings.ContainsAny(w.String(), "\n\r\x1b") {
				t.Errorf("%q has more than one line", w)
			}
		}
	})
}
