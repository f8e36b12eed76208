package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
)

type manifestOptions struct {
	file    string
	version app.Version
}

func newManifestCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "manifest",
		Usage: "print a manifest as a commit of its repository has it",
		UsageText: `taskiam manifest --repository URL --commit refs/heads/main task.toml
TASKIAM_GIT_LOGIN=gitlab-ci-token:$CI_JOB_TOKEN taskiam manifest ...`,
		ArgsUsage: "PATH",
		Description: `For CI, where the checkout may be a pull request's, or was changed by a job's step. It
fetches the commit into a new repository, in which git checks every object, and uses
no configuration of the machine, the user or the checkout, of git or of ssh. Git gets
none of the job's variables.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "repository", Usage: "`URL`: where to fetch from: https, ssh, or a folder"},
			&cli.StringFlag{Name: "commit", Usage: "`COMMIT`: id of a commit, or refs/heads/BRANCH"},
			&cli.StringFlag{
				Name:      "git-config",
				Usage:     "`FILE`: configuration that git may use, such as one that names a credential helper",
				TakesFile: true,
			},
		},
		Action: action(
			func(c *cli.Context) (manifestOptions, error) { return parseManifest(c, e.Getenv) },
			func(ctx context.Context, o manifestOptions) error { return runManifest(ctx, e, o) }),
	}
}

func parseManifest(c *cli.Context, getenv func(string) string) (manifestOptions, error) {
	o := manifestOptions{version: app.Version{
		Repository: c.String("repository"), Commit: c.String("commit"), Config: c.String("git-config"),
		Login: getenv(app.EnvGitLogin),
	}}
	if o.version.Repository == "" || o.version.Commit == "" {
		return o, usage(c, "manifest needs --repository and --commit")
	}
	var err error
	o.file, err = oneFile(c)
	return o, err
}

func runManifest(ctx context.Context, e *Env, o manifestOptions) error {
	text, commit, err := e.app().Fetch(ctx, o.version, o.file)
	if err != nil {
		return err
	}
	e.say("%s of commit %s", o.file, commit)
	_, err = e.Stdout.Programs().Write(text)
	return err
}
