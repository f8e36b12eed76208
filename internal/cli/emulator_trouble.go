package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/emulator"
)

// emulatorTrouble is what an emulator should get wrong on purpose, from the start.
type emulatorTrouble struct {
	lag    emulator.Lag
	quotas emulator.Quotas
	faults []emulator.Fault
}

func newEmulatorTroubleFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "lag",
			Usage: "`NAME=DURATION`: delay until a change is visible, or NAME=FROM..TO; names: " +
				"account_read, account_bind, account_mint, key, grant, revoke, disable, role, search; also seed=N",
		},
		&cli.StringSliceFlag{
			Name: "quota",
			Usage: "`NAME=N`: limit of calls; names: iam_writes, account_creations, bucket_updates, " +
				"dataset_updates; or only google, for Google's own limits",
		},
		&cli.StringSliceFlag{Name: "fault", Usage: "`JSON`: a fault, as in the control API"},
	}
}

func parseEmulatorTrouble(c *cli.Context) (emulatorTrouble, error) {
	var t emulatorTrouble
	for _, text := range c.StringSlice("lag") {
		name, value, _ := strings.Cut(text, "=")
		if err := t.lag.Set(name, value); err != nil {
			return t, usage(c, "--lag %s: %v", text, err)
		}
	}
	for _, text := range c.StringSlice("quota") {
		name, value, named := strings.Cut(text, "=")
		if !named && name == "google" {
			t.quotas = emulator.GoogleQuotas
			continue
		}
		if err := t.quotas.Set(name, value); err != nil {
			return t, usage(c, "--quota %s: %v", text, err)
		}
	}
	for _, text := range c.StringSlice("fault") {
		var f emulator.Fault
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		err := dec.Decode(&f)
		if err == nil {
			err = f.Check()
		}
		if err != nil {
			return t, usage(c, "--fault %s: %v", text, fmt.Errorf("reading the fault: %w", err))
		}
		t.faults = append(t.faults, f)
	}
	return t, nil
}
