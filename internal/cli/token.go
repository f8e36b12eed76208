package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/view"
)

type tokenOptions struct {
	word string // "" is the only run that is up
	show bool
	json bool
}

func newTokenCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "token",
		Usage:     "print a new access token of the run's account",
		UsageText: `curl -H "Authorization: Bearer $(taskiam token)" https://HOST/...`,
		ArgsUsage: "[RUN|TASK|FILE]",
		Description: `For credential helpers outside of a sandbox. The token is made with the run's key,
or by impersonation if the run has no key. "taskiam down" also ends this token.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "show", Usage: "print the token even if standard output is a terminal"},
			newJSONFlag(),
		},
		Action: action(parseToken, func(ctx context.Context, o tokenOptions) error { return runToken(ctx, e, o) }),
	}
}

func parseToken(c *cli.Context) (tokenOptions, error) {
	word, err := oneRun(c)
	return tokenOptions{word: word, show: c.Bool("show"), json: c.Bool(flagJSON)}, err
}

func runToken(ctx context.Context, e *Env, o tokenOptions) error {
	if e.Stdout.IsTerminal() && !o.show {
		return fault.WithHint(fault.New(fault.Usage,
			"standard output is a terminal, and a token should not be shown there"), "taskiam token --show")
	}
	run, err := e.deliveredRun(o.word, "taskiam token", e.onThisCloud)
	if err != nil {
		return err
	}
	token, err := e.app().FreshToken(ctx, run)
	if err != nil {
		return err
	}
	if o.json {
		return view.JSON(e.Stdout, view.Token{
			Schema: "taskiam.token/v1", Run: string(run.ID()), Account: run.Opened.Email,
			Token: token.Value.Reveal(), Expires: token.Expires.UTC(),
		})
	}
	if _, err := io.WriteString(e.Stdout.Programs(), token.Value.Reveal()+"\n"); err != nil {
		return fmt.Errorf("writing the token: %w", err)
	}
	return nil
}
