package app

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/taskiam/taskiam/internal/audit"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/paths"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/supervise"
)

// Shown is what the operator lets a command have beside its access.
type Shown struct {
	// Environ are variables.
	Environ credentials.Passed
	// Logins are files and folders that may be in a sandbox although there is a login in them.
	Logins []string
}

// areSeen refuses logins that are meant to be shown and are in nothing that the sandbox shows: the
// flag shows nothing by itself.
func (s Shown) areSeen(c supervise.SandboxConfig) error {
	for _, login := range s.Logins {
		real := paths.Real(login)
		seen := func(path string) bool {
			path = paths.Real(path)
			return paths.Within(path, real) || paths.Within(real, path)
		}
		if !slices.ContainsFunc(slices.Concat([]string{"."}, c.ReadOnly, c.Writable), seen) {
			at := shell.Quote(login)
			return fault.WithHint(
				fault.New(fault.Usage, "--show-login %s: the command does not see that, because it is neither in the "+
					"work tree nor in what --ro and --rw name", login),
				"--ro "+at+" --show-login "+at)
		}
	}
	return nil
}

// Sandbox returns the sandbox for a command, and fails if the command could not be run in it.
// The operator's home, what is passed of the operator's environment, and what the command must
// not reach, are filled in here. Fixed has the manifest of the run, if there is one.
func (a *App) Sandbox(c supervise.SandboxConfig, shown Shown) (*supervise.Sandbox, error) {
	c.Home, c.Environ = a.Getenv(envHome), shown.Environ.Of(a.Environ(), !c.Isolated && c.UID == 0)
	for _, why := range credentials.Breaks(c.Environ) {
		a.Warn("warning: %s", why)
	}
	if c.Isolated {
		l, err := a.limits(c.Fixed)
		if err != nil {
			return nil, err
		}
		if err := shown.areSeen(c); err != nil {
			return nil, err
		}
		c.Fixed, c.Limits = l.fixed, l.Limits
		c.Limits.Look = a.lookForLogins(shown.Logins, c.UID)
	}
	return supervise.NewSandbox(c)
}

// lookForLogins returns a function that refuses a path with well-known logins in it, except for
// those that are meant. uid is the user of the command; 0 is this one.
func (a *App) lookForLogins(meant []string, uid int) func(path string) error {
	search := audit.Search{Getenv: a.Getenv, Homes: []string{a.Getenv(envHome)}}
	for _, id := range []int{os.Getuid(), uid} {
		if u, err := user.LookupId(strconv.Itoa(id)); err == nil && filepath.IsAbs(u.HomeDir) {
			search.Homes = append(search.Homes, u.HomeDir)
		}
	}
	search.Homes = slices.DeleteFunc(search.Homes, func(dir string) bool { return !filepath.IsAbs(dir) })
	for _, path := range meant {
		search.Meant = append(search.Meant, paths.Real(path))
	}
	return func(path string) error {
		logins, whole := search.In(path)
		if !whole {
			a.Warn("warning: only the first %d files of %s were searched for logins", audit.MaxEntries, path)
		}
		if len(logins) == 0 {
			return nil
		}
		first, more := logins[0], ""
		if len(logins) > 1 {
			more = fmt.Sprintf(", and %d more", len(logins)-1)
		}
		err := fault.New(fault.Usage, "the command could then read what looks like %s: %s%s",
			first.What, first.Path, more)
		return fault.WithHint(err,
			"give the command a folder without it; or, if it is meant to have it: --show-login "+
				shell.Quote(first.Path))
	}
}

// limits are collected for one sandbox.
type limits struct {
	isolate.Limits
	fixed []string
}

// close adds a place that no sandbox may see. What leads to it is relied on.
func (l *limits) close(path, what string) {
	l.Closed = append(l.Closed, isolate.Place{Path: paths.Real(path), What: what})
	l.rely(path, what, "")
}

// rely adds a place that no sandbox may write to, and the links that lead to it. hint says what
// to do if one could; "" says nothing.
func (l *limits) rely(path, what, hint string) {
	for _, at := range paths.Trail(path) {
		l.Relied = append(l.Relied, isolate.Place{Path: at, What: what, Hint: hint})
	}
}

// fix adds a manifest that must stay as it is. Links that lead to it are relied on: they cannot
// be kept as they are. One with a second name is refused: it could be changed by that.
func (l *limits) fix(manifest string) error {
	trail := paths.Trail(manifest)
	end := trail[len(trail)-1]
	info, err := os.Lstat(end)
	if err != nil || !info.Mode().IsRegular() {
		return nil // there is nothing to change
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		file := shell.Quote(end)
		return fault.WithHint(fault.New(fault.Usage,
			"the manifest %s has %d names (hard links): a command could change it by another", end, stat.Nlink),
			"give it one name: cp "+file+" "+file+".new && mv "+file+".new "+file)
	}
	for _, link := range trail[:len(trail)-1] {
		l.Relied = append(l.Relied, isolate.Place{Path: link, What: "a link to the manifest " + manifest})
	}
	if !slices.Contains(l.fixed, end) {
		l.fixed = append(l.fixed, end)
	}
	return nil
}

