package delivery_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// full is a delivery with everything that a kind may call for.
func full(kind grants.DeliveryKind) delivery.Delivery {
	return delivery.Delivery{
		Dir: "/d", Run: "0123456789abcde", Task: "nightly-report",
		Account: grants.Account{Email: "ti@acme-agents.iam.gserviceaccount.com", Project: "acme-agents"},
		Expires: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC), Kind: kind,
		Key: secret.New("the-key"), Token: grants.Token{Value: secret.New("the-token")},
		Metadata: "127.0.0.1:4711", External: "the-way",
	}
}

// TestEveryKindIsWhole keeps the promises that the rest of the program relies on, for
// every kind in the list.
func TestEveryKindIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[grants.DeliveryKind]bool{}
	for _, k := range delivery.Kinds() {
		if k.Name == "" || seen[k.Name] {
			t.Errorf("the name %q is empty, or there twice", k.Name)
		}
		seen[k.Name] = true
		if mints := slices.Contains(k.Permissions, delivery.MintPermission); mints == k.MakesKey || k.MakesKey && k.Upkeep != delivery.NoUpkeep {
			t.Errorf("%s: it makes a key (%t), or tokens are minted for it (%t), and nothing is done for a key", k.Name, k.MakesKey, mints)
		}
		d := full(k.Name)
		if title := d.Title(); title == "" || strings.HasSuffix(title, ".") {
			t.Errorf("%s: the title is %q", k.Name, title)
		}
		var names, empty []string
		lastIsSecret := false
		for _, f := range d.Files() {
			if lastIsSecret && !f.Secret {
				t.Errorf("%s: %s comes after a secret", k.Name, f.Name)
			}
			lastIsSecret = f.Secret
			names = append(names, f.Name)
			if holds := strings.Contains(f.Text, "the-key") || strings.Contains(f.Text, "the-token"); holds != f.Secret {
				t.Errorf("%s: %s holds the credential: %t; it is marked so: %t", k.Name, f.Name, holds, f.Secret)
			}
		}
		if k.Secret() != lastIsSecret {
			t.Errorf("%s: Secret is %t", k.Name, k.Secret())
		}
		for _, f := range (delivery.Delivery{Kind: k.Name}).Files() {
			empty = append(empty, f.Name)
		}
		if diff := cmp.Diff(names, empty); diff != "" {
			t.Errorf("%s: its files depend on what is delivered:\n%s", k.Name, diff)
		}
		// Every client looks at these first; a gap would send it to somebody's login.
		set := map[string]bool{}
		for _, v := range d.Environment() {
			set[v.Name] = true
			if strings.Contains(v.Value, "the-key") || strings.Contains(v.Value, "the-token") {
				t.Errorf("%s: %s has the credential", k.Name, v.Name)
			}
		}
		for _, name := range []string{"GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "CLOUDSDK_CORE_CHECK_GCE_METADATA"} {
			if !set[name] {
				t.Errorf("%s: %s is not set", k.Name, name)
			}
		}
		if !d.Complete() || (delivery.Delivery{Kind: k.Name}).Complete() {
			t.Errorf("%s: complete with everything: %t, and with nothing: %t", k.Name, d.Complete(), !d.Complete())
		}
	}
}

// TestLifetime: what the manifest says counts; otherwise the kind decides.
func TestLifetime(t *testing.T) {
	t.Parallel()
	for kind, want := range map[grants.DeliveryKind]time.Duration{
		delivery.Key: time.Hour, delivery.Token: time.Hour, delivery.Metadata: 15 * time.Minute, "": time.Hour,
	} {
		if got := delivery.Of(kind).Lifetime(grants.Task{}); got != want {
			t.Errorf("%q: %s, want %s", kind, got, want)
		}
		if got := delivery.Of(kind).Lifetime(grants.Task{TokenLifetime: time.Minute}); got != time.Minute {
			t.Errorf("%q: %s, the manifest says a minute", kind, got)
		}
	}
}

// TestNotDelivered: a run that failed before it was delivered has a journal too.
func TestNotDelivered(t *testing.T) {
	t.Parallel()
	d := full("")
	if d.Complete() || delivery.Of("").Secret() || delivery.Of("").ServeCommand(d.Run) != "" {
		t.Error("there is something to deliver")
	}
	if len(d.Environment()) == 0 || len(d.Files()) == 0 || d.Title() == "" {
		t.Error("what every delivery has is missing")
	}
}
