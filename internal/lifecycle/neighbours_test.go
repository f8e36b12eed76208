package lifecycle_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// special is a kind of resource whose policy a run edits among what others have there.
type special struct {
	name, role string
	open       bool   // allUsers may be bound on it
	audit      bool   // it has audit configurations
	seed       string // what makes it, if the company has none
}

// Every special case of how policies are read and written.
var specials = []special{
	{name: "projects/acme-data", role: "roles/browser", audit: true},
	{name: "folders/345678901234", role: "roles/browser", audit: true},
	{name: "organizations/123456789012", role: "roles/browser", audit: true},
	{name: "gs://acme-reports", role: "roles/storage.objectViewer", open: true},
	{name: "bq://acme-data.sales", role: "roles/bigquery.dataViewer"},
	{name: "projects/acme-data/datasets/sales/tables/orders", role: "roles/bigquery.dataViewer"},
	{name: "projects/acme-agents/topics/reports", role: "roles/pubsub.publisher"},
	{name: "projects/acme-agents/subscriptions/reports-audit", role: "roles/pubsub.subscriber"},
	{name: "projects/acme-agents/secrets/api-key", role: "roles/secretmanager.secretAccessor"},
	{name: "projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com", role: "roles/iam.serviceAccountViewer"},
	{name: "projects/_/buckets/acme-reports/managedFolders/2026/", role: "roles/storage.objectViewer", seed: typed("//storage.googleapis.com/projects/_/buckets/acme-reports/managedFolders/2026/")},
	{name: "projects/acme-data/zones/europe-west3-a/instances/vm", role: "roles/compute.osLogin", seed: typed("//compute.googleapis.com/projects/acme-data/zones/europe-west3-a/instances/vm")},
	{name: "//run.googleapis.com/projects/acme-data/locations/europe-west3/services/web", role: "roles/run.invoker", seed: typed("//run.googleapis.com/projects/acme-data/locations/europe-west3/services/web")},
	{name: "projects/acme-data/instances/main/databases/orders", role: "roles/spanner.databaseReader", seed: typed("//spanner.googleapis.com/projects/acme-data/instances/main/databases/orders")},
	{name: "billingAccounts/01A2B3-C4D5E6-F7A8B9", role: "roles/billing.viewer", seed: typed("//cloudbilling.googleapis.com/billingAccounts/01A2B3-C4D5E6-F7A8B9")},
	{name: "projects/acme-data/locations/europe-west3/keyRings/acme/cryptoKeys/release", role: "roles/cloudkms.cryptoKeyEncrypterDecrypter",
		seed: "[[key_ring]]\nproject = \"acme-data\"\nlocation = \"europe-west3\"\nname = \"acme\"\n[[key_ring.key]]\nname = \"release\"\n"},
}

// typed is the seed of a resource of which there is no more than a policy.
func typed(full string) string { return "[[resource]]\nname = \"" + full + "\"\n" }

// parsed returns the resource; it has to be one.
func (s special) parsed(t *testing.T) resource.Name {
	t.Helper()
	name, _, err := resource.Parse(s.name)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// neighboursManifest is a task with a grant on each of the special cases.
func neighboursManifest(t *testing.T, of []special) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("version = 1\n[task]\nname = \"among-others\"\nproject = \"acme-agents\"\nttl = \"1h\"\n[credentials]\ndeliver = \"key\"\n")
	for _, s := range of {
		fmt.Fprintf(&b, "[[grant]]\nrole = %q\nresource = %q\n", s.role, s.name)
		if !(grants.Grant{Role: s.role, Resource: s.parsed(t)}).Bounded() {
			b.WriteString("unbounded = \"accept\"\n")
		}
	}
	return b.String()
}

