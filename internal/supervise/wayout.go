package supervise

import (
	"context"
	"crypto/rand"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/egress"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/metadata"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/wait"
)

// WayOut is the proxy of a run whose sandbox has a network of its own. It exists before the run,
// because the delivery has the certificate of its CA; it answers while the run's server does.
type WayOut struct {
	proxy       *egress.Proxy
	placeholder string
	minter      atomic.Pointer[credentials.Minter]
	listener    net.Listener
	lines       lines
	used        usage
	say         atomic.Pointer[func(format string, args ...any)]
}

const (
	// placeholderLife is what is claimed for a placeholder at most; the metadata server says less.
	placeholderLife = time.Hour
	// cancelWithin bounds how long the end of a run waits for uploads to be cancelled.
	cancelWithin = 5 * time.Second
	// recordEvery is how often what was called is recorded: as much is missing in the receipt of a run whose process
	// was killed.
	recordEvery = time.Minute
)

// NewWayOut returns a proxy. Its placeholder, its token and its log are filled in here.
func NewWayOut(cfg egress.Config) (*WayOut, error) {
	w := &WayOut{placeholder: "ya29.taskiam-placeholder-" + rand.Text()}
	cfg.Placeholder, cfg.Token, cfg.Log = w.placeholder, w.token, w.log
	var err error
	w.proxy, err = egress.New(cfg)
	return w, err
}

// CA returns the certificate that clients in the sandbox have to trust, in PEM.
func (w *WayOut) CA() []byte { return w.proxy.CA() }

// proxyPath returns the name of the proxy's socket in a delivery.
func proxyPath(dir string) string { return filepath.Join(dir, "proxy.sock") }

// Listen makes the socket of the proxy, for the user who runs the command; 0 is this one.
func (w *WayOut) Listen(run *journal.Run, uid int) error {
	var err error
	w.listener, err = listenUnix(proxyPath(run.Opened.DeliveryDir), uid)
	return err
}

// token returns the run's token, for what the proxy sends on.
func (w *WayOut) token(ctx context.Context) (secret.String, error) {
	minter := w.minter.Load()
	if minter == nil {
		return secret.String{}, fault.New(fault.NotFound, "the run has no tokens at present")
	}
	token, err := minter.AccessToken(ctx, nil)
	return token.Value, err
}

// serve answers until the returned function is called, which cancels the uploads that are open. Now and then, and at
// the end, it records what was called.
func (w *WayOut) serve(
	ctx context.Context, minter *credentials.Minter, record func(context.Context, journal.Used) error,
	say func(format string, args ...any),
) (end func()) {
	w.minter.Store(minter)
	w.say.Store(&say)
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() {
		if err := w.proxy.Serve(ctx, w.listener); err != nil {
			say("the proxy has ended: %v", err)
		}
	})
	working.Go(func() {
		for wait.For(ctx, recordEvery) == nil {
			_ = w.used.record(ctx, record, false) // what could not be recorded is kept for the next time
		}
	})
	return func() {
		cancel()
		working.Wait()
		w.minter.Store(nil)
		within, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelWithin)
		defer stop()
		if err := w.proxy.Close(within); err != nil {
			say("%v", err)
		}
		if err := w.used.record(within, record, true); err != nil {
			say("what was called could not be recorded, and is missing in the receipt: %v", err)
		}
	}
}

// log notes what left and what was refused, in the log of the run's tokens.
func (w *WayOut) log(e egress.Event) {
	w.used.add(e)
	say := w.say.Load()
	if say == nil || e.Method == "CONNECT" && e.Refused == "" || !w.lines.take(e.Time) {
		return
	}
	at := e.Host + e.Path
	what := strconv.Quote(e.Method) + " " + strconv.Quote(at[:min(len(at), maxLoggedPath)])
	if e.Refused != "" {
		(*say)("refused %s with %d: %s", what, e.Status, e.Refused)
		return
	}
	(*say)("%s: %d, %d bytes sent, %d received %s", what, e.Status, e.Sent, e.Received, strings.Join(e.Names, " "))
}

const (
	// A sandbox can ask as often as it likes, and must not fill the disk: this many lines are
	// logged at once, and then one more each logEvery.
	logBurst = 2000
	logEvery = time.Second
	// maxLoggedPath is how much of an address is logged.
	maxLoggedPath = 300
)

// lines is how many lines may be logged now.
type lines struct {
	mu    sync.Mutex
	left  int
	since time.Time
}

// take reports whether another line may be logged.
func (l *lines) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		l.left, l.since = logBurst, now
	}
	if n := int(now.Sub(l.since) / logEvery); n > 0 {
		l.left = min(logBurst, l.left+n)
		l.since = l.since.Add(time.Duration(n) * logEvery)
	}
	if l.left == 0 {
		return false
	}
	l.left--
	return true
}

// placeholders is what the metadata server hands out.
func (w *WayOut) placeholders(now func() time.Time) metadata.Tokens {
	return placeholders{w.placeholder, now}
}

type placeholders struct {
	value string
	now   func() time.Time
}

// AccessToken returns the placeholder, whatever the scopes are: those of the token are the run's.
func (p placeholders) AccessToken(context.Context, []string) (grants.Token, error) {
	return grants.Token{Value: secret.New(p.value), Expires: p.now().Add(placeholderLife)}, nil
}

// IDToken returns none.
func (placeholders) IDToken(context.Context, string) (grants.Token, error) {
	return grants.Token{}, fault.New(fault.NotFound, "a closed network has no identity tokens yet")
}
