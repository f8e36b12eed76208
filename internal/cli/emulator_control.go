package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/view"
)

func newEmulatorSnapshotCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "snapshot",
		Usage: "print the state of the running emulator in a canonical form",
		UsageText: `taskiam emulator snapshot > before.json
taskiam run task.toml -- true
taskiam emulator snapshot | diff before.json -`,
		Description: "Two snapshots are equal if the state is equal: etags, update times and deleted\n" +
			"accounts are left out.",
		Flags: []cli.Flag{newWaitFlag()},
		Action: action(parseEmulatorEnv, func(ctx context.Context, o emulatorEnvOptions) error {
			return runEmulatorSnapshot(ctx, e, o)
		}),
	}
}

func runEmulatorSnapshot(ctx context.Context, e *Env, o emulatorEnvOptions) error {
	snapshot, err := e.app().AskEmulator(ctx, o.wait, "GET", "snapshot", nil)
	if err != nil {
		return err
	}
	if err := view.RawJSON(e.Stdout, snapshot); err != nil {
		return fmt.Errorf("writing the snapshot: %w", err)
	}
	return nil
}

type emulatorAdvanceOptions struct {
	by   time.Duration
	wait time.Duration
}

func newEmulatorAdvanceCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:        "advance",
		Usage:       "move the clock of the running emulator forward",
		UsageText:   "taskiam emulator advance 3h",
		ArgsUsage:   "DURATION",
		Description: "Use it to see access expire: conditions, keys and tokens depend on that clock.",
		Flags:       []cli.Flag{newWaitFlag()},
		Action: action(parseEmulatorAdvance, func(ctx context.Context, o emulatorAdvanceOptions) error {
			return runEmulatorAdvance(ctx, e, o)
		}),
	}
}

func parseEmulatorAdvance(c *cli.Context) (emulatorAdvanceOptions, error) {
	o := emulatorAdvanceOptions{wait: c.Duration("wait")}
	w := words(c)
	if len(w) != 1 {
		return o, usage(c, "the duration is missing")
	}
	var err error
	if o.by, err = time.ParseDuration(w[0]); err != nil || o.by < 0 {
		return o, usage(c, "%q is not a duration such as 90m", w[0])
	}
	return o, nil
}

func runEmulatorAdvance(ctx context.Context, e *Env, o emulatorAdvanceOptions) error {
	body, err := json.Marshal(map[string]string{"advance": o.by.String()})
	if err != nil {
		return err
	}
	answer, err := e.app().AskEmulator(ctx, o.wait, "POST", "clock", body)
	if err != nil {
		return err
	}
	var clock struct {
		Now time.Time `json:"now"`
	}
	if err := json.Unmarshal(answer, &clock); err != nil {
		return fmt.Errorf("reading the emulator's answer: %w", err)
	}
	e.say("it is %s in the emulator now", view.Moment(clock.Now))
	return nil
}
