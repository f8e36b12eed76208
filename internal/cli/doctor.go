package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/view"
)

type doctorOptions struct {
	taskOptions
	files       []string
	role        bool
	json, quiet bool
}

func newDoctorCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check whether you can run tasks here, and say how to fix what is wrong",
		UsageText: `taskiam doctor                          # this machine and the login
taskiam doctor task.toml                # and what this task needs
taskiam doctor --role task.toml         # the smallest role for its operator`,
		ArgsUsage: "[FILE...]",
		Description: `Checks who you are logged in as, which APIs are enabled, which permissions you have
on each resource, what the organisation forbids, and the clock, the folders and
bubblewrap on this machine. Each line that is not ok says how to fix it. Nothing is
changed.

With --role it prints commands for an administrator: they create custom roles with
exactly what the operator of these tasks needs, and bind them.`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{
				Name: "role",
				Usage: "print the smallest roles for the operator of the tasks: you, or the member in " +
					"--" + flagOperatorMember,
			},
			newJSONFlag(),
			newQuietFlag(),
		}, newTaskFlags()...),
		Action: action(
			func(c *cli.Context) (doctorOptions, error) { return parseDoctor(c, e.Getenv) },
			func(ctx context.Context, o doctorOptions) error { return runDoctor(ctx, e, o) }),
	}
}

func parseDoctor(c *cli.Context, getenv func(string) string) (doctorOptions, error) {
	o := doctorOptions{files: words(c), role: c.Bool("role"), json: c.Bool(flagJSON), quiet: c.Bool(flagQuiet)}
	var err error
	if o.taskOptions, err = parseTask(c, getenv); err != nil {
		return o, err
	}
	for _, f := range o.files {
		if f == "" {
			return o, usage(c, "the manifest's name is empty")
		}
	}
	if o.role && len(o.files) == 0 {
		return o, usage(c, "--role needs a manifest")
	}
	return o, nil
}

func runDoctor(ctx context.Context, e *Env, o doctorOptions) error {
	var subjects []lifecycle.Subject
	for _, file := range o.files {
		o.file = file
		src, err := e.load(o.file, manifest.Limits{MaxTTL: o.maxTTL, Now: e.Now(), Given: o.given})
		if err != nil {
			return err
		}
		subjects = append(subjects, lifecycle.Subject{Task: src.Task, File: shell.Quote(file)})
	}
	if o.role {
		return runDoctorRole(ctx, e, o, subjects)
	}
	var tasks []string
	for _, p := range subjects {
		tasks = append(tasks, p.Task.Name)
	}
	x, cloud, endpoint, broken := e.examine(ctx, o, subjects)
	doc := view.NewDoctor(tasks, x.Findings)
	doc.Cloud, doc.Endpoint, doc.Operator = cloud, endpoint, x.Operator.Member
	kind := fault.Precondition
	if slices.ContainsFunc(x.Findings, func(f lifecycle.Examined) bool {
		return f.Health == lifecycle.Broken && f.Lacks
	}) {
		kind = fault.Denied
	}
	err := e.print(doc, o.json)
	if broken != nil { // what was found before that is worth its lines
		return errors.Join(err, broken)
	}
	if n := doc.Problems(); err == nil && n > 0 {
		err = fault.New(kind, "problems found: %d", n)
	}
	return err
}

// examine looks at this machine, and at the cloud if there is a login for it. Without a login
// cloud and endpoint are empty.
func (e *Env) examine(ctx context.Context, o doctorOptions, subjects []lifecycle.Subject) (
	x *lifecycle.Examination, cloud, endpoint string, err error,
) {
	here := e.app().ExamineMachine()
	engine, err := e.app().Engine(ctx, app.Options{Member: o.member, Progress: e.newProgress(o.quiet)})
	if err != nil {
		if ctx.Err() != nil {
			return &lifecycle.Examination{Findings: here}, "", "", err
		}
		if journals, err := e.app().Journals(); err != nil {
			here = append(here, lifecycle.Trouble(lifecycle.ThisMachine, "state", err))
		} else {
			here = append([]lifecycle.Examined{lifecycle.ExamineState(journals)}, here...)
		}
		here = append(here, lifecycle.Trouble("the cloud", "login", err))
		return &lifecycle.Examination{Findings: append(here, lifecycle.Unexamined(subjects)...)}, "", "", nil
	}
	cloud, endpoint = engine.Cloud.Cloud()
	x, err = engine.Examine(ctx, subjects)
	// The state, and then the rest of this machine.
	n := min(1, len(x.Findings))
	x.Findings = slices.Concat(x.Findings[:n], here, x.Findings[n:])
	return x, cloud, endpoint, err
}
