package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/view"
)

// defaultGrace is how long a run must have been over for a sweep to take it away: past
// it no token of the run's works any more.
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
		Usage: "take away what runs left behind whose time is over, whoever began them",
		UsageText: `taskiam sweep --project acme-agents --dry-run
taskiam sweep --project acme-agents      # from cron, on as many machines as you like
taskiam sweep --roles --project acme-agents`,
		ArgsUsage: "[FILE ...]",
		Description: `Finds accounts by the mark that taskiam gives them, and disables those at once whose
time is over. Then it looks for what binds them, takes that away, and deletes them; and
it takes away what policies still say of accounts that were deleted by hand. It looks
in the project, in this machine's journals, at the resources given or in the
manifests FILE, and in everything that you may search (roles/cloudasset.viewer).
Where that cannot have been everything, the account stays, disabled, and the exit code
is 5: deleted too early, it would stay in policies as a deleted: member.

With --roles it retires, instead, the custom roles that lists of permissions came to and
that nothing in the project binds any more. An up that needs one takes it back.`,
		Flags: []cli.Flag{
			newProjectsFlag("`PROJECT` that hosts accounts; may be repeated. Without any: those of FILE and of the runs known here"),
			&cli.BoolFlag{Name: "roles", Usage: "retire custom roles that no run needs, and touch nothing else"},
			&cli.DurationFlag{Name: "older-than", Usage: "`DURATION` for which a run must have been over", Value: defaultGrace},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would be taken away, and write nothing"},
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
	return &cli.StringSliceFlag{Name: flagResource, Usage: "`RESOURCE` to look at, too; where a search is not allowed, those given are taken for all there are"}
}

// parseResources reads the flag of newResourcesFlag. A prefix narrows nothing here.
func parseResources(c *cli.Context) ([]resource.Name, error) {
	var out []resource.Name
	for _, s := range c.StringSlice(flagResource) {
		name, _, err := resource.Parse(s)
		if err != nil {
			return nil, usage(c, "--%s: %v", flagResource, err)
		}
		if !name.Type().Bindable() {
			return nil, usage(c, "--%s: nothing is bound on %s: %s has no allow policy of its own", flagResource, name, name.Type().A())
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
	engine, err := e.engine(ctx, cloudOptions{progress: e.newProgress(o.quiet)})
	if err != nil {
		return err
	}
	if !o.dryRun {
		e.interrupts.leaving(exitIncomplete, "the sweep goes on", "taskiam sweep")
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
		return errors.Join(err, e.print(view.NewSweptRoles(result, o.dryRun), o.json))
	}
	result, err := engine.Sweep(ctx, options)
	if result == nil {
		return err
	}
	return errors.Join(err, e.print(view.NewSweep(result, o.dryRun), o.json))
}

// sweepWithin bounds a sweep that goes on after a signal.
const sweepWithin = 30 * time.Minute

// fillSweep adds the projects and resources of the manifests, and if there is no project
// then, those of the runs that are known here.
func (e *Env) fillSweep(o *sweepOptions) error {
	for _, file := range o.files {
		src, err := load(taskOptions{file: file})
		if err != nil {
			return err
		}
		o.projects = append(o.projects, src.task.Project)
		for _, g := range src.task.Grants {
			if p := g.Resource.Project(); o.roles && len(g.Permissions) > 0 && strings.Trim(p, "0123456789") != "" {
				o.projects = append(o.projects, p)
			}
			o.resources = append(o.resources, g.Resource)
		}
	}
	if len(o.projects) == 0 {
		dir, err := e.journals()
		if err != nil {
			return err
		}
		runs, _ := allRuns(dir) // a sweep goes by the accounts; what cannot be read, status tells
		for _, r := range runs {
			o.projects = append(o.projects, r.Opened.Project)
			for _, c := range r.Roles {
				if project, _, ok := strings.Cut(strings.TrimPrefix(c.Name, "projects/"), "/"); o.roles && ok {
					o.projects = append(o.projects, project)
				}
			}
		}
	}
	slices.Sort(o.projects)
	o.projects = slices.Compact(o.projects)
	if len(o.projects) == 0 {
		return fault.WithHint(fault.New(fault.Usage, "which project? no run is known here"), "taskiam sweep --project PROJECT")
	}
	return nil
}
