package cli

import (
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/emulator"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// courier hands over credentials to sandboxes. On the emulator it puts beside them
// what points Google's clients there; never the operator's login.
type courier struct {
	emulatorHost string // "" on Google Cloud
	emulatorCA   string
}

// NewKeyPair makes a key whose private half stays here.
func (courier) NewKeyPair() (lifecycle.KeyPair, error) {
	pair, err := credentials.NewKeyPair(nil)
	if err != nil {
		return nil, err
	}
	return pair, nil
}

// Deliver writes the delivery of a run.
func (c courier) Deliver(d lifecycle.Delivery) error {
	return credentials.Deliver(credentials.Delivery{
		Dir: d.Dir, Run: d.Plan.Run, Task: d.Plan.Task.Name,
		Account: grants.Account{Email: d.Plan.Email, Project: d.Plan.Task.Project},
		Expires: d.Plan.Expires, Key: d.Key, Token: d.Token.Value, Kind: d.Plan.Task.Deliver,
		More: c.more(),
	})
}

// Remove takes the delivery of a run away.
func (courier) Remove(dir string, run grants.RunID) error { return credentials.Remove(dir, run) }

// more is what a sandbox needs to find the emulator, and nothing on Google Cloud.
func (c courier) more() []credentials.Var {
	if c.emulatorHost == "" {
		return nil
	}
	var vars []credentials.Var
	for _, v := range emulator.ClientEnv(c.emulatorHost, c.emulatorCA) {
		vars = append(vars, credentials.Var{Name: v.Name, Value: v.Value})
	}
	return vars
}

// delivery returns the delivery of a run as its journal describes it, without the
// credential. It does not look into the folder: what is in there, the sandbox may
// have changed, and a shell of the operator's is about to eval what comes of this.
func (e *Env) delivery(r *journal.Run) credentials.Delivery {
	o := r.Opened
	c := courier{}
	if o.Cloud == cloudEmulator {
		c = courier{emulatorHost: o.Endpoint, emulatorCA: e.emulatorCA()}
	}
	return credentials.Delivery{
		Dir: o.DeliveryDir, Run: o.Run, Task: o.Task,
		Account: grants.Account{Email: o.Email, UniqueID: r.Account.UniqueID, Project: o.Project},
		Expires: o.Expires, Kind: o.Deliver, More: c.more(),
	}
}

// cloudEmulator is what gcp and the journal call the emulator.
const cloudEmulator = "emulator"
