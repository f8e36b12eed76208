package cli

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/demo"
	"github.com/taskiam/taskiam/internal/view"
)

func newDemoCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "see a task get its access, be refused everything else, and lose it again",
		UsageText: "taskiam demo",
		Description: `Shows everything on an emulator in this process: up, an agent that uses Google's own
client with the delivered credential, down, and a thief with a copy of the credential.
Nothing leaves this machine. It fails if a line is not true.`,
		Flags: []cli.Flag{newJSONFlag()},
		Action: action(
			func(c *cli.Context) (bool, error) { return c.Bool(flagJSON), noArguments(c) },
			func(ctx context.Context, asJSON bool) error { return runDemo(ctx, e, asJSON) }),
	}
}

func runDemo(ctx context.Context, e *Env, asJSON bool) error {
	hear := func(c demo.Chapter) error { return e.print(c, false) }
	if asJSON {
		hear = func(demo.Chapter) error { return nil }
	} else if err := view.Tell(e.Stdout, "A task on an emulator of Google Cloud in this process. Nothing leaves this "+
		"machine."); err != nil {
		return err
	}
	story, err := demo.Tell(ctx, e.World, hear)
	if err != nil {
		return err
	}
	if asJSON {
		if err := view.JSON(e.Stdout, story); err != nil {
			return err
		}
	}
	if !story.True {
		return errors.New("a line of the story is not true")
	}
	if asJSON {
		return nil
	}
	return view.Tell(e.Stdout, "\nEvery line is true, after %s. Next: taskiam init, or the README for your own "+
		"project.",
		view.Span(time.Duration(story.Elapsed)*time.Millisecond))
}

func newDemoAgentCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:   demo.AgentCommand,
		Hidden: true,
		Usage:  "play the agent of the demo, and print what came of each attempt",
		Action: func(c *cli.Context) error {
			return demo.RunAgent(c.Context, e.World, e.Stdout.Programs(), c.Args().Get(0), c.Args().Get(1))
		},
	}
}
