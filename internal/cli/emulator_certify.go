package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/certify"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/view"
)

const flagWrite = "write"

type certifyOptions struct {
	project string
	write   bool
	out     string
	only    []string
	member  string
	json    bool
	quiet   bool
}

func newEmulatorCertifyCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "certify",
		Usage:     "ask Google, in an empty project, what no emulator can prove",
		UsageText: "taskiam emulator certify --project P --write",
		Description: `Brings a run up and down in a real project, finds out which side Google is on in each doubt
of docs/fidelity.md, and writes a report and evidence without any name or secret of yours.
Without --write it says what it would make, and changes nothing. The project has to be
empty; everything that is made is taken away again, also after an interruption, and what
cannot be is named. It takes about ten minutes. With the emulator's environment it
certifies that.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: flagProject, Usage: "`PROJECT`: an empty project, of which you are an owner"},
			&cli.BoolFlag{
				Name: flagWrite,
				Usage: "make and delete up to 110 service accounts, 16 keys, 3 custom roles, a bucket and a secret " +
					"there, and change the project's policy; it costs less than a cent",
			},
			&cli.StringFlag{
				Name: "out", Usage: "`DIR`: where the report and the evidence go", Value: "taskiam-certify",
				TakesFile: true,
			},
			&cli.StringSliceFlag{Name: "only", Usage: "`DOUBT`: try this one alone, by its switch; may be repeated"},
			&cli.StringFlag{
				Name: flagOperatorMember, Usage: "`MEMBER`: who you are, if Google cannot tell (see plan)",
			},
			newJSONFlag(),
			newQuietFlag(),
		},
		Action: action(parseCertify,
			func(ctx context.Context, o certifyOptions) error { return runCertify(ctx, e, o) }),
	}
}

func parseCertify(c *cli.Context) (certifyOptions, error) {
	o := certifyOptions{
		project: c.String(flagProject), write: c.Bool(flagWrite), out: c.String("out"),
		only: c.StringSlice("only"), member: c.String(flagOperatorMember),
		json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet),
	}
	if err := noArguments(c); err != nil {
		return o, err
	}
	if o.project == "" {
		return o, usage(c, "--project is missing: say which empty project is to be certified")
	}
	if err := resource.CheckProject(o.project); err != nil {
		return o, usage(c, "--project %q: %s", o.project, err)
	}
	return o, nil
}

func runCertify(ctx context.Context, e *Env, o certifyOptions) error {
	cfg := certify.Config{
		App: e.app(), Project: o.project, Only: o.only, Options: app.Options{Member: o.member},
	}
	if !o.quiet {
		cfg.Say = e.say
	}
	survey, err := certify.Look(ctx, cfg)
	if err != nil {
		return err
	}
	if !o.write {
		return e.print(survey, o.json)
	}
	if !o.quiet {
		var plan view.Report
		survey.Show(&plan)
		plan.Say(e.Stderr)
	}
	again := "taskiam emulator certify --project " + o.project + " --" + flagWrite
	e.interrupts.leaving(exitIncomplete, "taking away what was made", again)
	report, failure := survey.Certify(ctx)
	written, err := report.Write(o.out)
	if len(written) > 0 && !o.quiet {
		e.say("wrote %s; took %s", strings.Join(written, ", "), view.Span(time.Duration(report.Took)*time.Millisecond))
	}
	return errors.Join(failure, err, e.print(report, o.json))
}
