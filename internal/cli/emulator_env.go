package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
)

type emulatorEnvOptions struct {
	client string
	wait   time.Duration
}

// forClients are the clients that the emulator's environment is for.
var forClients = []string{app.ForTaskiam, app.ForGcloud, app.ForSDK, app.ForProxy}

func newEmulatorEnvCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "env",
		Usage: "print the environment that makes a client use the emulator",
		UsageText: `eval "$(taskiam emulator env)"
eval "$(taskiam emulator env --for gcloud)"
gcloud iam service-accounts list --project acme-agents`,
		Description: `--for says which client, and who it acts as:

  taskiam  taskiam, as the operator
  gcloud   only gcloud, bq and gsutil, as the operator, with their own
           configuration, endpoints and proxy
  sdk      every program that uses Google's libraries or Terraform, as the
           operator: a proxy, its CA and application default credentials
  proxy    the same without a login: use your own

With sdk and proxy, no program in that shell can reach other hosts by HTTPS: use
another shell for that.`,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: flagFor, Usage: "`CLIENT`: taskiam, gcloud, sdk or proxy", Value: app.ForTaskiam,
				Action: oneOf(flagFor, forClients...),
			},
			newWaitFlag(),
		},
		Action: action(parseEmulatorEnv, func(ctx context.Context, o emulatorEnvOptions) error {
			return runEmulatorEnv(ctx, e, o)
		}),
	}
}

func newWaitFlag() cli.Flag {
	return &cli.DurationFlag{
		Name:  "wait",
		Usage: "`DURATION`: how long to wait for an emulator that is starting",
		Value: 3 * time.Second,
	}
}

func parseEmulatorEnv(c *cli.Context) (emulatorEnvOptions, error) {
	return emulatorEnvOptions{client: c.String("for"), wait: c.Duration("wait")}, noArguments(c)
}

func runEmulatorEnv(ctx context.Context, e *Env, o emulatorEnvOptions) error {
	home, err := e.app().EmulatorHome()
	if err != nil {
		return err
	}
	address, err := home.Find(ctx, o.wait)
	if err != nil {
		return err
	}
	text, err := home.Environment(address, o.client)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(e.Stdout.Programs(), text); err != nil {
		return fmt.Errorf("writing the environment: %w", err)
	}
	return nil
}
