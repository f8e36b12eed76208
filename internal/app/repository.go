package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
)

// Version is a commit in a repository that others serve.
type Version struct {
	// Repository is an address that git fetches from: https, ssh, or a folder. It has no
	// login in it, since command lines are everybody's.
	Repository string
	// Commit is a commit's id, or a branch as refs/heads/NAME.
	Commit string
	// Login is USER:PASSWORD for https; "" for none.
	Login string
	// Config is a configuration of git's that is used; "" for none.
	Config string
}

// gitPassed are the variables that git needs of the environment: where programs are, the way
// out of the network, and whom to believe there.
var gitPassed = []string{
	"PATH", "SSH_AUTH_SOCK",
	"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO",
}

var (
	commitID = lazy.Regexp(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	// A colon would make it write somewhere, and a plus in front too.
	branch = lazy.Regexp(`^refs/heads/[^:\s\x00-\x1f]+$`)
)

var sshSchemes = []string{"ssh", "git+ssh", "ssh+git"}

// machineConfig stands in the place of the machine's configuration, so a file that is named can say otherwise. Ssh
// goes by the home in the list of users, not by HOME.
const machineConfig = "[core]\n\tsshCommand = ssh -F none\n"

// check returns why nothing can be fetched.
func (v Version) check(file string) error {
	scheme, after, _ := strings.Cut(v.Repository, "://")
	userinfo, _, hasUser := strings.Cut(after[:strings.IndexAny(after+"/", "/?#")], "@")
	switch {
	case v.Repository == "" || strings.HasPrefix(v.Repository, "-"):
		return fault.New(fault.Usage, "%q is not the address of a repository", v.Repository)
	// A token may stand where a user's name does: only ssh needs a name there.
	case hasUser && (strings.Contains(userinfo, ":") || !slices.Contains(sshSchemes, strings.ToLower(scheme))):
		return fault.New(fault.Usage, "the address of the repository has a login in it, which every process "+
			"could read: give the login by itself, in "+EnvGitLogin)
	case !commitID().MatchString(v.Commit) && !branch().MatchString(v.Commit):
		return fault.New(fault.Usage, "%q is neither the id of a commit nor refs/heads/BRANCH", v.Commit)
	case path.IsAbs(file) || path.Clean(file) != file || file == "." || file == ".." || strings.HasPrefix(file, "../"):
		return fault.New(fault.Usage, "%q is not a path inside a repository", file)
	case strings.ContainsAny(v.Login, "\r\n\x00"):
		return fault.New(fault.Usage, "the login for the repository has more than one line")
	}
	return nil
}

// Fetch returns a file as the version has it, and the id of its commit. It fetches into a new
// repository of its own, where git checks every object by its hash: a checkout that is on this
// machine may hold other objects under the same names, and its configuration, as well as that of
// the user, may run programs. So ssh reads none, either; its keys and the hosts that it knows are the user's.
// Git gets none of the job's variables.
func (a *App) Fetch(ctx context.Context, v Version, file string) (text []byte, commit string, err error) {
	if err := v.check(file); err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", "taskiam-repository-")
	if err != nil {
		return nil, "", fmt.Errorf("making a folder for a repository: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.WriteFile(filepath.Join(dir, "machine"), []byte(machineConfig), 0o600); err != nil {
		return nil, "", fmt.Errorf("configuring git: %w", err)
	}
	g := git{dir: dir, environ: a.gitEnviron(dir, v.Config), grace: gitGrace}
	if _, err := g.run(ctx, "init", "--quiet", "--bare", "--template=", g.repository()); err != nil {
		return nil, "", fmt.Errorf("making a repository: %w", err)
	}
	if err := appendTo(filepath.Join(g.repository(), "config"), v.settings()); err != nil {
		return nil, "", fmt.Errorf("configuring a repository: %w", err)
	}
	from := fmt.Sprintf("%s of %s", v.Commit, v.Repository)
	over := a.working("fetch " + from)
	defer func() { over(err) }()
	_, err = g.run(ctx, "--git-dir="+g.repository(), "fetch", "--quiet", "--no-tags", "--no-recurse-submodules",
		"--depth=1", "--", v.Repository, v.Commit)
	if err != nil {
		return nil, "", fault.WithHint(fmt.Errorf("fetching %s: %w", from, err),
			"git uses no configuration of yours here; name a file that it may use: --git-config FILE")
	}
	out, err := g.run(ctx, "--git-dir="+g.repository(), "rev-parse", "--verify", "FETCH_HEAD^{commit}")
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", from, err)
	}
	commit = strings.TrimSpace(string(out))
	if commitID().MatchString(v.Commit) && commit != v.Commit {
		return nil, "", fault.New(fault.Conflict, "%s is commit %s", from, commit)
	}
	text, err = g.run(ctx, "--git-dir="+g.repository(), "cat-file", "blob", commit+":"+file)
	if err != nil {
		return nil, "", fault.New(fault.NotFound, "there is no %s in commit %s of %s: %w", file, commit, v.Repository,
			err)
	}
	if len(text) > manifest.MaxSize {
		return nil, "", fault.New(fault.Usage, "%s in commit %s of %s has more than %d bytes, the most "+
			"that a manifest may have", file, commit, v.Repository, manifest.MaxSize)
	}
	return text, commit, nil
}

// working tells of a step that may take long, and returns what is to be called when it is over.
func (a *App) working(step string) (over func(error)) {
	if a.Progress == nil {
		return func(error) {}
	}
	a.Progress.Step(lifecycle.Event{Time: a.Now(), Step: step, State: lifecycle.Started})
	return func(err error) {
		a.Progress.Step(lifecycle.Event{Time: a.Now(), Step: step, State: lifecycle.Ended(err), Err: err})
	}
}

// gitEnviron returns the environment of git, which has no secret in it and leads to no
// configuration but the given one.
func (a *App) gitEnviron(home, config string) []string {
	if config == "" {
		config = os.DevNull
	} else if abs, err := filepath.Abs(config); err == nil { // git runs in a folder of its own
		config = abs
	}
	environ := []string{
		"HOME=" + home, "XDG_CONFIG_HOME=" + home, "TMPDIR=" + home, "LC_ALL=C",
		"GIT_CONFIG_SYSTEM=" + filepath.Join(home, "machine"), "GIT_CONFIG_GLOBAL=" + config, "GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=https:ssh:file",
	}
	for _, name := range gitPassed {
		if value := a.Getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}

// settings are those of the repository. The login is here because a command line is
// everybody's; it is not sent where an answer redirects to.
func (v Version) settings() string {
	text := "[fetch]\n\tfsckObjects = true\n[gc]\n\tauto = 0\n[http]\n\tfollowRedirects = false\n"
	if v.Login != "" {
		text += "\textraHeader = Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(v.Login)) + "\n"
	}
	return text
}

// gitGrace is how long what git has started may go on after git has ended.
const gitGrace = 5 * time.Second

// git runs git in a folder of its own.
type git struct {
	dir     string
	environ []string
	grace   time.Duration
}

func (g git) repository() string { return filepath.Join(g.dir, "git") }

func (g git) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = g.dir, slices.Clone(g.environ)
	cmd.WaitDelay = g.grace // a process that git started may hold its pipes
	// What it prints is chosen by whoever serves the repository, and may be a file of any size.
	out, said := bounded{size: manifest.MaxSize + 1}, bounded{size: maxSaid}
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("git: %w: %s", err, strings.Join(strings.Fields(string(said.kept)), " "))
	}
	return out.kept, err
}

// maxSaid is how much of what git says about an error is kept.
const maxSaid = 32 << 10

// bounded keeps what is written first, up to a size.
type bounded struct {
	kept []byte
	size int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), b.size-len(b.kept))]...)
	return len(p), nil
}
