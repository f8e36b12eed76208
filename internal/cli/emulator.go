package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
)

type emulatorOptions struct {
	addr string
	seed string
	data string
	rtt  time.Duration
	log  string

	remote  bool // other machines may reach it
	trouble emulatorTrouble
}

func newEmulatorCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "emulator",
		Usage: "run an emulator of Google Cloud that enforces IAM on this machine",
		UsageText: `taskiam emulator &
eval "$(taskiam emulator env)"
taskiam up task.toml`,
		ArgsUsage: "[COMMAND]",
		Description: `Serves a small example company until it is interrupted. IAM decides every call of
taskiam and of Google's clients, conditions included. Nothing is sent to Google.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{
				Name:  "addr",
				Usage: "`HOST:PORT`: loopback address to listen on; port 0 is any free port",
				Value: "127.0.0.1:8790",
			},
			&cli.BoolFlag{Name: "allow-remote", Usage: "let other machines reach --addr, over plain HTTP"},
			&cli.StringFlag{Name: "seed", Usage: "`FILE`: TOML file that describes another company", TakesFile: true},
			&cli.StringFlag{Name: "data", Usage: "`FILE`: keep the state there (default: in memory)", TakesFile: true},
			&cli.DurationFlag{Name: "rtt", Usage: "`DURATION`: delay of each call, as in a network"},
			&cli.StringFlag{
				Name:      "log",
				Usage:     "`FILE`: append a log of the requests there, as JSON lines; - is standard error",
				TakesFile: true,
			},
		}, newEmulatorTroubleFlags()...),
		Subcommands: []*cli.Command{
			newEmulatorEnvCmd(e),
			newEmulatorStatusCmd(e),
			newEmulatorSnapshotCmd(e),
			newEmulatorAdvanceCmd(e),
			newEmulatorStopCmd(e),
			newEmulatorCertifyCmd(e),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c)
			}
			o, err := parseEmulator(c)
			if err != nil {
				return err
			}
			return runEmulator(c.Context, e, o)
		},
	}
}

func parseEmulator(c *cli.Context) (emulatorOptions, error) {
	o := emulatorOptions{
		addr: c.String("addr"), seed: c.String("seed"), data: c.String("data"),
		rtt: c.Duration("rtt"), log: c.String("log"), remote: c.Bool("allow-remote"),
	}
	loopback, err := app.Loopback(o.addr)
	switch {
	case err != nil:
		return o, usage(c, "--addr is HOST:PORT, not %q", o.addr)
	case !loopback && !o.remote:
		// Whoever reaches it can make accounts, and CMD's tokens pass over plain HTTP.
		return o, usage(c, "without --allow-remote the emulator listens only on loopback, not on %q", o.addr)
	case o.rtt < 0:
		return o, usage(c, "--rtt is negative")
	}
	o.trouble, err = parseEmulatorTrouble(c)
	return o, err
}

func runEmulator(ctx context.Context, e *Env, o emulatorOptions) (err error) {
	cfg := emulator.Config{
		DataFile: o.data, RTT: o.rtt, AllowRemote: o.remote,
		Lag: o.trouble.lag, Quotas: o.trouble.quotas, Faults: o.trouble.faults,
	}
	if o.seed != "" {
		if cfg.Seed, err = os.ReadFile(o.seed); err != nil {
			return fault.New(fault.Usage, "reading the seed: %w", err)
		}
	}
	switch o.log {
	case "":
	case "-":
		cfg.Log = e.Stderr.People()
	default:
		f, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("opening the request log: %w", err)
		}
		defer f.Close()
		cfg.Log = f
	}
	return e.app().RunEmulator(ctx, cfg, o.addr, func(address, operator string) {
		if loopback, err := app.Loopback(address); err == nil && !loopback {
			e.say("warning: other machines can reach %s; tokens are sent over plain HTTP, and anybody who reads one "+
				"can use it", address)
		}
		e.say("emulator of Google Cloud on http://%s; you are %s there", address, operator)
		e.say(`in another shell: eval "$(taskiam emulator env)"`)
	})
}
