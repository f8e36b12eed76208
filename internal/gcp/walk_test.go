package gcp

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// seeded are resources of the types that the emulator has a service for, which it does
// not seed by their names alone.
var seeded = map[string]string{
	"cloudresourcemanager.projects":                   "projects/acme-data",
	"cloudresourcemanager.folders":                    "folders/345678901234",
	"cloudresourcemanager.organizations":              "organizations/123456789012",
	"storage.buckets":                                 "gs://acme-reports",
	"bigquery.datasets":                               "bq://acme-data.sales",
	"bigquery.tables":                                 "projects/acme-data/datasets/sales/tables/orders",
	"pubsub.projects.topics":                          "projects/acme-agents/topics/reports",
	"pubsub.projects.subscriptions":                   "projects/acme-agents/subscriptions/reports-audit",
	"secretmanager.projects.secrets":                  "projects/acme-agents/secrets/api-key",
	"cloudkms.projects.locations.keyRings":            "projects/acme-data/locations/europe-west3/keyRings/acme",
	"cloudkms.projects.locations.keyRings.cryptoKeys": "projects/acme-data/locations/europe-west3/keyRings/acme/cryptoKeys/release",
	"iam.projects.serviceAccounts":                    "projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com",
}

// Every type of the table can be bound on: with a condition where it takes one, read back,
// asked about as the account where it has a method for that, and taken away again, after
// which all is as before. The emulator has a table of its own, so that both had to read
// the same of Google's documents.
func TestEveryType(t *testing.T) {
	t.Parallel()
	roles := predefinedRoles(t)
	world, err := os.ReadFile(filepath.Join("..", "..", "emulator", "seed", "acme.toml"))
	if err != nil {
		t.Fatal(err)
	}
	seed := string(world) + `
[[organization.binding]]
role    = "roles/owner"
members = ["user:olivia@acme.example"]

[[organization.binding]]
role    = "roles/iam.securityAdmin"
members = ["user:olivia@acme.example"]

[[organization.binding]] # which neither of the two holds
role    = "roles/cloudiot.admin"
members = ["user:olivia@acme.example"]
`
	seed += `
[[key_ring]]
project  = "acme-data"
location = "europe-west3"
name     = "acme"
[[key_ring.key]]
name = "release"
`
	names := map[*resource.Type]resource.Name{}
	for _, typ := range resource.Types() {
		if !typ.Bindable() {
			continue
		}
		if known := seeded[typ.ID]; known != "" {
			names[typ] = name(t, known)
			continue
		}
		names[typ] = name(t, typ.Example)
		seed += fmt.Sprintf("\n[[resource]]\nname = %q\n", names[typ].Full())
	}
	s, err := emulator.New(emulator.Config{NewKey: testKey, Seed: []byte(seed)})
	if err != nil {
		t.Fatal(err)
	}
	_, token := s.Operator()
	c := newTestClient(t, inMemory(s.Handler()), func(cfg *Config) { cfg.Credential = EmulatorLogin(secret.New(token)) })
	a := newAccount(t, c)
	if err := letMint(t.Context(), c, a); err != nil {
		t.Fatal(err)
	}
	minted, err := c.AccessToken(t.Context(), a.Email, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	asAccount := c.As(StaticToken(minted.Value))
	before, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	walked, conditional, asked := 0, 0, 0
	for _, typ := range resource.Types() {
		on, ok := names[typ]
		if !ok {
			if _, err := c.ReadPolicy(t.Context(), name(t, typ.Example)); typ.API.GetPath == "" && !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: a policy that is none is read: %v", typ.Kind, err)
			}
			continue
		}
		walked++
		role, permission := roleFor(roles, typ)
		b := policy.Binding{Role: role, Member: "serviceAccount:" + a.Email}
		if typ.Conditions {
			conditional++
			b.Condition = policy.Condition{Title: "walk", Expression: `request.time < timestamp("2100-01-01T00:00:00Z")`}
		}
		if err := walk(t.Context(), c, asAccount, on, b, permission); err != nil {
			t.Errorf("%s: %s on %s: %v", typ.Kind, role, on, err)
		}
		if typ.API.TestPath != "" {
			asked++
		}
	}
	after, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("the state is not as before:\n%s", emulator.Diff(before, after))
	}
	if walked < 290 || conditional < 100 || asked < 270 {
		t.Errorf("walked over %d types, %d of them with a condition; asked %d", walked, conditional, asked)
	}
}

