package cli

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/view"
)

// taskOptions are the options of every command that reads a manifest.
type taskOptions struct {
	file   string
	maxTTL time.Duration // 0 is the manifest's own limit
	given  manifest.Settings
	member string       // the operator as policies name it; "" asks Google
	owner  int          // the user whom the delivery is for; 0 is this user
	vacant func() error // why that user must get no delivery now
	job    *ci.Job      // the CI job that the command runs in; nil for none
	// trusted is the file that the manifest is compared with; "" is what is remembered of it.
	trusted string
}

func newTaskFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: flagProject,
			Usage: "`PROJECT`: project of the service account, in the place of the manifest's (default $" +
				envProject + ")",
		},
		&cli.StringFlag{
			Name:  flagTTL,
			Usage: "`TTL`: how long the run lasts, in the place of the manifest's ttl (default $" + envTTL + ")",
		},
		&cli.StringFlag{
			Name: flagDeliver,
			Usage: "`KINDS`: how the credential is delivered, in the place of the manifest's deliver: what will do, " +
				"with commas between (default $" + envDeliver + ")",
		},
		newMaxTTLFlag(),
		&cli.StringFlag{
			Name: flagOperatorMember,
			Usage: "`MEMBER`: your member name in IAM policies, if the token of your login does not " +
				"contain it (default $" + app.EnvOperatorMember + ")",
		},
	}
}

func newMaxTTLFlag() cli.Flag {
	return &cli.DurationFlag{
		Name:  flagMaxTTL,
		Usage: "`TTL`: longest ttl that the manifest may have (default $" + envMaxTTL + ", or 12h)",
	}
}

// parseTask reads the flags of newTaskFlags. A variable of the environment takes the place of
// a flag that is not given.
func parseTask(c *cli.Context, getenv func(string) string) (taskOptions, error) {
	o := taskOptions{member: c.String(flagOperatorMember), trusted: c.String(flagTrusted)}
	var err error
	if o.maxTTL, err = parseMaxTTL(c, getenv); err != nil {
		return o, err
	}
	if o.given, err = parseGiven(c, getenv, manifest.Limits{MaxTTL: o.maxTTL}); err != nil {
		return o, err
	}
	if o.trusted == app.StandardInput && c.Args().First() == app.StandardInput {
		return o, usage(c, "--%s and the manifest cannot both be standard input", flagTrusted)
	}
	if o.member == "" {
		o.member = getenv(app.EnvOperatorMember)
	}
	return o, nil
}

// parseMaxTTL returns the longest ttl that the operator allows; 0 if nothing is said.
func parseMaxTTL(c *cli.Context, getenv func(string) string) (time.Duration, error) {
	most := c.Duration(flagMaxTTL)
	if !c.IsSet(flagMaxTTL) && getenv(envMaxTTL) != "" {
		var err error
		if most, err = time.ParseDuration(getenv(envMaxTTL)); err != nil {
			return 0, usage(c, "$%s is a duration such as 12h, not %q", envMaxTTL, getenv(envMaxTTL))
		}
	}
	if most < 0 || c.IsSet(flagMaxTTL) && most == 0 {
		return 0, usage(c, "--%s is %s: it must be positive", flagMaxTTL, most)
	}
	return most, nil
}

// settings are what is set by a flag or by a variable, beside the manifest.
var settings = []struct{ name, variable string }{
	{manifest.ProjectSetting, envProject}, {manifest.TTLSetting, envTTL}, {manifest.DeliverSetting, envDeliver},
}

// parseGiven reads the settings of flags and of the environment. A flag is over a variable.
func parseGiven(c *cli.Context, getenv func(string) string, limits manifest.Limits) (manifest.Settings, error) {
	var byFlag, byVariable manifest.Settings
	for _, s := range settings {
		for _, from := range []struct {
			to         *manifest.Settings
			name, text string
			set        bool
		}{
			{&byFlag, "--" + s.name, c.String(s.name), c.IsSet(s.name)},
			{&byVariable, "$" + s.variable, getenv(s.variable), getenv(s.variable) != ""},
		} {
			if !from.set {
				continue
			}
			one, err := manifest.ParseSetting(s.name, from.text, limits)
			if err != nil {
				return byFlag, usage(c, "%s: %v", from.name, err)
			}
			*from.to = one.Over(*from.to)
		}
	}
	return byFlag.Over(byVariable), nil
}

// load reads a manifest, from standard input if that is its name. What neither it nor the limits set is as in the
// operator's configuration.
func (e *Env) load(file string, limits manifest.Limits) (app.Source, error) {
	var err error
	if limits.Usual, _, err = e.app().Configuration(limits); err != nil {
		return app.Source{}, err
	}
	if file == app.StandardInput {
		return app.Read(e.Stdin, limits)
	}
	return app.Load(file, limits)
}

// limits returns the bounds on a manifest, and what is set in its place.
func (e *Env) limits(o taskOptions) manifest.Limits {
	return manifest.Limits{MaxTTL: o.maxTTL, Now: e.Now(), Given: o.given}
}

// prepare reads a manifest that is to be used, and returns it with what carries out its plan. It refuses one that opens
// more than it did.
func (e *Env) prepare(ctx context.Context, o taskOptions, p *view.Progress) (app.Source, *lifecycle.Engine, error) {
	src, err := e.load(o.file, e.limits(o))
	if err != nil {
		return app.Source{}, nil, err
	}
	if err := e.trusts(o, src, p); err != nil {
		return app.Source{}, nil, err
	}
	engine, err := e.engine(ctx, o, &src, p)
	return src, engine, err
}

// engine returns what carries out the plan of a manifest, and completes that for a CI job.
func (e *Env) engine(
	ctx context.Context, o taskOptions, src *app.Source, p app.Progress,
) (*lifecycle.Engine, error) {
	var job *app.Job
	if o.job != nil {
		job = e.job(o.job)
	}
	options := src.For(ctx, job, app.Options{
		Member: o.member, Owner: o.owner, Vacant: o.vacant, Progress: p,
	})
	return e.app().Engine(ctx, options)
}

// job returns the CI job, whose log is standard output.
func (e *Env) job(job *ci.Job) *app.Job { return e.app().Job(*job, e.Stdout.Programs()) }
