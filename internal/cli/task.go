package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/view"
)

// taskOptions are what every command that reads a manifest is told.
type taskOptions struct {
	file   string
	maxTTL time.Duration // 0 is the manifest's own limit
	member string        // the operator as policies name it; "" asks Google
	owner  int           // the user whom the delivery is for; 0 is this user
	job    *ci.Job       // the CI job that this is; nil if it is to be none
}

func newTaskFlags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{Name: flagMaxTTL, Usage: "`TTL`: longest ttl that the manifest may have (default $" + envMaxTTL + ", or 12h)"},
		&cli.StringFlag{Name: flagOperatorMember, Usage: "`MEMBER`: your member name in IAM policies, if the token of your login does not contain it (default $" + envOperatorMember + ")"},
	}
}

// parseTask reads the flags of newTaskFlags; the environment stands in for those
// that are not given.
func parseTask(c *cli.Context, getenv func(string) string) (taskOptions, error) {
	o := taskOptions{member: c.String(flagOperatorMember)}
	var err error
	if o.maxTTL, err = parseMaxTTL(c, getenv); err != nil {
		return o, err
	}
	if o.member == "" {
		o.member = getenv(envOperatorMember)
	}
	return o, nil
}

// parseMaxTTL returns the longest ttl that the operator allows; 0 if nothing is said.
func parseMaxTTL(c *cli.Context, getenv func(string) string) (time.Duration, error) {
	most := c.Duration(flagMaxTTL)
	if !c.IsSet(flagMaxTTL) && getenv(envMaxTTL) != "" {
		var err error
		if most, err = time.ParseDuration(getenv(envMaxTTL)); err != nil {
			return 0, usage(c, "$%s is a duration such as 12h, not %q", envMaxTTL, getenv(envMaxTTL))
		}
	}
	if most < 0 || c.IsSet(flagMaxTTL) && most == 0 {
		return 0, usage(c, "--%s is %s: it must be positive", flagMaxTTL, most)
	}
	return most, nil
}

// source is a manifest as it was read.
type source struct {
	task   grants.Task
	path   string // absolute
	sha256 string // of its bytes, in hexadecimal
}

// load reads and checks the manifest.
func load(o taskOptions) (source, error) {
	path, err := filepath.Abs(o.file)
	if err != nil {
		return source{}, fmt.Errorf("finding %s: %w", o.file, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		err = fault.New(fault.Usage, "reading the manifest: %w", err)
		if errors.Is(err, os.ErrNotExist) {
			err = fault.WithHint(err, "taskiam init "+shell.Quote(o.file))
		}
		return source{}, err
	}
	task, err := manifest.Parse(o.file, b, manifest.Limits{MaxTTL: o.maxTTL})
	if err != nil {
		return source{}, err
	}
	sum := sha256.Sum256(b)
	return source{task: task, path: path, sha256: hex.EncodeToString(sum[:])}, nil
}

// prepare reads the manifest, and returns it with what carries out its plan.
func (e *Env) prepare(ctx context.Context, o taskOptions, p *view.Progress) (source, *lifecycle.Engine, error) {
	src, err := load(o)
	if err != nil {
		return source{}, nil, err
	}
	cloud := cloudOptions{member: o.member, owner: o.owner, progress: p}
	if o.job != nil {
		src.task.Reason = reasonOf(o.job, src.task.Reason)
		cloud.mask = e.maskFor(ctx, o.job)
	}
	cloud.reason = src.task.Reason
	engine, err := e.engine(ctx, cloud)
	return src, engine, err
}