// walk binds, reads back, asks as the account, and unbinds.
func walk(ctx context.Context, c, account *Client, on resource.Name, b policy.Binding, permission string) error {
	doc, err := c.ReadPolicy(ctx, on)
	if err != nil {
		return err
	}
	if !doc.Add(b) {
		return fmt.Errorf("it is bound before")
	}
	if _, err := c.WritePolicy(ctx, on, doc); err != nil {
		return err
	}
	if doc, err = c.ReadPolicy(ctx, on); err != nil {
		return err
	}
	if !doc.Has(b) {
		return fmt.Errorf("what was written is not read back: %v", doc.Bindings())
	}
	if on.Type().API.TestPath != "" {
		held, err := account.TestPermissions(ctx, on, []string{permission, "emulator.things.imagine"})
		if err != nil {
			return err
		}
		if !slices.Equal(held, []string{permission}) {
			return fmt.Errorf("of %s the account holds %v", permission, held)
		}
	}
	if !doc.Remove(b) {
		return fmt.Errorf("it is not there to be removed")
	}
	_, err = c.WritePolicy(ctx, on, doc)
	return err
}

// letMint lets the operator mint for the account.
func letMint(ctx context.Context, c *Client, a grants.Account) error {
	on, _, err := resource.Parse("projects/" + hosting + "/serviceAccounts/" + a.Email)
	if err != nil {
		return err
	}
	doc, err := c.ReadPolicy(ctx, on)
	if err != nil {
		return err
	}
	doc.Add(policy.Binding{Role: "roles/iam.serviceAccountTokenCreator", Member: olivia})
	_, err = c.WritePolicy(ctx, on, doc)
	return err
}

// granting is a permission and a role that gives it.
type granting struct{ permission, role string }

// predefinedRoles returns every permission of the emulator's list with the first role that
// gives it and can be bound anywhere.
func predefinedRoles(t *testing.T) []granting {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "emulator", "internal", "iam", "roles.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []granting
	inRoles := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		f := strings.Split(line, "\t")
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			inRoles = true
		case !inRoles:
			all = append(all, granting{permission: line})
		case grants.Basic(f[0]) || strings.HasPrefix(f[0], "roles/storage.legacy"):
		default:
			for span := range strings.FieldsFuncSeq(f[len(f)-1], func(c rune) bool { return c == ',' }) {
				from, to, ok := strings.Cut(span, "-")
				if !ok {
					to = from
				}
				i, err1 := strconv.Atoi(from)
				j, err2 := strconv.Atoi(to)
				if err1 != nil || err2 != nil {
					t.Fatalf("the list of roles has %q", line)
				}
				for ; i <= j; i++ {
					all[i].role = cmp.Or(all[i].role, f[0])
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(g granting) bool { return g.role == "" })
}

// roleFor returns a role that can be bound on a type and a permission of it to ask about:
// one that the type says it can be asked about, if a role holds any.
func roleFor(all []granting, typ *resource.Type) (role, permission string) {
	service, _, _ := strings.Cut(typ.ID, ".")
	prefixes := slices.Clone(typ.Testable)
	if len(typ.Testable) > 0 {
		own, _, _ := strings.Cut(typ.Testable[0], ".")
		prefixes = append(prefixes, own+".")
	}
	for _, prefix := range append(prefixes, service+".", "") {
		for _, g := range all {
			if strings.HasPrefix(g.permission, prefix) {
				return g.role, g.permission
			}
		}
	}
	return "", ""
}
