package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
)

type emulatorEnvOptions struct {
	wait time.Duration
}

func newEmulatorEnvCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "env",
		Usage:     "print what points taskiam at the emulator that is at work",
		UsageText: `eval "$(taskiam emulator env)"`,
		Flags:     []cli.Flag{newWaitFlag()},
		Action:    action(parseEmulatorEnv, func(ctx context.Context, o emulatorEnvOptions) error { return runEmulatorEnv(ctx, e, o) }),
	}
}

func newWaitFlag() cli.Flag {
	return &cli.DurationFlag{Name: "wait", Usage: "`DURATION` to wait for an emulator that is still starting", Value: 3 * time.Second}
}

func parseEmulatorEnv(c *cli.Context) (emulatorEnvOptions, error) {
	return emulatorEnvOptions{wait: c.Duration("wait")}, noArguments(c)
}

func runEmulatorEnv(ctx context.Context, e *Env, o emulatorEnvOptions) error {
	home, err := e.emulatorHome()
	if err != nil {
		return err
	}
	address, err := home.find(ctx, o.wait)
	if err != nil {
		return err
	}
	for _, v := range [][2]string{
		{envEmulatorHost, address},
		{envEmulatorToken, home.tokenFile()},
		{envEmulatorCA, home.caFile()},
	} {
		if _, err := fmt.Fprintf(e.Stdout, "export %s=%s\n", v[0], quoteShell(v[1])); err != nil {
			return fmt.Errorf("writing the environment: %w", err)
		}
	}
	return nil
}
