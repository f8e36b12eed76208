package cli

import (
	"context"

	"github.com/urfave/cli/v2"
)

func newEmulatorStopCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "end the running emulator",
		UsageText: "taskiam emulator stop",
		Description: `Ends the emulator that runs with this state folder, wherever it was started. What it
kept in memory is gone. If none is running, the exit code is 1.`,
		Action: action(
			func(c *cli.Context) (struct{}, error) { return struct{}{}, noArguments(c) },
			func(ctx context.Context, _ struct{}) error { return runEmulatorStop(ctx, e) }),
	}
}

func runEmulatorStop(ctx context.Context, e *Env) error {
	address, pid, err := e.app().StopEmulator(ctx)
	if err != nil {
		return err
	}
	if address == "" {
		e.say("stopped an emulator that was starting (process %d)", pid)
		return nil
	}
	e.say("stopped the emulator on http://%s (process %d)", address, pid)
	return nil
}
