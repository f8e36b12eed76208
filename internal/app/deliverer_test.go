package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/supervise"
)

func aDelivery(t *testing.T) delivery.Delivery {
	t.Helper()
	run := grants.NewRunID(time.Now(), [5]byte{1})
	return delivery.Delivery{
		Kind: delivery.Key, Dir: filepath.Join(t.TempDir(), "d"), Run: run, Task: "task", Key: secret.New("{}"),
		Account: grants.Account{Email: "a@p.iam.gserviceaccount.com", Project: "p"}, Expires: time.Now().Add(time.Hour),
	}
}

// Bringing a run up may take minutes, in which the user may have got a process.
func TestDeliverAsksAgainWhetherTheUserIsVacant(t *testing.T) {
	t.Parallel()
	d := aDelivery(t)
	has := errors.New("the user has processes")
	c := deliverer{held: map[grants.RunID]*credentials.Folder{}, vacant: func() error { return has }}
	if _, err := c.Deliver(d); !errors.Is(err, has) {
		t.Errorf("delivered to a user with processes: %v", err)
	}
	if _, err := os.Lstat(d.Dir); !errors.Is(err, os.ErrNotExist) || len(c.held) > 0 {
		t.Errorf("something was delivered: %v", err)
	}
}

func TestRemovedDeliveryIsHeldNoMore(t *testing.T) {
	t.Parallel()
	d := aDelivery(t)
	c := deliverer{held: map[grants.RunID]*credentials.Folder{}}
	id, err := c.Deliver(d)
	if err != nil {
		t.Fatal(err)
	}
	folder := c.held[d.Run]
	for range 2 { // a teardown may come to it twice
		if _, err := c.Remove(d.Dir, d.Run, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := folder.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the folder was still open: %v", err)
	}
}

// Without a proxy there is nothing that would put the token in the placeholder's place. With one, clients are led
// through it and around nothing.
func TestDeliveryByProxyTakesAProxy(t *testing.T) {
	t.Parallel()
	d := aDelivery(t)
	d.Kind, d.Metadata, d.External = delivery.Proxy, "127.0.0.1:1", "{}"
	c := deliverer{held: map[grants.RunID]*credentials.Folder{}, emulatorHost: "127.0.0.1:2", roots: "the machine's\n"}
	if _, err := c.Deliver(d); !fault.Is(err, fault.Usage) {
		t.Errorf("delivered without a proxy: %v", err)
	}
	var err error
	if c.wayOut, err = supervise.NewWayOut(egress.Config{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Deliver(d); err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(d.Dir, "bundle.pem"))
	if err != nil || string(bundle) != "the machine's\n"+string(c.wayOut.CA()) {
		t.Errorf("the bundle is %q %v", bundle, err)
	}
	for _, v := range c.more(d) {
		if strings.Contains(v.Value, "127.0.0.1:2") {
			t.Errorf("%s leads around the proxy", v.Name)
		}
	}
}
