package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/view"
	"github.com/taskiam/taskiam/tasks"
)

type initOptions struct {
	file    string
	name    string
	project string
	example string // the sample to write; "" is the manifest to start from
}

// examples returns the names of the samples.
func examples() []string {
	entries, err := tasks.Files.ReadDir(".")
	if err != nil {
		return nil // they are part of the program
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), ".toml"))
	}
	return names
}

const defaultManifest = "task.toml"

func newInitCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "write a commented manifest to start from",
		UsageText: `taskiam init --name nightly-report --project acme-agents
taskiam init --example read-reports    # runs on the emulator as it is`,
		ArgsUsage: "[FILE]",
		Description: `Writes FILE (` + defaultManifest + ` if it is not given). A file that is already there is left
as it is. An example is about the company that the emulator starts with.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the task; made of the folder's if it is not given"},
			&cli.StringFlag{
				Name:  "project",
				Usage: "`PROJECT` that is to host the run's service account",
				Value: "my-project",
			},
			&cli.StringFlag{
				Name:   flagExample,
				Usage:  "`NAME` of a sample to write: " + view.OneOf(examples()),
				Action: oneOf(flagExample, examples()...),
			},
		},
		Action: action(parseInit, func(ctx context.Context, o initOptions) error { return runInit(ctx, e, o) }),
	}
}

func parseInit(c *cli.Context) (initOptions, error) {
	o := initOptions{file: defaultManifest, name: c.String("name"), project: c.String("project")}
	o.example = c.String(flagExample)
	if o.example != "" && (c.IsSet("name") || c.IsSet("project")) {
		return o, usage(c, "--%s has a name and a project of its own", flagExample)
	}
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
	text := manifest.Starter(o.name, o.project)
	if o.example != "" {
		text, err = tasks.Files.ReadFile(o.example + ".toml")
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		// What is there now is no manifest.
		return errors.Join(fmt.Errorf("writing %s: %w", o.file, err), os.Remove(path))
	}
	e.say("wrote %s", o.file)
	if o.example != "" {
		e.say("next: taskiam emulator, or write names of your own into it; then taskiam plan %s", shell.Quote(o.file))
		return nil
	}
	e.say("next: edit it, then taskiam plan %s", shell.Quote(o.file))
	return nil
}