// limits returns what no sandbox may reach. Closed are the logins that taskiam knows of, its own
// files and the deliveries of all runs. Relied is the one list of what taskiam runs and believes;
// what is added to taskiam belongs there, too. Fixed are the given manifests, others beside them,
// and those of all runs.
func (a *App) limits(manifests []string) (*limits, error) {
	l := &limits{}
	state, err := a.StateDir()
	if err != nil {
		return nil, err
	}
	l.close(state, "taskiam's journals and the emulator's logins")
	if dir := a.Getenv(EnvRuntimeDir); filepath.IsAbs(dir) {
		l.close(dir, "sockets and deliveries of yours")
	}
	for _, v := range []struct{ name, what string }{
		{EnvEmulatorToken, "the operator's token on the emulator"},
		{EnvCredentials, "a credential of yours"},
	} {
		if path := a.Getenv(v.name); path != "" {
			l.close(path, v.what)
		}
	}
	if file := a.ConfigurationFile(); file != "" {
		l.rely(file, "your configuration of taskiam", "")
	}
	if dir := a.cacheDir(); dir != "" {
		l.rely(dir, "what taskiam keeps of roles", "")
	}
	if home := a.Getenv(envHome); filepath.IsAbs(home) {
		l.rely(filepath.Join(home, ".config", "gcloud"), "the login that taskiam uses", "")
	}
	for _, name := range []string{"CLOUDSDK_CONFIG", EnvEmulatorCA, "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		for _, path := range filepath.SplitList(a.Getenv(name)) {
			l.rely(path, "$"+name+", which taskiam reads", "")
		}
	}
	for _, name := range linkerVariables {
		for _, path := range strings.FieldsFunc(a.Getenv(name), func(r rune) bool { return r == ':' || r == ' ' }) {
			l.rely(path, "$"+name+", by which taskiam and what it runs load code",
				name+`= taskiam run --isolate --env `+name+`="$`+name+`" ...   # CMD keeps yours`)
		}
	}
	for _, dir := range systemFolders {
		l.rely(dir, "settings and libraries of this machine", "")
	}
	if err := a.relyOnPrograms(l); err != nil {
		return nil, err
	}
	a.relyOnLogin(l)

	journals, err := a.Journals()
	if err != nil {
		return nil, err
	}
	if err := l.runs(journals); err != nil {
		return nil, err
	}
	for _, path := range manifests {
		for _, at := range append(manifestsBeside(path), path) {
			if err := l.fix(at); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// runs adds the deliveries and the manifests of all runs. The first record of a journal says
// where they are, so a damaged journal is no way to them.
func (l *limits) runs(journals journal.Store) error {
	deliveries, manifests := map[string]grants.RunID{}, map[string]bool{}
	_, unread, err := journals.Select(func(s journal.Summary) bool {
		deliveries[s.DeliveryDir], manifests[s.ManifestPath] = s.Run, true
		return false
	})
	if err != nil {
		return err
	}
	for _, u := range unread {
		o, err := journals.Opening(u.Run)
		if err != nil {
			return fault.WithHint(fmt.Errorf("finding what a sandbox must not show: %w", err),
				"take the run down without its journal, and move the journal away: taskiam down --account EMAIL")
		}
		deliveries[o.DeliveryDir], manifests[o.ManifestPath] = o.Run, true
	}
	for _, dir := range slices.Sorted(maps.Keys(deliveries)) {
		if _, err := os.Lstat(dir); err == nil {
			l.close(dir, "the delivery of run "+string(deliveries[dir]))
		}
	}
	delete(manifests, "") // it was standard input, or another machine's
	for _, path := range slices.Sorted(maps.Keys(manifests)) {
		if err := l.fix(path); err != nil {
			return err
		}
	}
	return nil
}

// systemFolders are what every program relies on. Only root could open them to a command.
var systemFolders = []string{
	"/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin",
	"/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib", "/usr/sbin",
}

// linkerVariables name libraries that every program loads, this one too.
var linkerVariables = []string{"LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "GCONV_PATH"}

// programs are what taskiam runs by name, and what an operator runs by what it prints.
var programs = []string{"bwrap", "taskiam", "gcloud", "bq", "git", buildkiteAgent}

// buildkiteAgent is run in jobs of Buildkite alone. Where it is not installed, nobody installs it.
const buildkiteAgent = "buildkite-agent"

// relyOnPrograms adds this program and every place at which one of the others is looked for. One
// that is not installed would be installed by whoever puts a program there.
func (a *App) relyOnPrograms(l *limits) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	const elsewhere = "have taskiam in a folder that no command can write to: sudo install taskiam /usr/local/bin"
	l.rely(self, "taskiam itself", elsewhere)
	if called := os.Args[0]; strings.Contains(called, "/") {
		l.rely(called, "taskiam itself", elsewhere)
	}
	for _, name := range programs {
		places, found := lookedFor(name, a.Getenv("PATH"))
		if !found && name == buildkiteAgent && a.Getenv("BUILDKITE") == "" {
			continue
		}
		for _, at := range places {
			l.rely(at, "by your PATH, you or taskiam would run that as "+name,
				"PATH=/usr/local/bin:/usr/bin:/bin "+shell.Quote(self)+
					` run --isolate --env PATH="$PATH" ...   # CMD keeps yours`)
		}
	}
	return nil
}

// lookedFor returns every path at which a program is looked for, up to the one at which it is; all
// of them if it is at none.
func lookedFor(name, path string) (places []string, found bool) {
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		at := dir + "/" + name
		places = append(places, at)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return places, true
		}
	}
	return places, false
}

// taskTable begins the first table of most manifests, also of those that are not TOML at the moment.
var taskTable = lazy.Regexp(`(?m)^\s*\[\s*task\s*\]`)

// manifestsBeside returns the manifests in the folder of one.
func manifestsBeside(path string) []string {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		if filepath.Ext(at) != ".toml" || e.Type()&^fs.ModeSymlink != 0 {
			continue
		}
		if isManifest(at) {
			out = append(out, at)
		}
	}
	return out
}

// isManifest reports whether a file looks like a manifest. A command may have left anything
// under its name: what is no regular file is not waited for, and of a large one the beginning is read.
func isManifest(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return err == nil && (taskTable().Match(b) || manifest.HasTask(b))
}
