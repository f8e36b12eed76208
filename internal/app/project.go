package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/resource"
)

// Variables by which Google's clients know a project, the first that is set before the others.
var projectVariables = []string{"CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"}

// UsualProject returns the project that the operator works in, and where that is said; "" if nothing says it. It is
// what Google's own clients would take. Of the emulator only a project will do that is there, and in which the
// operator can make accounts.
func (a *App) UsualProject(ctx context.Context) (project, from string) {
	elsewhere := a.Getenv(EnvEmulatorHost) == ""
	project, from = a.googleProject()
	if elsewhere && project != "" {
		return project, from
	}
	projects := a.emulatorProjects(ctx)
	if project != "" && slices.Contains(projects, project) {
		return project, from
	}
	if elsewhere && len(projects) > 0 {
		return projects[0], "the emulator that runs here"
	}
	if len(projects) > 0 {
		return projects[0], "the emulator"
	}
	return "", ""
}

// googleProject returns the project of the environment, or of gcloud's active configuration.
func (a *App) googleProject() (project, from string) {
	for _, name := range projectVariables {
		if p := a.Getenv(name); resource.CheckProject(p) == nil {
			return p, "$" + name
		}
	}
	dir := a.Getenv("CLOUDSDK_CONFIG")
	if home := a.Getenv(envHome); dir == "" && filepath.IsAbs(home) {
		dir = filepath.Join(home, ".config", "gcloud")
	}
	if !filepath.IsAbs(dir) {
		return "", ""
	}
	active := a.Getenv("CLOUDSDK_ACTIVE_CONFIG_NAME")
	if active == "" {
		b, _ := os.ReadFile(filepath.Join(dir, "active_config"))
		active = strings.TrimSpace(string(b))
	}
	if active == "" {
		active = "default"
	}
	if !configurationName().MatchString(active) {
		return "", ""
	}
	// Without the file, gcloud has no project either.
	b, _ := os.ReadFile(filepath.Join(dir, "configurations", "config_"+active))
	if project = coreProject(b); resource.CheckProject(project) != nil {
		return "", ""
	}
	return project, "gcloud's configuration " + active
}

// configurationName is what gcloud takes as the name of a configuration.
var configurationName = lazy.Regexp(`^[a-z][-a-z0-9]*$`)

// coreProject returns the property core/project of a configuration of gcloud's.
func coreProject(configuration []byte) string {
	section := ""
	for lines := bufio.NewScanner(bytes.NewReader(configuration)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, value, ok := strings.Cut(line, "=")
		if ok && section == "[core]" && strings.TrimSpace(name) == "project" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// emulatorProjects returns the projects of the emulator in which the operator can make accounts; none if no
// emulator answers.
func (a *App) emulatorProjects(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, emulatorWithin)
	defer cancel()
	raw, err := a.AskEmulator(ctx, 0, "GET", "snapshot", nil)
	if err != nil {
		return nil
	}
	var company struct {
		Projects map[string]json.RawMessage `json:"projects"`
	}
	if json.Unmarshal(raw, &company) != nil {
		return nil
	}
	projects := slices.Sorted(maps.Keys(company.Projects))
	if a.Getenv(EnvEmulatorHost) == "" {
		return projects // calls would go to Google
	}
	client, err := a.Client(ctx, Options{})
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(projects, func(project string) bool {
		name, _, err := resource.Parse("projects/" + project)
		if err != nil {
			return true
		}
		have, err := client.TestPermissions(ctx, name, []string{"iam.serviceAccounts.create"})
		return err != nil || len(have) == 0
	})
}

// emulatorWithin is how long an emulator on this machine may take to answer.
const emulatorWithin = 3 * time.Second
