package cli

import (
	"slices"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// fits refuses a task that is not for such a network.
func (v isolateValue) fits(task grants.Task) error {
	switch may, must := delivery.Proxied(task); {
	case v != isolateClosed && task.Network != nil:
		return fault.WithHint(
			fault.New(fault.Usage, "the manifest says what may be reached ([network]), and a closed network "+
				"alone keeps a task to that"),
			"taskiam run --isolate=closed ...")
	case v == isolateClosed && !must:
		return fault.WithHint(
			fault.New(fault.Usage, "the manifest puts a credential into the sandbox, and nothing leaves a closed "+
				"network with one"),
			"remove deliver from [credentials], or take --isolate or --isolate=nonet")
	case v != isolateClosed && may:
		return fault.WithHint(
			fault.New(fault.Usage, "the manifest keeps the credential outside of the sandbox, which takes a closed "+
				"network"),
			"taskiam run --isolate=closed ...")
	}
	return nil
}

// wayOut chooses how a run is delivered, where its manifest does not say, and returns the proxy of
// a closed network; nil is another.
func (e *Env) wayOut(
	v isolateValue, engine *lifecycle.Engine, task *grants.Task,
) (*supervise.WayOut, error) {
	if len(task.Deliver) == 0 {
		task.Deliver = slices.Clone(delivery.DefaultOfRun)
		if v == isolateClosed {
			task.Deliver = slices.Clone(delivery.DefaultOfClosed)
		}
	}
	if err := v.fits(*task); err != nil {
		return nil, err
	}
	if v != isolateClosed {
		return nil, nil
	}
	return e.app().WayOut(engine, *task)
}

// sayWaysOut says what can leave the command's network, where its manifest opens more than Google's APIs.
func (c *commandRun) sayWaysOut() {
	if c.task.Network == nil {
		return
	}
	var r view.Report
	view.ShowWaysOut(&r, view.NewWaysOut(*c.task.Network))
	r.Say(c.Stderr)
}
