package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/supervise"
)

var (
	_ lifecycle.Roles       = (*gcp.Client)(nil)
	_ lifecycle.KeyPair     = (*credentials.KeyPair)(nil)
	_ lifecycle.Credentials = deliverer{}
)

// Options are for calls to the cloud.
type Options struct {
	Reason string // sent with every call
	Member string // the operator as policies name it; "" asks the cloud
	Owner  int    // the user whom deliveries are for; 0 is this user
	// Vacant is asked just before a delivery is made, and says why it must not be; nil if nothing can be wrong.
	Vacant func() error
	// Progress is told what is being done; nil is nobody.
	Progress Progress
	// NoOperator leaves out the operator's login: the caller authenticates each call itself.
	NoOperator bool
	// AllowLoggedOut continues without a login: there is something to do on this machine too.
	AllowLoggedOut bool
	// Mask hides credentials in a log, before they are delivered; nil if there is no log.
	Mask func(...secret.String) error
}

// Progress is told what is being done, and what is being waited for.
type Progress interface {
	// Step is called for each event of a step.
	Step(event lifecycle.Event)
	// Retry is called before a call is tried again.
	Retry(op, object string, wait time.Duration, err error)
}

// Client returns the cloud as the operator sees it: the emulator if the environment
// names one, and there with the emulator's own login, else Google's with application
// default credentials.
func (a *App) Client(ctx context.Context, o Options) (*gcp.Client, error) {
	cfg := gcp.Config{
		EmulatorHost:   a.Getenv(EnvEmulatorHost),
		Reason:         o.Reason,
		UserAgent:      userAgent(),
		OperatorMember: o.Member,
		QuotaProject:   a.Getenv(envQuotaProject),
		LoginFile:      a.Getenv(EnvCredentials),
	}
	if a.Debug != nil {
		cfg.Trace = a.trace
	}
	if !o.NoOperator {
		var err error
		if cfg.Credential, err = a.login(ctx, cfg); err != nil {
			if !o.AllowLoggedOut {
				return nil, err
			}
			cfg.Credential = gcp.NoLogin(err)
		}
	}
	if o.Progress != nil {
		cfg.Progress = func(ev gcp.Event) { o.Progress.Retry(ev.Op, ev.Object, ev.Wait, ev.Err) }
	}
	return gcp.New(cfg)
}

// RefuseElsewhere returns why nothing can be done here about a run of another cloud than the one that the
// environment names; nil for a run of that one.
func (a *App) RefuseElsewhere(o journal.Opened) error {
	return o.CheckCloud(gcp.CloudAt(a.Getenv(EnvEmulatorHost)))
}

// trace says what came of one call.
func (a *App) trace(c gcp.Call) {
	line := fmt.Sprintf("%s %s: ", c.Method, c.Resource)
	switch {
	case c.Status != 0:
		line += fmt.Sprintf("%d %s", c.Status, http.StatusText(c.Status))
	default:
		line += "no answer: " + c.Err.Error()
	}
	line += fmt.Sprintf(", after %s", c.Took.Round(time.Millisecond))
	if c.Attempt > 1 {
		line += fmt.Sprintf(", try %d", c.Attempt)
	}
	a.Debug("debug: %s", line)
}

// login returns the operator's login.
func (a *App) login(ctx context.Context, cfg gcp.Config) (gcp.TokenSource, error) {
	if cfg.EmulatorHost != "" {
		return a.emulatorLogin()
	}
	// Inside a run, the default login is the account of the run. To ignore it and use the
	// operator's login would let the task's command act as the operator.
	if run := a.Getenv(EnvRun); run != "" {
		return nil, fault.WithHint(
			fault.New(fault.Unauthenticated, "this shell acts as the account of run %s and not as you", run),
			`to act as you again: eval "$(taskiam env --unset)"`)
	}
	return gcp.DefaultLogin(ctx, cfg)
}

// emulatorLogin reads the token that the emulator made for its operator.
func (a *App) emulatorLogin() (gcp.TokenSource, error) {
	path := a.Getenv(EnvEmulatorToken)
	if path == "" {
		home, err := a.EmulatorHome()
		if err != nil {
			return nil, err
		}
		path = home.TokenFile()
	}
	b, err := os.ReadFile(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the emulator's token: %w", err)
		}
		return nil, fault.WithHint(
			fault.New(fault.Unauthenticated, "there is no login for the emulator in %s", path),
			`eval "$(taskiam emulator env)"`)
	}
	return gcp.EmulatorLogin(secret.New(strings.TrimSpace(string(b)))), nil
}

// userAgent names this program to Google.
func userAgent() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = strings.Trim(info.Main.Version, "()")
	}
	return "taskiam/" + version
}

// Engine returns what brings runs up and down.
func (a *App) Engine(ctx context.Context, o Options) (*lifecycle.Engine, error) {
	journals, err := a.Journals()
	if err != nil {
		return nil, err
	}
	// Runs of this machine take turns here, wherever their journals are.
	turns, err := a.folder()
	if err != nil {
		return nil, err
	}
	client, err := a.Client(ctx, o)
	if err != nil {
		return nil, err
	}
	engine := &lifecycle.Engine{
		Cloud: client,
		Roles: a.roles(client),
		Credentials: deliverer{
			emulatorHost: a.Getenv(EnvEmulatorHost), emulatorCA: a.emulatorCA(), owner: o.Owner, mask: o.Mask,
			vacant: o.Vacant, held: map[grants.RunID]*credentials.Folder{},
		},
		Journals:  journals,
		Turns:     turns,
		Stop:      supervise.Stop,
		EndUser:   supervise.EndUser,
		Now:       a.Now,
		Random:    a.Random,
		Delivered: a.Delivered,
	}
	if o.Progress != nil {
		engine.Progress = o.Progress.Step
	}
	return engine, nil
}

// EngineHere returns an engine without a cloud, for what is done on this machine alone. It needs no login and no
// network.
func (a *App) EngineHere(p Progress) (*lifecycle.Engine, error) {
	journals, err := a.Journals()
	if err != nil {
		return nil, err
	}
	engine := &lifecycle.Engine{
		Credentials: deliverer{held: map[grants.RunID]*credentials.Folder{}},
		Journals:    journals, Stop: supervise.Stop, EndUser: supervise.EndUser, Now: a.Now,
	}
	if p != nil {
		engine.Progress = p.Step
	}
	return engine, nil
}

// emulatorCA returns the file with the certificate of the emulator's CA; "" if it is
// not known.
func (a *App) emulatorCA() string {
	if path := a.Getenv(EnvEmulatorCA); path != "" {
		return path
	}
	home, err := a.EmulatorHome()
	if err != nil {
		return ""
	}
	return home.CAFile()
}