// newSeededWorld is newWorld with more in it, and an operator who may set policies up to
// the organization.
func newSeededWorld(t *testing.T, more string) *world {
	t.Helper()
	acme, err := os.ReadFile("../../emulator/seed/acme.toml")
	if err != nil {
		t.Fatal(err)
	}
	const admin = `
[[organization.binding]]
role    = "roles/resourcemanager.organizationAdmin"
members = ["user:olivia@acme.example"]
[[organization.binding]]
role    = "roles/iam.securityAdmin"
members = ["user:olivia@acme.example"]
`
	server, err := emulator.New(emulator.Config{
		Seed: []byte(string(acme) + admin + more), NewKey: func() (*rsa.PrivateKey, error) { return testKey(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return worldOn(t, server)
}

// rest makes one call as the operator, which has to come off, without any of the code
// that is under test.
func (w *world) rest(method, url string, header http.Header, body any) map[string]any {
	w.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if body == nil {
		b = nil
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, url, bytes.NewReader(b))
	if err != nil {
		w.t.Fatal(err)
	}
	_, token := w.server.Operator()
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := w.wire.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: %d %s, %v", method, url, answer.StatusCode, got, err)
	}
	return decode(w.t, got)
}

// policyURL is one of the paths of a resource's API, asked for version 3.
func policyURL(name resource.Name, path string) string {
	api := name.Type().API
	query := map[resource.VersionIn]string{
		resource.VersionInQuery:        "?options.requestedPolicyVersion=3",
		resource.VersionInCompactQuery: "?optionsRequestedPolicyVersion=3",
		resource.VersionInAccessQuery:  "?accessPolicyVersion=3",
	}[api.VersionIn]
	return "https://" + name.Host() + "/" + name.Expand(path) + query
}

// policy reads what Google would answer, its etag included.
func (w *world) policy(name resource.Name) map[string]any {
	w.t.Helper()
	api := name.Type().API
	var body any
	if api.GetVerb == http.MethodPost {
		body = map[string]any{"options": map[string]any{"requestedPolicyVersion": 3}}
	}
	return w.rest(api.GetVerb, policyURL(name, api.GetPath), nil, body)
}

// setPolicy writes a policy that was read by policy.
func (w *world) setPolicy(name resource.Name, p map[string]any) {
	w.t.Helper()
	api := name.Type().API
	p["version"] = 3
	switch api.Dialect {
	case resource.Standard:
		w.rest(api.SetVerb, policyURL(name, api.SetPath), nil, map[string]any{"policy": p, "updateMask": "bindings,etag,auditConfigs"})
	case resource.Bucket:
		w.rest(api.SetVerb, policyURL(name, api.SetPath), nil, p)
	case resource.Dataset:
		w.rest(api.SetVerb, policyURL(name, api.SetPath), nil, map[string]any{"access": p["access"]})
	}
}

// doomed is an account of somebody else's, which is deleted while policies name it.
const doomed = "doomed@acme-agents.iam.gserviceaccount.com"

type object = map[string]any

// crowd binds others on a resource, in all the ways in which they can be.
func (w *world) crowd(s special) {
	w.t.Helper()
	name := s.parsed(w.t)
	p := w.policy(name)
	night := object{"title": "night", "description": "others work then", "expression": `request.time.getHours("UTC") < 6`}
	list := func(of string) []any { l, _ := p[of].([]any); return l }
	if name.Type().API.Dialect == resource.Dataset {
		p["access"] = append(list("access"),
			object{"role": "READER", "userByEmail": "mara@acme.example"},
			object{"role": "READER", "userByEmail": "noah@acme.example", "condition": night},
			object{"role": "READER", "userByEmail": "ci-runner@acme-agents.iam.gserviceaccount.com"},
			object{"role": "roles/bigquery.metadataViewer", "domain": "acme.example"},
			object{"role": "READER", "specialGroup": "allAuthenticatedUsers"},
			object{"role": "READER", "iamMember": "principalSet://iam.googleapis.com/projects/567890123456/locations/global/workloadIdentityPools/p/*"},
			object{"role": "READER", "iamMember": "allUsers"},
			object{"view": object{"projectId": "acme-data", "datasetId": "hr", "tableId": "other"}},
			object{"routine": object{"projectId": "acme-data", "datasetId": "hr", "routineId": "f"}},
			object{"dataset": object{"dataset": object{"projectId": "acme-data", "datasetId": "hr"}, "targetTypes": []any{"VIEWS"}}})
	} else {
		bindings := append(list("bindings"),
			object{"role": s.role, "members": []any{"user:mara@acme.example", "group:analysts@acme.example", "domain:acme.example"}},
			object{"role": s.role, "members": []any{"serviceAccount:" + doomed}, "x-of-a-binding": object{"n": 1e300}})
		if name.Type().Conditions {
			bindings = append(bindings, object{"role": s.role, "members": []any{"user:noah@acme.example", "serviceAccount:" + doomed}, "condition": night})
		}
		if s.open {
			bindings = append(bindings, object{"role": s.role, "members": []any{"allUsers", "allAuthenticatedUsers"}})
		}
		p["bindings"], p["x-of-a-policy"] = bindings, []any{1, "two"}
		if s.audit {
			p["auditConfigs"] = append(list("auditConfigs"), object{"service": "storage.googleapis.com",
				"auditLogConfigs": []any{object{"logType": "DATA_READ", "exemptedMembers": []any{"user:mara@acme.example"}}}})
		}
	}
	w.setPolicy(name, p)
}

// foreign is what of a policy is not the account's, in the order and the form in which it
// is answered.
func foreign(t *testing.T, p map[string]any, email string) string {
	t.Helper()
	kept := object{}
	for k, v := range p {
		switch k {
		case "etag", "version", "lastModifiedTime": // each write changes these
		case "bindings":
			var bindings []any
			for _, b := range v.([]any) {
				members := slices.DeleteFunc(slices.Clone(b.(object)["members"].([]any)), func(m any) bool { return m == "serviceAccount:"+email })
				if len(members) > 0 {
					b.(object)["members"] = members
					bindings = append(bindings, b)
				}
			}
			kept[k] = bindings
		case "access":
			kept[k] = slices.DeleteFunc(slices.Clone(v.([]any)), func(e any) bool { return e.(object)["userByEmail"] == email })
		default:
			kept[k] = v
		}
	}
	b, err := json.MarshalIndent(kept, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A run among others, on every special case at once: while it is up, and when it is down,
// all that is not its own is as it was, byte for byte. Others have failed just here:
// vault-plugin-secrets-gcp wrote a dataset's list back with its users and groups alone, as
// did terraform-provider-google#11218 and pulumi-gcp#2707, which erased views; and it took
// bindings for the same whose roles are, whatever their conditions.
func TestNeighboursAreUnhurt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seed := "[[service_account]]\nproject = \"acme-agents\"\nid = \"doomed\"\n"
		for _, s := range specials {
			seed += s.seed
		}
		w := newSeededWorld(t, seed)
		for _, s := range specials {
			w.crowd(s)
		}
		w.rest("DELETE", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/"+doomed, nil, nil)
		before := map[string]string{}
		for _, s := range specials {
			before[s.name] = foreign(t, w.policy(s.parsed(t)), "")
			dead := "deleted:serviceAccount:" + doomed + "?uid="
			if s.parsed(t).Type().API.Dialect != resource.Dataset && !strings.Contains(before[s.name], dead) {
				t.Fatalf("%s names no deleted account: %s", s.name, before[s.name])
			}
		}
		w.before = w.snapshot()

		_, plan := w.up(neighboursManifest(t, specials))
		for _, s := range specials {
			p := w.policy(s.parsed(t))
			if text, _ := json.Marshal(p); !bytes.Contains(text, []byte(plan.Email)) {
				t.Errorf("%s does not name the run: %s", s.name, text)
			}
			if diff := cmp.Diff(before[s.name], foreign(t, p, plan.Email)); diff != "" {
				t.Errorf("while the run is up, %s is not as others left it:\n%s", s.name, diff)
			}
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		for _, s := range specials {
			if diff := cmp.Diff(before[s.name], foreign(t, w.policy(s.parsed(t)), plan.Email)); diff != "" {
				t.Errorf("after the run, %s is not as others left it:\n%s", s.name, diff)
			}
		}
		w.asBefore()
	})
}

// The one exception: a dataset's deleted members, which BigQuery answers and refuses. They
// are named beforehand, in the journal, and in the receipt, and nothing else goes.
func TestDeletedMembersOfADataset(t *testing.T) {
	t.Parallel()
	dataset := special{name: "bq://acme-data.sales", role: "roles/bigquery.dataViewer"}
	setup := func(t *testing.T) (*world, policy.Binding, string) {
		w := newSeededWorld(t, "[[service_account]]\nproject = \"acme-agents\"\nid = \"doomed\"\n")
		w.crowd(dataset)
		name := dataset.parsed(t)
		w.before = w.withoutDoomed()
		without := foreign(t, w.policy(name), "")
		p := w.policy(name)
		list, _ := p["access"].([]any)
		p["access"] = slices.Insert(list, 2, any(object{"role": "WRITER", "userByEmail": doomed}))
		w.setPolicy(name, p)
		w.kill()
		doc, err := w.engine().Cloud.ReadPolicy(t.Context(), name)
		if err != nil || len(doc.Dropped()) != 1 {
			t.Fatalf("dropped would be %v, %v", doc.Dropped(), err)
		}
		return w, doc.Dropped()[0], without
	}
	drops := func(w *world, run grants.RunID) []journal.Drop {
		r, err := w.engine().Journals.Read(run)
		if err != nil {
			w.t.Fatal(err)
		}
		return r.Drops
	}

	t.Run("up drops it", func(t *testing.T) {
		t.Parallel()
		w, dead, without := setup(t)
		name := dataset.parsed(t)
		source := neighboursManifest(t, []special{dataset})
		e := w.engine()
		preview, err := e.Preview(t.Context(), w.plan(e, source))
		if err != nil || !slices.Equal(preview.Dropped[name], []policy.Binding{dead}) {
			t.Fatalf("plan drops %v, %v", preview.Dropped, err)
		}
		_, plan := w.up(source)
		got := drops(w, plan.Run)
		if len(got) != 1 || got[0].Binding.Grants() != dead || got[0].Resource != name.Full() || got[0].Effect != journal.Done {
			t.Errorf("the journal has %+v, want %v", got, dead)
		}
		if diff := cmp.Diff(without, foreign(t, w.policy(name), plan.Email)); diff != "" {
			t.Error(diff)
		}
		receipt, err := w.engine().Down(t.Context(), plan.Run, 0)
		if err != nil || len(receipt.Run.Drops) != 1 { // only what up dropped
			t.Errorf("%+v, %v", receipt.Run.Drops, err)
		}
		w.asBefore()
	})

	t.Run("down drops it", func(t *testing.T) {
		t.Parallel()
		w := newSeededWorld(t, "[[service_account]]\nproject = \"acme-agents\"\nid = \"doomed\"\n")
		name := dataset.parsed(t)
		w.before = w.withoutDoomed()
		_, plan := w.up(neighboursManifest(t, []special{dataset}))
		p := w.policy(name)
		list, _ := p["access"].([]any)
		p["access"] = append(list, object{"role": "WRITER", "userByEmail": doomed})
		w.setPolicy(name, p)
		w.kill()
		receipt, err := w.engine().Down(t.Context(), plan.Run, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := receipt.Run.Drops; len(got) != 1 || got[0].Resource != name.Full() || !strings.HasPrefix(got[0].Binding.Member, "deleted:serviceAccount:"+doomed) {
			t.Errorf("the receipt has %+v", got)
		}
		if got := drops(w, plan.Run); len(got) != 1 || got[0].Effect != journal.Done {
			t.Errorf("the journal has %+v", got)
		}
		w.asBefore()
	})

	t.Run("a write whose answer got lost", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, dead, _ := setup(t)
			w.loseAnswers()
			_, plan := w.up(neighboursManifest(t, []special{dataset}))
			got := drops(w, plan.Run)
			if len(got) != 1 || got[0].Binding.Grants() != dead || got[0].Effect != journal.Maybe {
				t.Errorf("the journal has %+v, want %v, perhaps dropped", got, dead)
			}
		})
	})

	t.Run("what is not written drops nothing", func(t *testing.T) {
		t.Parallel()
		w, _, without := setup(t)
		name := dataset.parsed(t)
		before := foreign(t, w.policy(name), "")
		if before == without {
			t.Fatal("the dead are not there")
		}
		e := w.engine()
		plan := w.plan(e, neighboursManifest(t, []special{dataset}))
		// The account cannot be created, so nothing is bound, and nothing unbound.
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/serviceAccounts") && r.Method == http.MethodPost {
				return answer(r, 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`), nil
			}
			return nil, nil
		}, nil)
		if _, err := e.Up(t.Context(), plan, w.options(plan)); err == nil {
			t.Fatal("up came off")
		}
		w.wire.step(nil, nil)
		if diff := cmp.Diff(before, foreign(t, w.policy(name), "")); diff != "" {
			t.Error(diff)
		}
	})
}

// kill deletes the account of somebody else's.
func (w *world) kill() {
	w.t.Helper()
	w.rest("DELETE", "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts/"+doomed, nil, nil)
}

// withoutDoomed is the state as it would be without that account.
func (w *world) withoutDoomed() []byte {
	w.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(w.snapshot()))
	dec.UseNumber()
	var state object
	if err := dec.Decode(&state); err != nil {
		w.t.Fatal(err)
	}
	accounts := state["accounts"].(object)
	maps.DeleteFunc(accounts, func(_ string, a any) bool { return a.(object)["email"] == doomed })
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(state); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// loseAnswers loses the answer of the first write of each policy, which was made.
func (w *world) loseAnswers() (writes func() map[string]int) {
	var mu sync.Mutex
	count := map[string]int{}
	w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
		account := strings.Contains(r.URL.Path, "/serviceAccounts/") // its mark, or a policy that goes with it
		if account || !setsPolicy(r) {
			return answer, nil
		}
		mu.Lock()
		defer mu.Unlock()
		if count[r.URL.Path]++; count[r.URL.Path] == 1 && answer.StatusCode == http.StatusOK {
			return nil, errors.New("connection reset by peer")
		}
		return answer, nil
	})
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
}
