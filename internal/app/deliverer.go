package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/metadata"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/supervise"
)

// deliverer makes and removes deliveries. On the emulator, a delivery also tells Google's
// clients where the emulator is. It never contains the operator's login.
type deliverer struct {
	emulatorHost string // "" on Google Cloud
	emulatorCA   string
	owner        int // whom deliveries are for; 0 is this user
	// vacant says why the owner must get no delivery now; nil if nothing can be wrong.
	vacant func() error
	// mask hides secrets in a log; nil if there is no log.
	mask func(...secret.String) error
	// held are the folders of the deliveries that this process has made: it can remove them
	// wherever they are moved to.
	held map[grants.RunID]*credentials.Folder
	// wayOut is the proxy of the run that is delivered; nil is none.
	wayOut *supervise.WayOut
	roots  string // the authorities of the machine, in PEM
}

// NewKeyPair makes a key. Its private half never leaves this machine.
func (deliverer) NewKeyPair() (lifecycle.KeyPair, error) {
	pair, err := credentials.NewKeyPair(nil)
	if err != nil {
		return nil, err
	}
	return pair, nil
}

// Deliver writes the delivery of a run.
func (c deliverer) Deliver(d delivery.Delivery) (string, error) {
	if c.mask != nil {
		if err := c.mask(secretsIn(d)...); err != nil {
			return "", err
		}
	}
	ca, err := c.ca()
	if err != nil {
		return "", err
	}
	d.More, d.CA, d.Owner = c.more(d), ca, c.owner
	if delivery.Of(d.Kind).Proxied {
		if c.wayOut == nil {
			return "", fault.New(fault.Usage, "delivering by %s takes a closed network: taskiam run --isolate=closed",
				d.Kind)
		}
		d.CA = string(c.wayOut.CA())
		d.Bundle = c.roots + d.CA
	}
	if d.Metadata != "" {
		d.External = string(metadata.CredentialsFile("http://"+d.Metadata, d.Account.Email))
	}
	if c.vacant != nil { // up may have waited long since this was asked
		if err := c.vacant(); err != nil {
			return "", err
		}
	}
	folder, err := credentials.Deliver(d)
	if err != nil {
		return "", err
	}
	c.held[d.Run] = folder
	if c.owner != 0 && filepath.Dir(d.Dir) == sharedDeliveries {
		// Another run may have removed the folder meanwhile, because it was empty.
		return folder.ID(), openShared()
	}
	return folder.ID(), nil
}

// secretsIn returns the secrets of a delivery: the token, and the private key of a key file.
func secretsIn(d delivery.Delivery) []secret.String {
	var file struct {
		Key string `json:"private_key"`
	}
	if json.Unmarshal([]byte(d.Key.Reveal()), &file) != nil { // there is none, or it is no key file
		return []secret.String{d.Token.Value, d.Key}
	}
	return []secret.String{d.Token.Value, secret.New(file.Key)}
}

// ca returns the certificate of the emulator's CA. Beside the file that it is read from
// lies the operator's token: a sandbox gets a copy, in its delivery.
func (c deliverer) ca() (string, error) {
	if c.emulatorHost == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.emulatorCA)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // over plain HTTP an emulator can do without
		return "", fmt.Errorf("reading the certificate of the emulator's CA: %w", err)
	}
	return string(b), nil
}

// Remove removes the delivery of a run.
func (c deliverer) Remove(dir string, run grants.RunID, folder string) (found bool, err error) {
	if held := c.held[run]; held != nil {
		found = true
		if err = held.Remove(); err == nil {
			delete(c.held, run)
			err = held.Close()
		}
		if err != nil {
			err = fmt.Errorf("removing %s: %w", dir, err)
		}
	} else {
		found, err = credentials.Remove(dir, run, folder)
	}
	if err != nil {
		return found, err
	}
	return found, leaveShared(dir)
}

// Key returns the key file in the delivery of a run.
func (deliverer) Key(run *journal.Run) (secret.String, error) {
	return credentials.ReadKey(supervise.DeliveryOf(run))
}

// Renew writes the new end of a run into its delivery, and replaces the key if there is a new
// one. Whether the owner is vacant is not asked: whoever has the delivery has had it since up.
func (c deliverer) Renew(run *journal.Run, expires time.Time, key secret.String) error {
	d := c.delivery(run)
	d.Expires, d.Key = expires, key
	return credentials.Renew(d)
}

// more returns the variables by which a sandbox finds its proxy, or else the emulator: with those
// of an emulator, clients would go around the proxy.
func (c deliverer) more(d delivery.Delivery) []delivery.Var {
	switch {
	case delivery.Of(d.Kind).Proxied:
		return delivery.ThroughProxy(d.Dir)
	case c.emulatorHost == "":
		return nil
	}
	return vars(emulator.ClientEnv(c.emulatorHost, delivery.CAPath(d.Dir)))
}

// Delivery returns the delivery of a run without the credential, from its journal alone. It
// does not read the folder: the sandbox may have changed what is there, and the operator's
// shell evals what is printed from this.
func (a *App) Delivery(r *journal.Run) delivery.Delivery {
	c := deliverer{}
	if r.Opened.OnEmulator() {
		c.emulatorHost = r.Opened.Endpoint
	}
	return c.delivery(r)
}

func (c deliverer) delivery(r *journal.Run) delivery.Delivery {
	d := supervise.DeliveryOf(r)
	d.More = c.more(d)
	return d
}
