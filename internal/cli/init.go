package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/shell"
)

type initOptions struct {
	file    string
	name    string
	project string
}

const defaultManifest = "task.toml"

func newInitCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "write a commented manifest to start from",
		UsageText: "taskiam init --name nightly-report --project acme-agents",
		ArgsUsage: "[FILE]",
		Description: `Writes FILE (` + defaultManifest + ` if it is not given). A file that is already there is left
as it is.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the task; made of the folder's if it is not given"},
			&cli.StringFlag{
				Name:  "project",
				Usage: "`PROJECT` that is to host the run's service account",
				Value: "my-project",
			},
		},
		Action: action(parseInit, func(ctx context.Context, o initOptions) error { return runInit(ctx, e, o) }),
	}
}

func parseInit(c *cli.Context) (initOptions, error) {
	o := initOptions{file: defaultManifest, name: c.String("name"), project: c.String("project")}
	switch w := words(c); len(w) {
	case 0:
	case 1:
		o.file = w[0]
	default:
		return o, usage(c, "init writes one file, not %d", len(w))
	}
	if err := resource.CheckProject(o.project); err != nil {
		return o, fault.New(fault.Usage, "--project: %w", err)
	}
	return o, nil
}

func runInit(_ context.Context, e *Env, o initOptions) error {
	path, err := filepath.Abs(o.file)
	if err != nil {
		return fmt.Errorf("finding %s: %w", o.file, err)
	}
	if o.name == "" {
		o.name = filepath.Base(filepath.Dir(path))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fault.WithHint(fault.New(fault.Exists, "%s is already there, and is left as it is", o.file),
			"taskiam plan "+shell.Quote(o.file))
	}
	if err != nil {
		return fmt.Errorf("creating the manifest: %w", err)
	}
	_, err = f.Write(manifest.Starter(o.name, o.project))
	if err := errors.Join(err, f.Close()); err != nil {
		// What is there now is no manifest.
		return errors.Join(fmt.Errorf("writing %s: %w", o.file, err), os.Remove(path))
	}
	e.say("wrote %s", o.file)
	e.say("next: edit it, then taskiam plan %s", shell.Quote(o.file))
	return nil
}
