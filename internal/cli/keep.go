package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/metadata"
	"github.com/taskiam/taskiam/internal/view"
)

const (
	// recordWithin is how long a token waits to be recorded, if another process is at
	// work on the run. A token that is not recorded is not handed out.
	recordWithin = 10 * time.Second
	// watchEvery is how often the run and its account are looked for, so that what works
	// for them ends when they are gone.
	watchEvery = time.Minute
	// lookBefore is how long before the run's end, at the latest, it is looked whether the
	// run was renewed, and how soon again at its end, if somebody is about to renew it.
	lookBefore = 10 * time.Second
)

// These end what keeps a delivery good.
var (
	errAccountGone = fault.New(fault.NotFound, "the run's account is gone")
	errRunGone     = fault.New(fault.NotFound, "the run is down, or its journal is gone")
)

// keeper keeps the delivery of one run good while the run lasts: it answers as its
// metadata server, or replaces its token before that ends.
type keeper struct {
	run      *journal.Run
	client   *gcp.Client
	journals *journal.Dir
	now      func() time.Time
	// log gets a line for each token that is handed out, and none with a token in it.
	log io.Writer

	mu      sync.Mutex // guards log and what follows
	expires time.Time  // the run's end, as far as is known by now
	moved   chan struct{}
}

// newKeeper returns the keeper of a run that is up.
func (e *Env) newKeeper(ctx context.Context, run *journal.Run, log io.Writer) (*keeper, error) {
	journals, err := e.journals()
	if err != nil {
		return nil, err
	}
	client, err := e.client(ctx, cloudOptions{reason: run.Opened.Reason})
	if err != nil {
		return nil, err
	}
	if cloud, endpoint := client.Cloud(); cloud != run.Opened.Cloud || endpoint != run.Opened.Endpoint {
		return nil, elsewhere(run.Opened, cloud, endpoint)
	}
	// Tokens are dated by the cloud's clock, from which this machine's may differ.
	now := func() time.Time { return e.Now().Add(run.ClockAhead()) }
	return &keeper{
		run: run, client: client, journals: journals, now: now, log: log, expires: run.Expires(), moved: make(chan struct{}),
	}, nil
}

// openTokenLog opens the file with the log of the run's tokens. It goes when the run's
// journal goes.
func openTokenLog(journals *journal.Dir, run grants.RunID) (*os.File, error) {
	f, err := os.OpenFile(journals.TokenLogPath(run), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of tokens: %w", err)
	}
	return f, nil
}

