package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/resource"
)

type resourcesOptions struct {
	filter string
	json   bool
}

func newResourcesCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "resources",
		Usage: "list what roles can be granted on, and how it is named",
		UsageText: `taskiam resources                 # every type of resource
taskiam resources spanner         # those with spanner in a name or in their kind
taskiam resources keyRings --json`,
		ArgsUsage: "[FILTER]",
		Description: `Each line has one type with an example of a name, as a manifest takes it. Where a
relative name is of several services, it is the full one. Asks nobody.

CONDITIONS says whether the resource's own policy takes conditions, so that a grant on it
ends by itself. A type with "none" has no policy of its own: the role goes on the project.`,
		Flags:  []cli.Flag{newJSONFlag()},
		Action: action(parseResourcesOptions, func(ctx context.Context, o resourcesOptions) error { return runResources(ctx, e, o) }),
	}
}

func parseResourcesOptions(c *cli.Context) (resourcesOptions, error) {
	o := resourcesOptions{json: c.Bool(flagJSON)}
	switch w := words(c); len(w) {
	case 0:
	case 1:
		o.filter = w[0]
	default:
		return o, usage(c, "%s takes one filter, not %d", c.Command.HelpName, len(w))
	}
	return o, nil
}

// resourcesDocument is what `resources --json` prints.
type resourcesDocument struct {
	Schema string             `json:"schema"` // taskiam.resources/v1
	Types  []resourceTypeView `json:"types"`
}

type resourceTypeView struct {
	ID             string `json:"id"` // Google's, of the methods without the verb
	Kind           string `json:"kind"`
	API            string `json:"api"` // what the project must have enabled
	FullName       string `json:"full_name"`
	Example        string `json:"example"`
	Bindable       bool   `json:"bindable"`          // whether it has a policy of its own that can be written
	Conditions     bool   `json:"conditions"`        // whether that takes conditions
	SuppliesName   bool   `json:"resource_name"`     // whether conditions see resource.name
	NumbersProject bool   `json:"by_number"`         // whether the project in that is its number
	ConditionType  string `json:"resource_type"`     // as conditions see it; "" if they do not
	Provable       bool   `json:"provable"`          // whether Google can be asked, as the account, if a grant is usable
	Version        string `json:"policy_version_in"` // where a read asks for policy version 3; "" where it cannot
}

func runResources(_ context.Context, e *Env, o resourcesOptions) error {
	var types []*resource.Type
	for _, t := range resource.Types() {
		if matches(t, o.filter) {
			types = append(types, t)
		}
	}
	if len(types) == 0 {
		return fault.WithHint(fault.New(fault.Usage, "no type of resource has %q in its kind or in its name", o.filter),
			"taskiam resources")
	}
	if o.json {
		doc := resourcesDocument{Schema: "taskiam.resources/v1"}
		for _, t := range types {
			doc.Types = append(doc.Types, resourceTypeView{
				ID: t.ID, Kind: t.Kind, API: t.Service, FullName: "//" + t.Service + "/" + t.Pattern, Example: t.Example,
				Bindable: t.Bindable(), Conditions: t.Conditions, SuppliesName: t.SuppliesName, NumbersProject: t.NumbersProject,
				ConditionType: t.ConditionType, Provable: t.API.TestPath != "", Version: string(t.API.VersionIn),
			})
		}
		return e.printJSON(doc)
	}
	r := newReport()
	r.row("KIND", "CONDITIONS", "EXAMPLE")
	for _, t := range types {
		conditions := "no"
		switch {
		case !t.Bindable():
			conditions = "none"
		case t.Conditions:
			conditions = "yes"
		}
		r.row(t.Kind, conditions, t.Example)
	}
	return e.print(r)
}

// matches reports whether a part of what the type is called is the filter.
func matches(t *resource.Type, filter string) bool {
	filter = strings.ToLower(filter)
	return slices.ContainsFunc(slices.Concat([]string{t.Kind, t.ID, "//" + t.Service + "/" + t.Pattern, t.Example}, t.Short, t.Also), func(s string) bool {
		return strings.Contains(strings.ToLower(s), filter)
	})
}
