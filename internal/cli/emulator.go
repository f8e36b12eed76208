package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/emulator"
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
			&cli.StringFlag{Name: "addr", Usage: "`HOST:PORT`: loopback address to listen on; port 0 is any free port", Value: "127.0.0.1:8790"},
			&cli.BoolFlag{Name: "allow-remote", Usage: "let other machines reach --addr, over plain HTTP"},
			&cli.StringFlag{Name: "seed", Usage: "`FILE`: TOML file that describes another company", TakesFile: true},
			&cli.StringFlag{Name: "data", Usage: "`FILE`: keep the state there (default: in memory)", TakesFile: true},
			&cli.DurationFlag{Name: "rtt", Usage: "`DURATION`: delay of each call, as in a network"},
			&cli.StringFlag{Name: "log", Usage: "`FILE`: append a log of the requests there, as JSON lines; - is standard error", TakesFile: true},
		}, newEmulatorTroubleFlags()...),
		Subcommands: []*cli.Command{
			newEmulatorEnvCmd(e),
			newEmulatorSnapshotCmd(e),
			newEmulatorAdvanceCmd(e),
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
	host, _, err := net.SplitHostPort(o.addr)
	switch {
	case err != nil:
		return o, usage(c, "--addr is HOST:PORT, not %q", o.addr)
	case !loopback(host) && !o.remote:
		// Whoever reaches it can make accounts, and CMD's tokens pass over plain HTTP.
		return o, usage(c, "without --allow-remote the emulator listens only on loopback, not on %q", host)
	case o.rtt < 0:
		return o, usage(c, "--rtt is negative")
	}
	o.trouble, err = parseEmulatorTrouble(c)
	return o, err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func runEmulator(ctx context.Context, e *Env, o emulatorOptions) (err error) {
	home, err := e.emulatorHome()
	if err != nil {
		return err
	}
	release, err := home.claim(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	cfg := emulator.Config{
		DataFile: o.data, RTT: o.rtt, Now: e.Now, Dir: home.dir, AllowRemote: o.remote,
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
		cfg.Log = e.talk
	default:
		f, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("opening the request log: %w", err)
		}
		defer f.Close()
		cfg.Log = f
	}
	server, err := emulator.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fault.WithHint(fmt.Errorf("listening on %s: %w", o.addr, err), "taskiam emulator --addr 127.0.0.1:0")
	}
	address := listener.Addr().String()
	if err := home.announce(address); err != nil {
		return errors.Join(err, listener.Close())
	}
	operator, _ := server.Operator()
	if host, _, err := net.SplitHostPort(address); err == nil && !loopback(host) {
		e.say("warning: other machines can reach %s; tokens are sent over plain HTTP, and anybody who reads one can use it", address)
	}
	e.say("emulator of Google Cloud on http://%s; you are %s there", address, operator)
	e.say(`in another shell: eval "$(taskiam emulator env)"`)
	return server.Serve(ctx, listener)
}

// lockPatience is how long a lock that is held in passing is waited for.
const lockPatience = 500 * time.Millisecond

// emulatorHome is where an emulator keeps what its clients need to find it: its
// address, the operator's token and the CA's certificate.
type emulatorHome struct{ dir string }

func (e *Env) emulatorHome() (emulatorHome, error) {
	state, err := e.stateDir()
	return emulatorHome{filepath.Join(state, "emulator")}, err
}

func (h emulatorHome) tokenFile() string   { return filepath.Join(h.dir, "token") }
func (h emulatorHome) caFile() string      { return filepath.Join(h.dir, "ca.pem") }
func (h emulatorHome) loginFile() string   { return filepath.Join(h.dir, "adc.json") }
func (h emulatorHome) addressFile() string { return filepath.Join(h.dir, "address") }
func (h emulatorHome) lockFile() string    { return filepath.Join(h.dir, "lock") }

// claim makes the folder this process's own: two emulators would give out each
// other's token. The lock ends with the process, however it ends.
func (h emulatorHome) claim(ctx context.Context) (release func() error, err error) {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the emulator's folder: %w", err)
	}
	lock := flock.New(h.lockFile(), flock.SetPermissions(0o600))
	// Who looks for an emulator that was killed has the lock for a moment.
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	locked, err := lock.TryLockContext(ctx, 10*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("locking the emulator's folder: %w", err)
	}
	if !locked {
		return nil, fault.WithHint(
			fault.New(fault.Locked, "an emulator is already running with the state folder %s", h.dir),
			`eval "$(taskiam emulator env)"`,
			"a second one needs its own state folder: "+envStateHome+"=DIR taskiam emulator --addr 127.0.0.1:0")
	}
	// Whatever address is there is of one that is gone.
	if err := os.Remove(h.addressFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("removing a stale address: %w", err), lock.Unlock())
	}
	return func() error {
		err := os.Remove(h.addressFile())
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, lock.Unlock())
	}, nil
}

// announce says where the emulator listens, for [emulatorHome.find].
func (h emulatorHome) announce(address string) error {
	if err := renameio.WriteFile(h.addressFile(), []byte(address+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the emulator's address: %w", err)
	}
	return nil
}

// find returns the address of the emulator that is at work, and waits for one that
// is still starting.
func (h emulatorHome) find(ctx context.Context, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		address, err := h.look()
		if address != "" || err != nil {
			return address, err
		}
		select {
		case <-ctx.Done():
			return "", fault.WithHint(fault.New(fault.Unavailable, "no emulator is running with the state folder %s", h.dir), "taskiam emulator &")
		case <-tick.C:
		}
	}
}

// look returns the address of the emulator that is at work, "" if there is none.
func (h emulatorHome) look() (string, error) {
	b, err := os.ReadFile(h.addressFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the emulator's address: %w", err)
	}
	// An address without its emulator was left by one that was killed.
	lock := flock.New(h.lockFile(), flock.SetPermissions(0o600))
	free, err := lock.TryRLock()
	if err != nil {
		return "", fmt.Errorf("looking for the emulator: %w", err)
	}
	if free {
		return "", lock.Unlock()
	}
	return strings.TrimSpace(string(b)), nil
}
