package cli

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
)

// taskOptions are the options of every command that reads a manifest.
type taskOptions struct {
	file   string
	maxTTL time.Duration // 0 is the manifest's own limit
	member string        // the operator as policies name it; "" asks Google
	owner  int           // the user whom the delivery is for; 0 is this user
	vacant func() error  // why that user must get no delivery now
	job    *ci.Job       // the CI job that the command runs in; nil for none
}

func newTaskFlags() []cli.Flag {
	return []cli.Flag{
		newMaxTTLFlag(),
		&cli.StringFlag{
			Name: flagOperatorMember,
			Usage: "`MEMBER`: your member name in IAM policies, if the token of your login does not " +
				"contain it (default $" + envOperatorMember + ")",
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
	o := taskOptions{member: c.String(flagOperatorMember)}
	var err error
	if o.maxTTL, err = parseMaxTTL(c, getenv); err != nil {
		return o, err
	}
	if o.member == "" {
		o.member = getenv(envOperatorMember)
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

// load reads a manifest, from standard input if that is its name.
func (e *Env) load(file string, limits manifest.Limits) (app.Source, error) {
	if file == app.StandardInput {
		return app.Read(e.Stdin, limits)
	}
	return app.Load(file, limits)
}

// prepare reads the manifest, and returns it with what carries out its plan.
func (e *Env) prepare(ctx context.Context, o taskOptions, p app.Progress) (app.Source, *lifecycle.Engine, error) {
	src, err := e.load(o.file, manifest.Limits{MaxTTL: o.maxTTL, Now: e.Now()})
	if err != nil {
		return app.Source{}, nil, err
	}
	var job *app.Job
	if o.job != nil {
		job = e.job(o.job)
	}
	options := src.For(ctx, job, app.Options{
		Member: o.member, Owner: o.owner, Vacant: o.vacant, Progress: p,
	})
	engine, err := e.app().Engine(ctx, options)
	return src, engine, err
}

// job returns the CI job, whose log is standard output.
func (e *Env) job(job *ci.Job) *app.Job { return e.app().Job(*job, e.Stdout.Programs()) }
