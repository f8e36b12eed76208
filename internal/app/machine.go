package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/supervise"
)

// ExamineMachine checks, for doctor, the configuration, where deliveries go and whether commands can be isolated.
func (a *App) ExamineMachine() []lifecycle.Examined {
	return append(append(a.examineConfiguration(), a.examineDelivery(), a.examineSandbox()), a.examineSettings()...)
}

// examineSettings finds the variables of the environment that a command would inherit and that break clients of
// Google's in it.
func (a *App) examineSettings() (out []lifecycle.Examined) {
	for _, why := range credentials.Breaks((credentials.Passed{}).Of(a.Environ(), true)) {
		name, _, _ := strings.Cut(why, " ")
		if strings.HasPrefix(name, "CLOUDSDK_PROXY_") {
			name = "CLOUDSDK_PROXY_TYPE CLOUDSDK_PROXY_ADDRESS CLOUDSDK_PROXY_PORT" // all three or none
		}
		out = append(out, lifecycle.Examined{
			About: lifecycle.ThisMachine, What: "environment", Health: lifecycle.Doubtful, Says: why,
			Fix: []string{"unset " + name},
		})
	}
	return out
}

// examineDelivery checks the default place of deliveries.
func (a *App) examineDelivery() lifecycle.Examined {
	f := lifecycle.Examined{About: lifecycle.ThisMachine, What: "deliveries", Health: lifecycle.Healthy}
	dir, err := a.DeliveryDir("RUN")
	if err != nil {
		return lifecycle.Trouble(f.About, f.What, err)
	}
	f.Says = "in " + filepath.Dir(dir)
	if runtime := a.Getenv(EnvRuntimeDir); runtime == "" || !strings.HasPrefix(dir, runtime) {
		f.Says += ", on the disk: there is no $" + EnvRuntimeDir
	}
	for at := filepath.Dir(dir); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); errors.Is(err, os.ErrNotExist) && at != filepath.Dir(at) {
			continue
		}
		if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
			f.Health, f.Says = lifecycle.Broken, "cannot be made in "+filepath.Dir(dir)+": "+at+": "+err.Error()
			f.Fix = []string{"export " + EnvRuntimeDir + "=/path/to/a/folder/of/yours", "or taskiam up --out DIR"}
		}
		return f
	}
}

// examineSandbox makes a sandbox as `run --isolate` does.
func (a *App) examineSandbox() lifecycle.Examined {
	const what = "bubblewrap"
	probe := supervise.SandboxConfig{Isolated: true, Command: []string{"true"}}
	silent := *a // what it would warn of is a finding of its own
	silent.Warn = func(string, ...any) {}
	if _, err := silent.Sandbox(probe, Shown{}); err != nil {
		f := lifecycle.Trouble(lifecycle.ThisMachine, what, err)
		f.Health, f.Lacks = lifecycle.Doubtful, false // nothing else needs it
		f.Says = "run --isolate would refuse: " + f.Says
		return f
	}
	return lifecycle.Examined{
		About: lifecycle.ThisMachine, What: what, Health: lifecycle.Healthy, Says: "run --isolate works here",
	}
}
