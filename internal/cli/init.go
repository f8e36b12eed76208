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
	project string // "" is the usual one
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
		UsageText: `taskiam init
taskiam init --name nightly-report --project acme-agents
taskiam init --example read-reports    # runs on the emulator as it is`,
		ArgsUsage: "[FILE]",
		Description: `Writes FILE (` + defaultManifest + ` if it is not given). A file that is already there is left
as it is. The project is the one that gcloud would use, or the emulator's. What it writes
runs: its only grant lets the task see the project.
An example is about the company that the emulator starts with.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the task; made of the folder's if it is not given"},
			&cli.StringFlag{
				Name:  "project",
				Usage: "`PROJECT` that is to host the run's service account (default: gcloud's or the emulator's)",
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
	if err := resource.CheckProject(o.project); c.IsSet("project") && err != nil {
		return o, fault.New(fault.Usage, "--project: %w", err)
	}
	return o, nil
}

func runInit(ctx context.Context, e *Env, o initOptions) error {
	path, err := filepath.Abs(o.file)
	if err != nil {
		return fmt.Errorf("finding %s: %w", o.file, err)
	}
	if o.name == "" {
		o.name = filepath.Base(filepath.Dir(path))
	}
	from := ""
	if o.project == "" && o.example == "" {
		if o.project, from, err = e.usualProject(ctx); err != nil {
			return err
		}
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
	switch {
	case o.project == "":
		e.say("nothing says which project is yours: write it in the place of %s", manifest.Placeholder)
	case from != "":
		e.say("its project is %s, by %s", o.project, from)
	}
	e.say("next: edit it, then taskiam plan %s", shell.Quote(o.file))
	return nil
}

// usualProject returns the project for a new manifest, and where that is said: what would be set over the manifest
// first, then what Google's own clients would take.
func (e *Env) usualProject(ctx context.Context) (project, from string, err error) {
	a := e.app()
	usual, _, err := a.Configuration(manifest.Limits{})
	if err != nil {
		return "", "", err
	}
	given := manifest.Settings{}
	if text := e.Getenv(envProject); text != "" {
		if given, err = manifest.ParseSetting(manifest.ProjectSetting, text, manifest.Limits{}); err != nil {
			return "", "", fmt.Errorf("$%s: %w", envProject, err)
		}
	}
	switch {
	case given.Project != "":
		return given.Project, "$" + envProject, nil
	case usual.Project != "":
		return usual.Project, a.ConfigurationFile(), nil
	}
	project, from = a.UsualProject(ctx)
	return project, from, nil
}