// holdTokenLog says, as long as the file is open, that its process keeps the delivery of
// the run good: a process that runs CMD is not in the journal, for a teardown stops
// what is. The lock goes with the process, however that ends.
func holdTokenLog(log *os.File) error {
	if err := unix.Flock(int(log.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("locking the log of tokens: %w", err)
	}
	return nil
}

// tokenLogHeld reports whether a process has said that.
func tokenLogHeld(journals *journal.Dir, run grants.RunID) (bool, error) {
	log, err := os.Open(journals.TokenLogPath(run))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the log of tokens: %w", err)
	}
	defer log.Close()
	switch err := unix.Flock(int(log.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("locking the log of tokens: %w", err)
	}
	return false, nil
}

// say writes one line of the log.
func (k *keeper) say(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fmt.Fprintf(k.log, "%s %s\n", k.now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
}

// lifetime is how long one access token of the run may live.
func (k *keeper) lifetime() time.Duration {
	o := k.run.Opened
	return grants.Task{TokenLifetime: time.Duration(o.TokenLifetime) * time.Second}.Lifetime(k.run.Kind)
}

// minter returns what makes the run's tokens.
func (k *keeper) minter() *credentials.Minter {
	email := k.run.Opened.Email
	return credentials.NewMinter(credentials.MinterConfig{
		AccessToken: func(ctx context.Context, lifetime time.Duration, scopes []string) (grants.Token, error) {
			token, err := k.client.ScopedAccessToken(ctx, email, lifetime, scopes)
			if err != nil {
				return grants.Token{}, err
			}
			return token, record(ctx, k.journals, k.run.ID(), journal.TokenMinted{Expires: token.Expires})
		},
		IDToken: func(ctx context.Context, audience string) (grants.Token, error) {
			token, err := k.client.IDToken(ctx, email, audience)
			if err != nil {
				return grants.Token{}, err
			}
			return token, record(ctx, k.journals, k.run.ID(), journal.TokenMinted{Expires: token.Expires})
		},
		Lifetime: k.lifetime(), Expires: k.run.Expires(), Now: k.now, // see serve for a later end
	})
}

// keep works until the run ends, its account is gone or ctx ends. The listener is for
// a run that is delivered by metadata.
func (k *keeper) keep(ctx context.Context, l net.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop(nil)
	watching.Go(func() { k.watch(ctx, stop) })
	watching.Go(func() { k.follow(ctx, stop) })

	var err error
	if k.run.Kind == grants.DeliverMetadata {
		err = k.serve(ctx, l)
	} else {
		err = k.refresh(ctx)
	}
	if cause := context.Cause(ctx); errors.Is(cause, errAccountGone) || errors.Is(cause, errRunGone) {
		err = errors.Join(cause, err)
	}
	return err
}

// end returns the run's end as it is known now, and a channel that is closed when it moves.
func (k *keeper) end() (time.Time, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expires, k.moved
}

// extend moves the end.
func (k *keeper) extend(expires time.Time) {
	k.mu.Lock()
	k.expires = expires
	close(k.moved)
	k.moved = make(chan struct{})
	k.mu.Unlock()
	k.say("run %s was renewed, and ends at %s", k.run.ID(), view.Moment(expires))
}

// follow ends the work at the run's end. The journal tells if the run was renewed.
func (k *keeper) follow(ctx context.Context, stop context.CancelCauseFunc) {
	for {
		end, _ := k.end()
		wait := end.Sub(k.now())
		if wait > lookBefore {
			wait = min(wait-lookBefore, watchEvery)
		}
		if !waited(ctx, wait) {
			return
		}
		run, err := k.journals.Read(k.run.ID())
		switch {
		case err == nil && run.Expires().After(end):
			k.extend(run.Expires())
		case k.now().Before(end):
		case err == nil && k.now().Before(run.Renewing()):
			// Whoever renews it counts on who is at work. There is no token until then.
			if !waited(ctx, lookBefore) {
				return
			}
		default:
			stop(nil)
			return
		}
	}
}

// waited waits, and reports whether ctx did not end meanwhile.
func waited(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// watch ends the work when there is nobody left to work for.
func (k *keeper) watch(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	missed := 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if run, err := k.journals.Read(k.run.ID()); fault.Is(err, fault.NotFound) || err == nil && !run.Live() {
			stop(errRunGone)
			return
		}
		_, err := k.client.Account(ctx, k.run.Opened.Project, k.run.Opened.Email)
		if !fault.Is(err, fault.NotFound) {
			missed = 0
			continue
		}
		// One that is missed twice, a minute apart, is not just new.
		if missed++; missed == 2 {
			stop(errAccountGone)
			return
		}
	}
}

// serve answers as the run's metadata server.
func (k *keeper) serve(ctx context.Context, l net.Listener) error {
	o := k.run.Opened
	minter := k.minter()
	defer minter.Close()
	_, port, err := net.SplitHostPort(o.Metadata)
	if err != nil {
		return fmt.Errorf("reading the address of the metadata server: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("reading the address of the metadata server: %w", err)
	}
	server, err := metadata.New(metadata.Config{
		Run:       o.Run,
		Account:   grants.Account{Email: o.Email, UniqueID: k.run.Account.UniqueID, Project: o.Project},
		Audiences: o.Audiences,
		Hosts:     metadata.Hosts(number),
		Tokens:    minter,
		Expires:   k.run.Expires(),
		Now:       k.now,
		Log:       k.logEvent,
	})
	if err != nil {
		return err
	}
	k.say("serving metadata of run %s on %s", o.Run, l.Addr())
	serving, ended := context.WithCancel(ctx)
	var extending sync.WaitGroup
	extending.Go(func() {
		for {
			end, moved := k.end()
			minter.Extend(end)
			server.Extend(end)
			select {
			case <-moved:
			case <-serving.Done():
				return
			}
		}
	})
	err = server.Serve(ctx, l)
	ended()
	extending.Wait()
	k.say("the metadata server has ended")
	return err
}

// logEvent takes down a token that was handed out, or a request that was refused.
func (k *keeper) logEvent(ev metadata.Event) {
	var b strings.Builder
	switch {
	case ev.Err != nil:
		fmt.Fprintf(&b, "refused %s %q from %s with %d: %v", strconv.Quote(ev.Method), ev.Path, ev.Remote, ev.Code, ev.Err)
	case ev.Audience != "":
		fmt.Fprintf(&b, "identity token for %q to %s", ev.Audience, ev.Remote)
	default:
		fmt.Fprintf(&b, "access token for %s to %s, said to end in %s", strings.Join(ev.Scopes, " "), ev.Remote, view.Span(ev.ExpiresIn))
	}
	if ev.Unlogged > 0 {
		fmt.Fprintf(&b, " (and %d more before it)", ev.Unlogged)
	}
	k.say("%s", b.String())
}

// refresh replaces the run's token before it ends.
func (k *keeper) refresh(ctx context.Context) error {
	for ends := k.run.TokensUntil; ; {
		expires, moved := k.end()
		until, stop := context.WithCancel(ctx)
		go func() {
			defer stop()
			select {
			case <-moved:
			case <-until.Done():
			}
		}()
		err := k.refreshUntil(until, &ends, expires)
		stop()
		if err != nil {
			return err
		}
		select {
		case <-moved: // the run was renewed
		case <-ctx.Done():
			return nil
		}
	}
}

// refreshUntil replaces the token, which ends at ends, until the run does.
func (k *keeper) refreshUntil(ctx context.Context, ends *time.Time, expires time.Time) error {
	o := k.run.Opened
	return credentials.Refresh{
		Dir: o.DeliveryDir, Run: o.Run,
		Mint: func(ctx context.Context) (grants.Token, error) {
			token, err := k.client.AccessToken(ctx, o.Email, min(k.lifetime(), expires.Sub(k.now())))
			if err == nil {
				err = record(ctx, k.journals, k.run.ID(), journal.TokenMinted{Expires: token.Expires})
			}
			if err == nil {
				*ends = token.Expires
				k.say("access token for the file, which ends at %s", view.Moment(token.Expires))
			}
			return token, err
		},
		Ends: *ends, Expires: expires, Now: k.now,
		Refused: func(err error) error {
			k.say("there is no new token yet: %v", err)
			return nil
		},
	}.Keep(ctx)
}

// serverPlace is where the metadata server of a run that is about to come up is to
// answer: clients are told before there is a server. It is empty for a task that is not
// delivered by metadata.
type serverPlace struct {
	address  string           // HOST:PORT
	listener *net.TCPListener // nil if it is to be a socket
}

// newServerPlace finds a port. With a socket, it is one for the sandbox's own loopback.
func newServerPlace(task grants.Task, socket bool) (serverPlace, error) {
	if !slices.Contains(task.Deliver, grants.DeliverMetadata) {
		if socket {
			return serverPlace{}, fault.WithHint(fault.New(fault.Usage, "--%s is for a metadata server, and the manifest asks for none", flagSocket),
				`put deliver = "metadata" under [credentials]`)
		}
		return serverPlace{}, nil
	}
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return serverPlace{}, fmt.Errorf("listening for the metadata server: %w", err)
	}
	p := serverPlace{address: l.Addr().String(), listener: l}
	if socket {
		p.close()
		p.listener = nil
	}
	return p, nil
}

// close gives the port up, in this process.
func (p serverPlace) close() {
	if p.listener != nil {
		_ = p.listener.Close()
	}
}

// socketPath returns the name of the socket in a run's delivery.
func socketPath(dir string) string { return filepath.Join(dir, "metadata.sock") }

// listenSocket makes the socket in the run's delivery, for nobody but this user. It
// takes the place of one that an earlier server has left.
func listenSocket(dir string) (net.Listener, error) {
	path := socketPath(dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("making the socket %s: %w", path, err)
	}
	l, _, err := listenIn(dir, filepath.Base(path), 0)
	if err != nil {
		return nil, fmt.Errorf("making the socket %s: %w", path, err)
	}
	return l, nil
}
