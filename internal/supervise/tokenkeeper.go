package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/metadata"
	"github.com/taskiam/taskiam/internal/visible"
	"github.com/taskiam/taskiam/internal/wait"
)

const (
	// watchEvery is how often to check that the run and its account still exist.
	watchEvery = time.Minute
	// lookBefore is how long before the end of the run the journal is read, to see whether the
	// run was renewed. At the end, while somebody is renewing the run, it is read this often.
	lookBefore = 10 * time.Second
	// answersFor is how long a server goes on after the end of its run, to tell clients that it has expired. Then
	// nothing is left of a run that nobody takes down. The server of `taskiam run` ends with CMD.
	answersFor = time.Hour
)

// Why a token keeper ends early.
var (
	errAccountGone = fault.New(fault.NotFound, "the run's account is gone")
	errRunGone     = fault.New(fault.NotFound, "the run is down, or its journal is gone")
)

// Tokens makes the tokens of a run's account.
type Tokens interface {
	AccessToken(ctx context.Context, account string, lifetime time.Duration) (grants.Token, error)
	ScopedAccessToken(ctx context.Context, account string, lifetime time.Duration, scopes []string,
	) (grants.Token, error)
	IDToken(ctx context.Context, account, audience string) (grants.Token, error)
	// Account returns the account, or a [fault.NotFound] if it does not exist any more.
	Account(ctx context.Context, project, id string) (grants.Account, error)
}

// TokenKeeper keeps the delivery of one run good while the run lasts: it answers as the
// run's metadata server, or replaces its token before that ends.
type TokenKeeper struct {
	run      *journal.Run
	tokens   Tokens
	journals journal.Store
	now      func() time.Time
	// log gets a line for each token that is given out, but never the token.
	log io.Writer
	// WayOut is the proxy of a run whose credential stays outside of its sandbox; nil is none. Set
	// it before the keeper begins.
	WayOut *WayOut

	mu      sync.Mutex // guards log and what follows
	expires time.Time  // the end of the run, as it is known now
	moved   chan struct{}
}

// NewTokenKeeper returns the token keeper of a run that is up. now is this machine's clock.
func NewTokenKeeper(
	run *journal.Run, tokens Tokens, journals journal.Store, now func() time.Time, log io.Writer,
) *TokenKeeper {
	return &TokenKeeper{
		run: run, tokens: tokens, journals: journals, log: log,
		// Tokens expire by the cloud's clock, which may differ from this machine's.
		now:     func() time.Time { return now().Add(run.ClockAhead()) },
		expires: run.Expires(), moved: make(chan struct{}),
	}
}

// say writes one line of the log.
func (k *TokenKeeper) say(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fmt.Fprintf(k.log, "%s %s\n", k.now().UTC().Format(time.RFC3339), visible.Line(fmt.Sprintf(format, args...)))
}

// lifetime is how long one access token of the run may live.
func (k *TokenKeeper) lifetime() time.Duration {
	o := k.run.Opened
	task := grants.Task{TokenLifetime: time.Duration(o.TokenLifetime) * time.Second}
	return delivery.Of(k.run.Kind).Lifetime(task)
}

// minter returns what makes the run's tokens.
func (k *TokenKeeper) minter() *credentials.Minter {
	email := k.run.Opened.Email
	return credentials.NewMinter(credentials.MinterConfig{
		AccessToken: func(ctx context.Context, lifetime time.Duration, scopes []string) (grants.Token, error) {
			token, err := k.tokens.ScopedAccessToken(ctx, email, lifetime, scopes)
			if err != nil {
				return grants.Token{}, err
			}
			return token, recordIn(ctx, k.journals, k.run.ID(), journal.TokenMinted{Expires: token.Expires})
		},
		IDToken: func(ctx context.Context, audience string) (grants.Token, error) {
			token, err := k.tokens.IDToken(ctx, email, audience)
			if err != nil {
				return grants.Token{}, err
			}
			return token, recordIn(ctx, k.journals, k.run.ID(), journal.TokenMinted{Expires: token.Expires})
		},
		Lifetime: k.lifetime(), Expires: k.run.Expires(), Now: k.now, // see serve for a later end
	})
}

