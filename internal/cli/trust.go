package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/view"
)

type trustOptions struct {
	file   string
	maxTTL time.Duration
	yes    bool
	json   bool
}

func newTrustCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "trust",
		Usage:     "accept that a manifest opens more than it did",
		UsageText: "taskiam trust task.toml",
		ArgsUsage: "FILE",
		Description: `up and run remember what a manifest opens, and refuse it once it was changed and opens
more: whoever may write to it could else widen what you start. This shows what it opens
more, asks, and remembers the manifest as it is now. Nothing is called.

What was never used passes, and so does what opens less.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: flagYes, Usage: "do not ask"},
			newMaxTTLFlag(),
			newJSONFlag(),
		},
		Action: action(
			func(c *cli.Context) (trustOptions, error) { return parseTrust(c, e.Getenv) },
			func(ctx context.Context, o trustOptions) error { return runTrust(ctx, e, o) }),
	}
}

func newTrustedFlag() cli.Flag {
	return &cli.StringFlag{
		Name: flagTrusted,
		Usage: "`FILE`: refuse the manifest if it opens more than this one, and not than when it was last used: " +
			"in CI, the one of the branch that a change is for",
		TakesFile: true,
	}
}

func parseTrust(c *cli.Context, getenv func(string) string) (trustOptions, error) {
	o := trustOptions{yes: c.Bool(flagYes), json: c.Bool(flagJSON)}
	var err error
	if o.maxTTL, err = parseMaxTTL(c, getenv); err != nil {
		return o, err
	}
	if o.file, err = oneFile(c); err != nil {
		return o, err
	}
	if o.file == app.StandardInput {
		return o, usage(c, "what comes by standard input is not remembered: name the file")
	}
	if run := getenv(app.EnvRun); run != "" {
		return o, fault.WithHint(fault.New(fault.Usage,
			"this shell is inside run %s, and a manifest is accepted by whoever starts runs", run),
			"trust it from a shell outside of the run")
	}
	return o, nil
}

func runTrust(ctx context.Context, e *Env, o trustOptions) error {
	src, err := e.load(o.file, manifest.Limits{MaxTTL: o.maxTTL, Now: e.Now()})
	if err != nil {
		return err
	}
	trust, err := e.app().Trust()
	if err != nil {
		return err
	}
	verdict := trust.Compare(src)
	if err := e.agreeToTrust(o, src, verdict); err != nil {
		return err
	}
	if err := trust.Accept(ctx, src); err != nil {
		return fault.New(fault.Other, "remembering what %s opens: %w", src.Path, err)
	}
	return e.print(view.NewTrust(src.Path, src.Scope.Task, verdict.First, verdict.Wider), o.json)
}

// agreeToTrust shows what a manifest opens more, and asks whether it may. What opens no more needs no answer.
func (e *Env) agreeToTrust(o trustOptions, src app.Source, v app.Verdict) error {
	if !v.First && len(v.Wider) == 0 {
		return nil
	}
	if !o.yes && !e.asks() {
		return fault.WithHint(fault.New(fault.Usage, "accepting what %s opens has to be agreed to, and standard input "+
			"is no terminal", src.Path), "taskiam trust --"+flagYes+" "+shell.Quote(o.file))
	}
	if v.First {
		e.sayScope(src)
	} else {
		for line := range strings.SplitSeq(v.Refusal(src, "").Error(), "\n") {
			e.say("%s", line)
		}
		if inWorkTree(src.Path) != "" {
			e.say("it lies in the work tree %s, where commands could have changed it", app.InWorkTree(src.Path))
		}
	}
	if o.yes || e.agreed("accept that?") {
		return nil
	}
	return fault.New(fault.Other, "%s was not accepted: the answer was not yes", src.Path)
}

// verdict compares a manifest with the file that it is to be compared with, or with what is remembered of it. Of what
// comes by standard input nothing is; and a CI job has its manifest from a branch, which has nothing to do with what
// was at the same path in another job.
func (e *Env) verdict(o taskOptions, src app.Source) (app.Verdict, error) {
	switch {
	case o.trusted != "":
		base, err := e.load(o.trusted, e.limits(o))
		if err != nil {
			return app.Verdict{}, fmt.Errorf("--%s: %w", flagTrusted, err)
		}
		return app.Beside(base, src), nil
	case src.Path == app.StandardInput, o.job != nil:
		return app.Verdict{Same: true}, nil
	}
	trust, err := e.app().Trust()
	if err != nil {
		return app.Verdict{}, err
	}
	return trust.Compare(src), nil
}

// trusts refuses a manifest that opens more than it did. One that is used for the first time is shown.
func (e *Env) trusts(o taskOptions, src app.Source, p *view.Progress) error {
	v, err := e.verdict(o, src)
	if err != nil {
		return err
	}
	if v.First && !p.Quiet() {
		e.sayScope(src)
	}
	return refuseWider(o, v, src)
}

// refuseWider returns why a manifest must not be used, and what to do about it; nil if it may be.
func refuseWider(o taskOptions, v app.Verdict, src app.Source) error {
	switch o.trusted {
	case "":
	case app.StandardInput:
		return v.Refusal(src, "standard input")
	default:
		return v.Refusal(src, o.trusted)
	}
	return fault.WithHint(v.Refusal(src, ""), "if this is what you want: taskiam trust "+shell.Quote(o.file))
}

// sayScope says what a manifest opens that was not used before.
func (e *Env) sayScope(src app.Source) {
	e.say("%s%s was not used before; it opens:", src.Path, inWorkTree(src.Path))
	for _, line := range src.Scope.Opens() {
		e.say("  %s", line)
	}
}

// inWorkTree says, behind the name of a manifest, that a command could change it; "" if none could.
func inWorkTree(manifest string) string {
	if app.InWorkTree(manifest) == "" {
		return ""
	}
	return ", in a work tree, where commands could change it,"
}

// remember keeps what a manifest opens that was used just now.
func (e *Env) remember(ctx context.Context, src app.Source, job bool) {
	if job || src.Path == app.StandardInput {
		return
	}
	trust, err := e.app().Trust()
	if err == nil {
		err = trust.Use(ctx, src)
	}
	if err != nil {
		e.warn("warning: what %s opens is not remembered: %v", src.Path, err)
	}
}
