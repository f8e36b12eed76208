package review

import (
	"testing"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

func TestNarrowed(t *testing.T) {
	t.Parallel()
	project, _, err := resource.Parse("projects/acme-agents")
	if err != nil {
		t.Fatal(err)
	}
	const named = `resource.name == "projects/1/secrets/api-key"`
	for condition, want := range map[string]bool{
		named: true,
		`"projects/1/secrets/api-key" == resource.name`:                                        true,
		`resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/")`:            true,
		`resource.name.extract("/secrets/{id}/") == "api-key"`:                                 true,
		`resource.matchTag("123/env", "test")`:                                                 true,
		named + ` && request.time < timestamp("2030-01-01T00:00:00Z")`:                         true,
		named + ` || resource.name == "projects/1/secrets/other"`:                              true,
		`!(resource.name != "projects/1/secrets/api-key")`:                                     true,
		`resource.type == "x/Y" ? ` + named + ` : resource.name == "projects/1/secrets/other"`: true,
		`resource.type == "x/Y" ? ` + named + ` : resource.service == "x"`:                     false,
		``: false,
		`resource.name != "projects/1/secrets/api-key"`: false,
		`!(` + named + `)`: false,
		`!resource.name.startsWith("projects/1/secrets/a")`:      false,
		named + ` || resource.type == "x/Y"`:                     false,
		`!(` + named + ` && resource.type == "x/Y")`:             false,
		`resource.name.startsWith("projects/")`:                  false,
		`resource.name.startsWith("")`:                           false,
		`resource.type == "secretmanager.googleapis.com/Secret"`: false,
		`request.time < timestamp("2030-01-01T00:00:00Z")`:       false,
		`resource.name ==`:                                       false,
	} {
		g := grants.Grant{Role: "roles/secretmanager.secretAccessor", Resource: project, Condition: condition}
		if got := narrowed(g); got != want {
			t.Errorf("%s: %t", condition, got)
		}
	}
}
