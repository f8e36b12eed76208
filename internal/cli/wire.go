package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

var (
	_ lifecycle.Roles       = (*gcp.Client)(nil)
	_ lifecycle.KeyPair     = (*credentials.KeyPair)(nil)
	_ lifecycle.Credentials = courier{}
)

// cloudOptions say how the cloud is spoken to.
type cloudOptions struct {
	reason   string // sent with every call
	member   string // the operator; "" asks the cloud
	owner    int    // the user whom deliveries are for; 0 is this user
	progress *view.Progress
	// nobody leaves the operator out: for calls that bring a credential of their own.
	nobody bool
	// anyway goes on without a login that works: there is something to do here too.
	anyway bool
	// mask keeps a credential out of a log before it is delivered; nil where there is none.
	mask func(...secret.String) error
}

// client returns the cloud as the operator sees it: the emulator if the environment
// names one, and there with the emulator's own login, else Google's with application
// default credentials.
func (e *Env) client(ctx context.Context, o cloudOptions) (*gcp.Client, error) {
	cfg := gcp.Config{
		EmulatorHost:   e.Getenv(envEmulatorHost),
		Reason:         o.reason,
		UserAgent:      userAgent(),
		OperatorMember: o.member,
		QuotaProject:   e.Getenv(envQuotaProject),
		Progress:       func(ev gcp.Event) { o.progress.Retry(ev.Op, ev.Object, ev.Wait, ev.Err) },
	}
	if !o.nobody {
		var err error
		if cfg.Credential, err = e.login(ctx, cfg); err != nil {
			if !o.anyway {
				return nil, err
			}
			cfg.Credential = gcp.NoLogin(err)
		}
	}
	return gcp.New(cfg)
}

// login returns the operator's login.
func (e *Env) login(ctx context.Context, cfg gcp.Config) (gcp.TokenSource, error) {
	if cfg.EmulatorHost != "" {
		return e.emulatorLogin()
	}
	// Where GOOGLE_APPLICATION_CREDENTIALS is a run's, the default login would be the
	// run's account; and going around it to the person's would let CMD be the person.
	if run := e.Getenv(envRun); run != "" {
		return nil, fault.WithHint(
			fault.New(fault.Unauthenticated, "this shell acts as the account of run %s and not as you", run),
			`to act as you again: eval "$(taskiam env --unset)"`)
	}
	return gcp.DefaultLogin(ctx, cfg)
}

// emulatorLogin reads the token that the emulator made for its operator.
func (e *Env) emulatorLogin() (gcp.TokenSource, error) {
	path := e.Getenv(envEmulatorToken)
	if path == "" {
		home, err := e.emulatorHome()
		if err != nil {
			return nil, err
		}
		path = home.tokenFile()
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

// journals returns the state folder. It need not exist.
func (e *Env) journals() (*journal.Dir, error) {
	dir, err := e.stateDir()
	if err != nil {
		return nil, err
	}
	d, err := journal.OpenDir(dir, nil)
	if err != nil {
		return nil, err
	}
	d.Now = e.Now
	return d, nil
}

// engine returns what brings runs up and down.
func (e *Env) engine(ctx context.Context, o cloudOptions) (*lifecycle.Engine, error) {
	journals, err := e.journals()
	if err != nil {
		return nil, err
	}
	client, err := e.client(ctx, o)
	if err != nil {
		return nil, err
	}
	return &lifecycle.Engine{
		Cloud:       client,
		Roles:       e.roles(client),
		Credentials: courier{emulatorHost: e.Getenv(envEmulatorHost), emulatorCA: e.emulatorCA(), owner: o.owner, mask: o.mask},
		Journals:    journals,
		Stop:        supervise.Stop,
		Now:         e.Now,
		Random:      e.Random,
		Delivered:   e.delivered,
		Progress:    o.progress.Step,
	}, nil
}

// emulatorCA returns the file with the certificate of the emulator's CA; "" if it is
// not known.
func (e *Env) emulatorCA() string {
	if path := e.Getenv(envEmulatorCA); path != "" {
		return path
	}
	home, err := e.emulatorHome()
	if err != nil {
		return ""
	}
	return home.caFile()
}
