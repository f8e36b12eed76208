package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/supervise"
)

var (
	_ lifecycle.Roles       = (*gcp.Client)(nil)
	_ lifecycle.KeyPair     = (*credentials.KeyPair)(nil)
	_ lifecycle.Credentials = deliverer{}
)

// Options say how the cloud is spoken to.
type Options struct {
	Reason string // sent with every call
	Member string // the operator as policies name it; "" asks the cloud
	Owner  int    // the user whom deliveries are for; 0 is this user
	// Progress is told what is being done; nil is nobody.
	Progress Progress
	// NoOperator leaves out the operator's login: the caller authenticates each call itself.
	NoOperator bool
	// AllowLoggedOut goes on where no login works: there is something to do on this machine too.
	AllowLoggedOut bool
	// Mask keeps a credential out of a log before it is delivered; nil where there is no log.
	Mask func(...secret.String) error
}

// Progress hears of what is being done and waited for.
type Progress interface {
	// Step hears of a step of a run.
	Step(event lifecycle.Event)
	// Retry hears of a call that is about to be tried again.
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
		QuotaProject:   a.Getenv(EnvQuotaProject),
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

// login returns the operator's login.
func (a *App) login(ctx context.Context, cfg gcp.Config) (gcp.TokenSource, error) {
	if cfg.EmulatorHost != "" {
		return a.emulatorLogin()
	}
	// Where GOOGLE_APPLICATION_CREDENTIALS is a run's, the default login would be the
	// run's account; and going around it to the person's would let CMD be the person.
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
	kept := lifecycle.Folder(journals)
	client, err := a.Client(ctx, o)
	if err != nil {
		return nil, err
	}
	engine := &lifecycle.Engine{
		Cloud: client,
		Roles: a.roles(client),
		Credentials: deliverer{
			emulatorHost: a.Getenv(EnvEmulatorHost), emulatorCA: a.emulatorCA(), owner: o.Owner, mask: o.Mask,
		},
		Journals:  kept,
		Turns:     journals,
		Stop:      supervise.Stop,
		Now:       a.Now,
		Random:    a.Random,
		Delivered: a.Delivered,
	}
	if o.Progress != nil {
		engine.Progress = o.Progress.Step
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
