package certify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
)

// task is the manifest of the run.
const task = `version = 1

[task]
name    = "certify"
project = %q
ttl     = "30m"
reason  = "taskiam emulator certify"

[[grant]]
role     = "roles/storage.objectViewer"
resource = "gs://%s/"

[[grant]]
role     = "roles/secretmanager.secretAccessor"
resource = "projects/%s/secrets/%s"

[credentials]
deliver = "key"
`

// downWait is how long down waits for other processes at work on the run.
const downWait = 30 * time.Second

// run brings a run up and takes it down.
func (w *site) run(ctx context.Context) []Step {
	const planned, up, down = "plan", "up", "down"
	plan, engine, hash, err := w.plan(ctx)
	if err != nil {
		return []Step{{What: planned, Saw: err.Error()}}
	}
	steps := []Step{{planned, true, fmt.Sprintf("%d grants", len(plan.Task.Grants))}}
	dir, err := w.cfg.App.DeliveryDir(string(plan.Run))
	if err != nil {
		return append(steps, Step{What: up, Saw: err.Error()})
	}
	began := w.cfg.App.Now()
	result, upErr := engine.Up(ctx, plan, lifecycle.UpOptions{
		ManifestPath: "/certify.toml", ManifestSHA256: hash, Dir: dir, ReadyTimeout: settle,
	})
	if upErr != nil {
		steps = append(steps, Step{What: up, Saw: upErr.Error()})
	} else {
		proved := 0
		for _, g := range result.Grants {
			if g.State == journal.Proved {
				proved++
			}
		}
		steps = append(steps, Step{up, proved > 0, fmt.Sprintf("%d of %d grants proved usable, after %s", proved,
			len(result.Grants), w.cfg.App.Now().Sub(began).Round(time.Second))})
	}
	// Also an up that failed, or was interrupted, has begun something.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	torn, err := engine.Down(ctx, plan.Run, downWait)
	switch {
	case err != nil && torn == nil && upErr != nil:
		return steps // there is nothing that could be taken down
	case err != nil:
		return append(steps, Step{What: down, Saw: err.Error() + "; taskiam down " + string(plan.Run)})
	}
	return append(steps, Step{down, true, fmt.Sprintf("%d steps, checked: nothing is left", len(torn.Run.Steps))})
}

// plan makes what the run needs, and plans it.
func (w *site) plan(ctx context.Context) (plan grants.Plan, engine *lifecycle.Engine, hash string, err error) {
	bucket, err := w.bucket(ctx)
	if err != nil {
		return plan, nil, "", err
	}
	name, err := w.secret(ctx)
	if err != nil {
		return plan, nil, "", err
	}
	text := fmt.Appendf(nil, task, w.cfg.Project, bucket, w.cfg.Project, name)
	parsed, err := manifest.Parse("certify.toml", text, manifest.Limits{})
	if err != nil {
		return plan, nil, "", err
	}
	if engine, err = w.cfg.App.Engine(ctx, w.cfg.Options); err != nil {
		return plan, nil, "", err
	}
	sum := sha256.Sum256(text)
	plan, err = engine.NewPlan(parsed)
	return plan, engine, hex.EncodeToString(sum[:]), err
}
