package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/view"
)

// defaultGrace is how long ago a run must have expired before a sweep removes it: after that
// time no token of the run works any more.
const defaultGrace = grants.TokenLifetime

type sweepOptions struct {
	projects    []string
	resources   []resource.Name
	files       []string
	olderThan   time.Duration
	dryRun      bool
	roles       bool
	json, quiet bool
}

func newSweepCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "sweep",
		Usage: "remove what expired runs have left behind, whoever started them",
		UsageText: `taskiam sweep --project acme-agents --dry-run
taskiam sweep --project acme-agents    # for cron, on any number of machines
taskiam sweep --roles --project acme-agents`,
		ArgsUsage: "[FILE ...]",
		Description: `Finds accounts by the mark that taskiam has put on them, and disables those whose run
has expired. Then it finds their bindings, removes them, and deletes the accounts. It
also removes bindings of accounts of runs that somebody deleted by hand.

It looks at the policy of the project, at this machine's journals, at the resources
in --resource and in the manifests FILE, and at everything that you may search
(roles/cloudasset.viewer). If that may not be everything, the account is kept,
disabled, and the exit code is 5: if it were deleted too early, its bindings would
stay in policies as deleted: members.

With --roles it deletes custom roles that taskiam made for lists of permissions and
that no run needs. Google keeps them for some days; an up that needs one restores it.`,
		Flags: []cli.Flag{
			newProjectsFlag("`PROJECT`: project with accounts of runs; repeatable (default: the projects of FILE and " +
				"of the runs known here)"),
			&cli.BoolFlag{Name: "roles", Usage: "delete custom roles that no run needs, and nothing else"},
			&cli.DurationFlag{
				Name:  "older-than",
				Usage: "`DURATION`: how long ago a run must have expired",
				Value: defaultGrace,
			},
			&cli.BoolFlag{
				Name:    "dry-run",
				Aliases: []string{"n"},
				Usage:   "show what would be removed, and change nothing",
			},
			newResourcesFlag(),
			newJSONFlag(),
			newQuietFlag(),
		},
		Action: action(parseSweep, func(ctx context.Context, o sweepOptions) error { return runSweep(ctx, e, o) }),
	}
}

func newProjectsFlag(usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: flagProject, Usage: usage}
}

func newResourcesFlag() cli.Flag {
	return &cli.StringSliceFlag{
		Name: flagResource,
		Usage: "`RESOURCE`: also look at this resource; repeatable. If you may not search, the " +
			"resources given here are taken to be all",
	}
}

// parseResources reads the flag of newResourcesFlag. A prefix in a name is ignored.
func parseResources(c *cli.Context) ([]resource.Name, error) {
	var out []resource.Name
	for _, s := range c.StringSlice(flagResource) {
		name, _, err := resource.Parse(s)
		if err != nil {
			return nil, usage(c, "--%s: %v", flagResource, err)
		}
		if !name.Type().Bindable() {
			return nil, usage(c, "--%s: nothing can be bound on %s: %s has no allow policy", flagResource, name,
				name.Type().A())
		}
		out = append(out, name)
	}
	return out, nil
}

func parseSweep(c *cli.Context) (sweepOptions, error) {
	o := sweepOptions{
		projects: c.StringSlice(flagProject), files: words(c), olderThan: c.Duration("older-than"),
		dryRun: c.Bool("dry-run"), roles: c.Bool("roles"), json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet),
	}
	var err error
	if o.resources, err = parseResources(c); err != nil {
		return o, err
	}
	if o.olderThan < 0 {
		return o, usage(c, "--older-than is negative")
	}
	return o, nil
}

func runSweep(ctx context.Context, e *Env, o sweepOptions) error {
	if err := e.fillSweep(&o); err != nil {
		return err
	}
	engine, err := e.app().Engine(ctx, app.Options{Progress: e.newProgress(o.quiet)})
	if err != nil {
		return err
	}
	if !o.dryRun {
		e.interrupts.leaving(exitIncomplete, "the sweep continues", "taskiam sweep")
		var cancel context.CancelFunc
		ctx, cancel = detached(ctx, sweepWithin)
		defer cancel()
	}
	options := lifecycle.SweepOptions{
		Projects: o.projects, OlderThan: o.olderThan, DryRun: o.dryRun, Resources: o.resources,
	}
	if o.roles {
		result, err := engine.SweepRoles(ctx, options)
		if result == nil {
			return err
		}
		doc := view.NewSweptRoles(result, o.dryRun)
		return errors.Join(err, e.showSweep(doc, doc.Outcome(), o))
	}
	result, err := engine.Sweep(ctx, options)
	if result == nil {
		return err
	}
	doc := view.NewSweep(result, o.dryRun)
	return errors.Join(err, e.showSweep(doc, doc.Outcome(), o))
}

// showSweep reports a sweep; a dry one has done nothing.
func (e *Env) showSweep(d view.Document, outcome string, o sweepOptions) error {
	err := e.print(d, o.json)
	if o.dryRun {
		return err
	}
	return untold(outcome, err)
}

// sweepWithin bounds a sweep that continues after a signal.
const sweepWithin = 30 * time.Minute

// fillSweep adds the projects and resources of the manifests, and if there is no project
// then, those of the runs that are known here.
func (e *Env) fillSweep(o *sweepOptions) error {
	for _, file := range o.files {
		src, err := e.load(file, manifest.Limits{})
		if err != nil {
			return err
		}
		o.projects = append(o.projects, src.Task.Project)
		for _, g := range src.Task.Grants {
			if p := g.Resource.Project(); o.roles && len(g.Permissions) > 0 && strings.Trim(p, "0123456789") != "" {
				o.projects = append(o.projects, p)
			}
			o.resources = append(o.resources, g.Resource)
		}
	}
	if len(o.projects) == 0 {
		journals, err := e.app().Journals()
		if err != nil {
			return err
		}
		// A sweep goes by the accounts; what cannot be read, status tells.
		_, _, err = journals.Select(func(s journal.Summary) bool {
			o.projects = append(o.projects, s.Project)
			for _, role := range s.Roles {
				if project, _, ok := strings.Cut(strings.TrimPrefix(role, "projects/"), "/"); o.roles && ok {
					o.projects = append(o.projects, project)
				}
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	slices.Sort(o.projects)
	o.projects = slices.Compact(o.projects)
	if len(o.projects) == 0 {
		return fault.WithHint(fault.New(fault.Usage, "--project is missing, and no run is known here"),
			"taskiam sweep --project PROJECT")
	}
	return nil
}
