package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/wait"
)

// Loopback reports whether only this machine can reach an address, HOST:PORT.
func Loopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopback(host), err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// RunEmulator runs an emulator on an address until ctx ends. started is told where it listens,
// and who the operator is there.
func (a *App) RunEmulator(
	ctx context.Context, cfg emulator.Config, address string, started func(address, operator string),
) (err error) {
	home, err := a.EmulatorHome()
	if err != nil {
		return err
	}
	release, err := home.claim(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	cfg.Now, cfg.Dir = a.Now, home.Dir
	server, err := emulator.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fault.WithHint(fmt.Errorf("listening on %s: %w", address, err), "taskiam emulator --addr 127.0.0.1:0")
	}
	address = listener.Addr().String()
	if err := home.announce(address); err != nil {
		return errors.Join(err, listener.Close())
	}
	operator, _ := server.Operator()
	started(address, operator)
	return server.Serve(ctx, listener)
}

// waitNotice is after how long a wait for an emulator is told of.
const waitNotice = time.Second

// lockTimeout is how long to wait for a lock that others hold only for a moment.
const lockTimeout = 500 * time.Millisecond

// EmulatorHome is the folder with what clients of an emulator need: its address, the
// operator's token and the certificate of its CA.
type EmulatorHome struct {
	Dir string

	tell func(lifecycle.Event) // is told of long waits; nil is nobody
	now  func() time.Time
}

// EmulatorHome returns the folder of the emulator that uses this state folder.
func (a *App) EmulatorHome() (EmulatorHome, error) {
	state, err := a.StateDir()
	home := EmulatorHome{Dir: filepath.Join(state, "emulator"), now: a.Now}
	if a.Progress != nil {
		home.tell = a.Progress.Step
	}
	return home, err
}

// waits tells of a wait that takes longer than a moment, and for how long it is at most. It returns what is to be
// called when the wait is over, with the error that it ended with.
func (h EmulatorHome) waits(step, what string, within time.Duration) (over func(error)) {
	if h.tell == nil {
		return func(error) {}
	}
	until, told := h.now().Add(within), make(chan struct{})
	notice := time.AfterFunc(waitNotice, func() {
		defer close(told)
		h.tell(lifecycle.Event{
			Time: h.now(), Step: step, State: lifecycle.Waiting, Wait: lifecycle.Wait{For: what, Until: until},
		})
	})
	return func(err error) {
		if !notice.Stop() {
			<-told
			h.tell(lifecycle.Event{Time: h.now(), Step: step, State: lifecycle.Ended(err), Err: err})
		}
	}
}

// TokenFile names the file with the operator's token, and CAFile the one with the certificate
// of the emulator's CA.
func (h EmulatorHome) TokenFile() string { return filepath.Join(h.Dir, "token") }

// CAFile is described at [EmulatorHome.TokenFile].
func (h EmulatorHome) CAFile() string { return filepath.Join(h.Dir, "ca.pem") }

func (h EmulatorHome) loginFile() string   { return filepath.Join(h.Dir, "adc.json") }
func (h EmulatorHome) addressFile() string { return filepath.Join(h.Dir, "address") }
func (h EmulatorHome) lockFile() string    { return filepath.Join(h.Dir, "lock") }
func (h EmulatorHome) processFile() string { return filepath.Join(h.Dir, "process") }

// claim locks the folder for this process: two emulators would overwrite each other's token.
// The lock ends with the process, however that ends.
func (h EmulatorHome) claim(ctx context.Context) (release func() error, err error) {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the emulator's folder: %w", err)
	}
	lock := flock.New(h.lockFile(), flock.SetPermissions(0o600))
	// A process that looks for an emulator holds the lock for a moment.
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	locked, err := lock.TryLockContext(ctx, 10*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("locking the emulator's folder: %w", err)
	}
	if !locked {
		return nil, fault.WithHint(
			fault.New(fault.Locked, "an emulator is already running with the state folder %s", h.Dir),
			`eval "$(taskiam emulator env)"`,
			"a second one needs its own state folder: "+
				EnvStateHome+"=DIR taskiam emulator --addr 127.0.0.1:0")
	}
	// What is there belongs to an emulator that was killed.
	if err := errors.Join(h.forget(), h.sign()); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return func() error { return errors.Join(h.forget(), lock.Unlock()) }, nil
}