// Keep works until the run is down, its account is gone or ctx ends. After the end of the run there are no more
// tokens; a server says so to whoever asks. l is the listener of the run's [Endpoint]; nil for a run without a server.
func (k *TokenKeeper) Keep(ctx context.Context, l net.Listener) error {
	return k.keep(ctx, l, func(ctx context.Context) { <-ctx.Done() })
}

// keepAlone is Keep for a process of its own, which must not outlive its run for long.
func (k *TokenKeeper) keepAlone(ctx context.Context, l net.Listener) error {
	return k.keep(ctx, l, func(ctx context.Context) { _ = wait.For(ctx, answersFor) })
}

// keep is Keep with a server that answers, after the end of the run, as long as linger waits.
func (k *TokenKeeper) keep(ctx context.Context, l net.Listener, linger func(context.Context)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop(nil)
	serves := delivery.Of(k.run.Kind).Upkeep == delivery.Serve
	watching.Go(func() { k.watch(ctx, stop) })
	watching.Go(func() {
		k.follow(ctx)
		if serves && ctx.Err() == nil {
			k.say("run %s has expired: whoever asks for a token is told so", k.run.ID())
			linger(ctx)
		}
		stop(nil)
	})

	var err error
	if serves {
		err = k.serve(ctx, l)
	} else {
		err = k.refresh(ctx)
	}
	if cause := context.Cause(ctx); errors.Is(cause, errAccountGone) || errors.Is(cause, errRunGone) {
		err = errors.Join(cause, err)
	}
	return err
}

// Serve does the work in this process, which is recorded as the server of the run.
func (k *TokenKeeper) Serve(ctx context.Context, at Endpoint) error {
	start, err := startOf(os.Getpid())
	if err != nil {
		return err
	}
	l, err := at.Open(ctx)
	if err != nil {
		return err
	}
	started := journal.ProcessStarted{Role: journal.RoleServer, PID: os.Getpid(), Start: start}
	if err := recordIn(ctx, k.journals, k.run.ID(), started); err != nil {
		return errors.Join(err, closeIf(l))
	}
	return errors.Join(k.keepAlone(ctx, l), recordEnd(ctx, k.journals, k.run.ID(), start))
}

// ServeHandedOver does the work in a background process, which is recorded already.
func (k *TokenKeeper) ServeHandedOver(ctx context.Context, h *Handover) error {
	l, err := h.Open(ctx, EndpointOf(k.run))
	if err != nil {
		return err
	}
	start, err := startOf(os.Getpid())
	if err = errors.Join(err, h.Ready()); err != nil {
		return errors.Join(err, closeIf(l))
	}
	return errors.Join(k.keepAlone(ctx, l), recordEnd(ctx, k.journals, k.run.ID(), start))
}

