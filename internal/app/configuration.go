package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/shell"
)

// ConfigurationFile returns where the operator's configuration is looked for; "" if there is no folder for it.
func (a *App) ConfigurationFile() string {
	// Relative paths must be ignored (XDG Base Directory Specification).
	if dir := a.Getenv(EnvConfigHome); filepath.IsAbs(dir) {
		return filepath.Join(dir, "taskiam", "config.toml")
	}
	if home := a.Getenv(envHome); filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "taskiam", "config.toml")
	}
	return ""
}

// Configuration returns what the operator's configuration sets; nothing if there is none. One that somebody else could
// have written is refused.
func (a *App) Configuration(limits manifest.Limits) (s manifest.Settings, found bool, err error) {
	file := a.ConfigurationFile()
	if file == "" {
		return s, false, nil
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err == nil {
		err = believable(file, info)
	}
	var b []byte
	if err == nil {
		b, err = readFile(file)
	}
	if err != nil {
		return s, false, fault.New(fault.Usage, "reading the configuration: %w", err)
	}
	s, err = manifest.ParseSettings(file, b, limits)
	return s, err == nil, err
}

// believable refuses a file that another user has written, or could write.
func believable(file string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", file)
	case ok && st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d", file, st.Uid)
	case info.Mode().Perm()&0o002 != 0:
		return fault.WithHint(fmt.Errorf("every user can write to %s", file), "chmod o-w "+shell.Quote(file))
	}
	return nil
}

// examineConfiguration says, for doctor, which configuration is read, and what it sets.
func (a *App) examineConfiguration() []lifecycle.Examined {
	const what = "configuration"
	s, found, err := a.Configuration(manifest.Limits{})
	if err != nil {
		return []lifecycle.Examined{lifecycle.Trouble(lifecycle.ThisMachine, what, err)}
	}
	if !found {
		return nil
	}
	var sets []string
	if s.Project != "" {
		sets = append(sets, manifest.ProjectSetting+" "+s.Project)
	}
	if s.TTL != 0 {
		sets = append(sets, manifest.TTLSetting+" "+s.TTL.String())
	}
	if len(s.Deliver) > 0 {
		kinds := make([]string, len(s.Deliver))
		for i, d := range s.Deliver {
			kinds[i] = string(d)
		}
		sets = append(sets, manifest.DeliverSetting+" "+strings.Join(kinds, " or "))
	}
	if s.Colour != "" {
		sets = append(sets, manifest.ColourSetting+" "+s.Colour)
	}
	says := a.ConfigurationFile() + " sets nothing"
	if len(sets) > 0 {
		says = a.ConfigurationFile() + " sets " + strings.Join(sets, ", ") + ", where nothing else does"
	}
	return []lifecycle.Examined{{About: lifecycle.ThisMachine, What: what, Health: lifecycle.Healthy, Says: says}}
}