// forget removes what says where an emulator is.
func (h EmulatorHome) forget() error {
	var errs []error
	for _, file := range []string{h.addressFile(), h.processFile()} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// emulatorProcess is who holds the lock.
type emulatorProcess struct {
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

// sign writes which process this is, for [App.StopEmulator].
func (h EmulatorHome) sign() error {
	var p emulatorProcess
	var err error
	if p.PID, p.Start, err = supervise.Self(); err != nil {
		return err
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(h.processFile(), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the emulator's process: %w", err)
	}
	return nil
}

// StopEmulator ends the emulator that runs with this state folder, and returns its address, if it has said one, and
// the number of its process. No other process is signalled, whatever has that number by now.
func (a *App) StopEmulator(ctx context.Context) (address string, pid int, err error) {
	home, err := a.EmulatorHome()
	if err != nil {
		return "", 0, err
	}
	switch held, err := home.held(); {
	case err != nil:
		return "", 0, err
	case !held:
		return "", 0, home.none(fault.NotFound)
	}
	address, err = home.look()
	if err != nil {
		return "", 0, err
	}
	raw, err := os.ReadFile(home.processFile())
	if err != nil {
		return "", 0, fault.WithHint(fmt.Errorf("finding the emulator's process: %w", err),
			"end it where it was started, with Ctrl-C")
	}
	var p emulatorProcess
	if err := json.Unmarshal(raw, &p); err != nil || p.PID <= 1 || p.Start == "" {
		return "", 0, fault.New(fault.Other, "%s does not say which process the emulator is", home.processFile())
	}
	over := home.waits("stop the emulator", "it to finish its calls and to save its state", supervise.StopsWithin)
	err = supervise.Stop(ctx, p.PID, p.Start)
	over(err)
	if err != nil {
		return "", 0, fmt.Errorf("stopping the emulator: %w", err)
	}
	if held, err := home.held(); err != nil || held {
		return "", 0, errors.Join(err, fault.New(fault.Other, "an emulator still runs with the state folder %s: "+
			"it is not process %d, which %s names", home.Dir, p.PID, home.processFile()))
	}
	return address, p.PID, home.forget() // one that was killed has left it
}

// none is the error where no emulator runs.
func (h EmulatorHome) none(kind fault.Kind) error {
	return fault.WithHint(fault.New(kind, "no emulator is running with the state folder %s", h.Dir),
		"taskiam emulator &")
}

// held reports whether an emulator runs: it holds the lock as long as it lives.
func (h EmulatorHome) held() (bool, error) {
	if _, err := os.Stat(h.Dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(h.lockFile(), flock.SetPermissions(0o600))
	free, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("looking for the emulator: %w", err)
	}
	if free {
		return false, lock.Unlock()
	}
	return true, nil
}

// announce writes the address of the emulator, for [EmulatorHome.Find].
func (h EmulatorHome) announce(address string) error {
	if err := renameio.WriteFile(h.addressFile(), []byte(address+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the emulator's address: %w", err)
	}
	return nil
}

// Find returns the address of the running emulator, and waits for one that is starting.
func (h EmulatorHome) Find(ctx context.Context, within time.Duration) (address string, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	over := h.waits("find the emulator", "an emulator to start", within)
	defer func() { over(err) }()
	for {
		address, err := h.look()
		if address != "" || err != nil {
			return address, err
		}
		if wait.For(ctx, 20*time.Millisecond) != nil {
			return "", h.none(fault.Unavailable)
		}
	}
}

// look returns the address of the running emulator; "" if there is none.
func (h EmulatorHome) look() (string, error) {
	b, err := os.ReadFile(h.addressFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the emulator's address: %w", err)
	}
	// If nobody holds the lock, the address belongs to an emulator that was killed.
	if held, err := h.held(); err != nil || !held {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// EmulatorStatus says where the emulator is that answers, whose login the operator's is there, and what time it is on
// its clock. The operator is "" if the environment names an emulator with another state folder.
func (a *App) EmulatorStatus(
	ctx context.Context, wait time.Duration,
) (address, operator string, now time.Time, err error) {
	answer, err := a.AskEmulator(ctx, wait, http.MethodGet, "clock", nil)
	if err != nil {
		return "", "", now, err
	}
	var clock struct {
		Now time.Time `json:"now"`
	}
	if err := json.Unmarshal(answer, &clock); err != nil {
		return "", "", now, fmt.Errorf("reading the emulator's answer: %w", err)
	}
	home, err := a.EmulatorHome()
	if err != nil {
		return "", "", now, err
	}
	own, err := home.look()
	if err != nil {
		return "", "", now, err
	}
	address = cmp.Or(a.Getenv(EnvEmulatorHost), own)
	if address == own {
		operator, err = home.operator()
	}
	return address, operator, clock.Now, err
}

// AskEmulator calls the emulator's control API as its operator: that of the emulator which the
// environment names, else that of the one running on this machine.
func (a *App) AskEmulator(
	ctx context.Context, wait time.Duration, method, name string, body []byte,
) ([]byte, error) {
	home, err := a.EmulatorHome()
	if err != nil {
		return nil, err
	}
	address := a.Getenv(EnvEmulatorHost)
	if address == "" {
		if address, err = home.Find(ctx, wait); err != nil {
			return nil, err
		}
	}
	path := a.Getenv(EnvEmulatorToken)
	if path == "" {
		path = home.TokenFile()
	}
	token, err := os.ReadFile(path)
	if err != nil {
		err = fmt.Errorf("reading the emulator's token: %w", err)
		if errors.Is(err, fs.ErrNotExist) {
			err = fault.WithHint(err, `eval "$(taskiam emulator env)"`)
		}
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/_emulator/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the emulator: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	// No proxy: it is on this machine.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "asking the emulator on %s: %w", address, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "reading the emulator's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fault.New(fault.Other, "the emulator on %s answered %s: %s",
			address, resp.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}
