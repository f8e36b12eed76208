package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/view"
)

type resourcesOptions struct {
	filter string
	json   bool
}

func newResourcesCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "resources",
		Usage: "list the types of resources that roles can be granted on, and their names",
		UsageText: `taskiam resources                 # every type of resource
taskiam resources spanner         # with "spanner" in their name or kind
taskiam resources keyRings --json`,
		ArgsUsage: "[FILTER]",
		Description: `Each line has one type and an example of a name for the manifest. It calls no service.

CONDITIONS says whether the policy of the resource can have conditions: only then can
a grant on it expire. A type with "none" has no policy of its own: grant the role on
its project instead.`,
		Flags: []cli.Flag{newJSONFlag()},
		Action: action(parseResourcesOptions, func(ctx context.Context, o resourcesOptions) error {
			return runResources(ctx, e, o)
		}),
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

func runResources(_ context.Context, e *Env, o resourcesOptions) error {
	var types []*resource.Type
	for _, t := range resource.Types() {
		if matches(t, o.filter) {
			types = append(types, t)
		}
	}
	if len(types) == 0 {
		return fault.WithHint(fault.New(fault.Usage, "no type of resource has %q in its kind or its name", o.filter),
			"taskiam resources")
	}
	return e.print(view.NewResources(types), o.json)
}

// matches reports whether a part of what the type is called is the filter.
func matches(t *resource.Type, filter string) bool {
	filter = strings.ToLower(filter)
	return slices.ContainsFunc(slices.Concat([]string{t.Kind, t.ID, "//" + t.Service + "/" + t.Pattern, t.Example},
		t.Short, t.Also), func(s string) bool {
		return strings.Contains(strings.ToLower(s), filter)
	})
}
