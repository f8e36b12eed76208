package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/tools/gen"
)

const pageHead = `# Resources

<!-- Made by go generate ./internal/resource. Do not edit. -->

What roles can be bound on: %d types of resource of %d services, and %d more that have no
policy of their own, or none that can be written. The table is made from Google's discovery documents, each API in its
best stable version; where only a beta or an alpha has a type, it says which. What those
documents do not say, such as which types take conditions, is from Google's manuals.
` + "`taskiam resources [FILTER]`" + ` lists the same.

A resource is named by any of these:

- its full resource name: ` + "`//run.googleapis.com/projects/acme-agents/locations/europe-west3/services/web`" + `
- its relative name, if no other service has one like it: ` + "`projects/acme-agents/secrets/api-key`" + `.
  One that several have is refused, and the error names them in full.
- the link to it in its API, which gcloud prints (` + "`selfLink`" + `); a page of the console is refused:
  ` + "`https://www.googleapis.com/compute/v1/projects/acme-agents/zones/europe-west3-a/instances/vm`" + `
- a short form: ` + "`gs://BUCKET`, `bq://PROJECT.DATASET`, `bq://PROJECT.DATASET.TABLE`, `gcp-kms://KEY`," + `
  ` + "`LOCATION-docker.pkg.dev/PROJECT/REPOSITORY`" + `

The columns:

- **conditions**: whether the type's own policy takes conditions, so that a grant there can
  expire. Where it says no, a grant needs ` + "`unbounded = \"accept\"`" + `, or goes to the project.
- **resource.name**: whether conditions see the resource's name and type. "by number" means
  that the project in it is its number, and never its id.
- **proof**: whether taskiam can ask Google, as the new account, if a grant is usable yet.
  Where it cannot, a grant is read back, and ` + "`not provable`" + `.

The first segment of a full name is also the API that the project must have enabled.
`

// page makes docs/resources.md.
func page() ([]byte, error) {
	var services []string
	by := map[string][]*resource.Type{}
	var without []*resource.Type
	n := 0
	for _, t := range resource.Types() {
		if !t.Bindable() {
			without = append(without, t)
			continue
		}
		n++
		if by[t.Service] == nil {
			services = append(services, t.Service)
		}
		by[t.Service] = append(by[t.Service], t)
	}
	slices.Sort(services)
	var b bytes.Buffer
	fmt.Fprintf(&b, pageHead, n, len(services), len(without))
	for _, s := range services {
		fmt.Fprintf(&b, "\n## %s\n\n| kind | example | conditions | resource.name | proof |\n"+
			"|---|---|---|---|---|\n", s)
		for _, t := range by[s] {
			fmt.Fprintf(&b, "| %s%s | `%s` | %s | %s | %s |\n", t.Kind, preview(t), t.Example, conditions(t),
				suppliesName(t), yesNo(t.API.TestPath != ""))
		}
	}
	b.WriteString(`
## Without a policy of their own

Roles on these are bound on what they are in, as a rule the project. A manifest that names
one is refused, and told what to write instead; where conditions see the resource's name,
a condition narrows the role to the one.

| kind | example | resource.name |
|---|---|---|
`)
	for _, t := range without {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", t.Kind, t.Example, suppliesName(t))
	}
	return b.Bytes(), nil
}

// preview says of which version of its API a type is, if that is not a stable one.
func preview(t *resource.Type) string {
	for part := range strings.SplitSeq(t.API.GetPath, "/") {
		if gen.Version.MatchString(part) && (strings.Contains(part, "alpha") || strings.Contains(part, "beta")) {
			return " (" + part + ")"
		}
	}
	return ""
}

func conditions(t *resource.Type) string {
	if t.Prefixes {
		return "yes, with uniform bucket-level access"
	}
	return yesNo(t.Conditions)
}

func suppliesName(t *resource.Type) string {
	if t.NumbersProject {
		return "by number"
	}
	return yesNo(t.SuppliesName)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
