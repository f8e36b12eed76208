package cli

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/view"
)

type emulatorStatusOptions struct {
	wait time.Duration
	json bool
}

func newEmulatorStatusCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "say whether the emulator answers",
		UsageText: `taskiam emulator status
taskiam emulator status --json --wait 1m`,
		Description: `Asks the emulator that the environment names, else the one that runs with this state
folder, and exits with 1 if it does not answer. It is the health check of the image.`,
		Flags: []cli.Flag{newWaitFlag(), newJSONFlag()},
		Action: action(parseEmulatorStatus, func(ctx context.Context, o emulatorStatusOptions) error {
			return runEmulatorStatus(ctx, e, o)
		}),
	}
}

func parseEmulatorStatus(c *cli.Context) (emulatorStatusOptions, error) {
	return emulatorStatusOptions{wait: c.Duration("wait"), json: c.Bool(flagJSON)}, noArguments(c)
}

func runEmulatorStatus(ctx context.Context, e *Env, o emulatorStatusOptions) error {
	address, operator, now, err := e.app().EmulatorStatus(ctx, o.wait)
	if err != nil {
		return err
	}
	return e.print(view.EmulatorStatus{
		Schema: "taskiam.emulator-status/v1", Address: address, Operator: operator, Now: now,
	}, o.json)
}