func closeIf(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// end returns the run's end as it is known now, and a channel that is closed when the end moves.
func (k *TokenKeeper) end() (time.Time, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expires, k.moved
}

// extend notes that the end was moved.
func (k *TokenKeeper) extend(expires time.Time) {
	k.mu.Lock()
	k.expires = expires
	close(k.moved)
	k.moved = make(chan struct{})
	k.mu.Unlock()
	k.say("run %s was renewed, and expires at %s", k.run.ID(), moment(expires))
}

// follow returns at the end of the run, or when ctx ends. It learns from the journal that the
// run was renewed.
func (k *TokenKeeper) follow(ctx context.Context) {
	for {
		end, _ := k.end()
		left := end.Sub(k.now())
		if left > lookBefore {
			left = min(left-lookBefore, watchEvery)
		}
		if wait.For(ctx, left) != nil {
			return
		}
		run, err := k.journals.Read(k.run.ID())
		switch {
		case err == nil && run.Expires().After(end):
			k.extend(run.Expires())
		case k.now().Before(end):
		case err == nil && k.now().Before(run.Renewing()):
			// The process that renews the run expects this one to continue. There is no token
			// until it is done.
			if wait.For(ctx, lookBefore) != nil {
				return
			}
		default:
			return
		}
	}
}

// watch stops the work when the run or its account is gone.
func (k *TokenKeeper) watch(ctx context.Context, stop context.CancelCauseFunc) {
	missed := 0
	for {
		if wait.For(ctx, watchEvery) != nil {
			return
		}
		if run, err := k.journals.Read(k.run.ID()); fault.Is(err, fault.NotFound) || err == nil && !run.Live() {
			stop(errRunGone)
			return
		}
		_, err := k.tokens.Account(ctx, k.run.Opened.Project, k.run.Opened.Email)
		if !fault.Is(err, fault.NotFound) {
			missed = 0
			continue
		}
		// A new account may not be found once. Twice, a minute apart, means that it is gone.
		if missed++; missed == 2 {
			stop(errAccountGone)
			return
		}
	}
}

// gone reports whether the run's delivery is gone, with which down begins. It may be another process that takes the
// run down, while CMD goes on: from then on no token is handed out that was made before, identity tokens least of all,
// which outlive the account.
func (k *TokenKeeper) gone() bool {
	_, err := os.Lstat(k.run.Opened.DeliveryDir)
	return errors.Is(err, os.ErrNotExist) && k.run.Opened.DeliveryDir != ""
}

// serve answers as the run's metadata server.
func (k *TokenKeeper) serve(ctx context.Context, l net.Listener) error {
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
	tokens := metadata.Tokens(minter)
	if k.WayOut != nil {
		tokens = k.WayOut.placeholders(k.now)
		defer k.WayOut.serve(ctx, minter, func(ctx context.Context, used journal.Used) error {
			return recordIn(ctx, k.journals, o.Run, used)
		}, k.say)()
	}
	server, err := metadata.New(metadata.Config{
		Run:       o.Run,
		Account:   grants.Account{Email: o.Email, UniqueID: k.run.Account.UniqueID, Project: o.Project},
		Audiences: o.Audiences,
		Hosts:     metadata.Hosts(number),
		Tokens:    tokens,
		Expires:   k.run.Expires(),
		Gone:      k.gone,
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

// logEvent logs that a token was given out, or that a request was refused.
func (k *TokenKeeper) logEvent(ev metadata.Event) {
	var b strings.Builder
	switch {
	case ev.Err != nil:
		fmt.Fprintf(&b, "refused %s %q from %s with %d: %v", strconv.Quote(ev.Method), ev.Path, ev.Remote, ev.Code,
			ev.Err)
	case ev.Audience != "":
		fmt.Fprintf(&b, "identity token for %q to %s", ev.Audience, ev.Remote)
	default:
		fmt.Fprintf(&b, "access token for %s to %s, reported to expire in %s",
			strings.Join(ev.Scopes, " "), ev.Remote, ev.ExpiresIn.Round(time.Second))
	}
	if ev.Unlogged > 0 {
		fmt.Fprintf(&b, " (and %d more before it)", ev.Unlogged)
	}
	k.say("%s", b.String())
}

// refresh replaces the run's token before it ends.
func (k *TokenKeeper) refresh(ctx context.Context) error {
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

// refreshUntil replaces the token until the run ends. ends is when the latest token ends.
func (k *TokenKeeper) refreshUntil(ctx context.Context, ends *time.Time, expires time.Time) error {
	o := k.run.Opened
	return credentials.Refresh{
		Delivery: DeliveryOf(k.run),
		Mint: func(ctx context.Context) (grants.Token, error) {
			token, err := k.tokens.AccessToken(ctx, o.Email, min(k.lifetime(), expires.Sub(k.now())))
			if err == nil {
				err = recordIn(ctx, k.journals, k.run.ID(), journal.TokenMinted{Expires: token.Expires})
			}
			if err == nil {
				*ends = token.Expires
				k.say("access token for the file, which expires at %s", moment(token.Expires))
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

// moment writes a point in time.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
