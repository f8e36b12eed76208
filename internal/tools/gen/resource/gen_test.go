package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/racetest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/tools/gen"
)

// What is generated is what go generate makes.
func TestFresh(t *testing.T) {
	t.Parallel()
	racetest.Skip(t, "it reads all of Google's APIs")
	t.Run("types.txt", func(t *testing.T) {
		t.Parallel()
		want, err := typeTable()
		fresh(t, "../../../resource/types.txt", want, err)
	})
	t.Run("resources.md", func(t *testing.T) {
		t.Parallel()
		want, err := page()
		fresh(t, "../../../../docs/resources.md", want, err)
	})
}

func fresh(t *testing.T, name string, want []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: run go generate ./internal/resource", name)
	}
}

// The rows that are written by hand are right about the discovery documents: datasets are
// read and written as they say, and what is said to have no policy has no method for one.
func TestByHand(t *testing.T) {
	t.Parallel()
	module, err := gen.Module()
	if err != nil {
		t.Skipf("the module google.golang.org/api is not here: %v", err)
	}
	read := func(api, version string) *gen.Document {
		d, err := gen.Read(filepath.Join(module, api, version, api+"-api.json"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	bigquery := read("bigquery", "v2")
	dataset := resource.Lookup("dataset").API
	if want := "https://" + dataset.Host + "/"; bigquery.RootURL != want {
		t.Errorf("datasets are at %s, Google says %s", want, bigquery.RootURL)
	}
	for id, call := range map[string][2]string{
		"bigquery.datasets.get": {dataset.GetVerb, dataset.GetPath}, "bigquery.datasets.patch": {dataset.SetVerb, dataset.SetPath},
	} {
		m := bigquery.All()[id]
		path := gen.Variable.ReplaceAllString(bigquery.URL(m), "{}")
		if m.HTTPMethod != call[0] || path != gen.Variable.ReplaceAllString(call[1], "{}") || m.Parameters["accessPolicyVersion"].Location != "query" {
			t.Errorf("%s is %s %s, the table has %v", id, m.HTTPMethod, path, call)
		}
	}
	versions := map[string]string{"container": "v1", "firestore": "v1", "sqladmin": "v1", "cloudscheduler": "v1", "workflows": "v1", "managedkafka": "v1", "parametermanager": "v1"}
	seen := 0
	for _, typ := range resource.Types() {
		if typ.API.Host == "" || typ.API.GetPath != "" || typ.ID == "storage.objects" {
			continue
		}
		seen++
		api, _, _ := strings.Cut(typ.ID, ".")
		if versions[api] == "" {
			t.Errorf("%s: no version of %s is known here", typ.ID, api)
			continue
		}
		for id := range read(api, versions[api]).All() {
			if strings.HasPrefix(id, typ.ID+".") && strings.HasSuffix(id, "IamPolicy") {
				t.Errorf("%s is said to have no policy, and Google has %s", typ.ID, id)
			}
		}
	}
	if seen < 8 {
		t.Errorf("%d types have no policy", seen)
	}
}

func TestRank(t *testing.T) {
	t.Parallel()
	order := []string{"preview", "alpha", "v1alpha", "v1alpha2", "v2alpha", "beta", "v1beta1", "v1p1beta1", "v2beta3", "v1", "v2", "v10"}
	for i := range order[1:] {
		if rank(order[i]) >= rank(order[i+1]) && order[i+1] != "beta" && order[i+1] != "v1p1beta1" {
			t.Errorf("%s is no better than %s", order[i+1], order[i])
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"policies": "policy", "repositories": "repository", "cryptoKeys": "crypto key", "messageBuses": "message bus", "runtime": "runtime",
		"hl7V2Stores": "HL7 v2 store", "addresses": "address", "clientTlsPolicies": "client TLS policy",
	} {
		if got := split(singular(in)); got != want {
			t.Errorf("one of %s is a %q, want %q", in, got, want)
		}
	}
}
