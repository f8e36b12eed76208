package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
)

// Forget gives a run up whose cloud is gone for good. It takes away what the run has on this machine, notes what may be
// in the cloud (see [Leaves]), and asks no cloud: [Engine.Cloud] and [Engine.Roles] may be nil. If something stays
// on this machine, the run is not given up, and the error is a [fault.Incomplete].
func (e *Engine) Forget(ctx context.Context, run grants.RunID, wait time.Duration) (*Teardown, error) {
	j, err := e.openJournal(ctx, run, wait)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	if !j.Run().Live() {
		return &Teardown{Run: j.Run(), Already: true}, nil
	}
	d := e.newDownRun(targetOf(j.Run()), j)
	left := Leaves(j.Run())
	d.record(journal.DownBegan{})
	d.clearHere(ctx, d.target)
	if len(d.left) == 0 {
		d.record(journal.Forgotten{Left: left})
	}
	t := &Teardown{Run: d.run}
	switch {
	case len(d.left) > 0:
		return t, errors.Join(append([]error{fault.WithHint(
			fault.New(fault.Incomplete, "run %s is not forgotten: %d left on this machine", run, len(d.left)),
			"taskiam down --forget "+string(run))}, d.errs...)...)
	case d.unrecorded != nil:
		return t, fmt.Errorf("forgetting run %s: %w", run, d.unrecorded)
	}
	return t, nil
}

// Leaves says in words what a run may have in the cloud, by its journal.
func Leaves(run *journal.Run) []string {
	var out []string
	if a := run.Account; a.Effect.Standing() {
		what := "the account " + run.Opened.Email
		if a.UniqueID != "" {
			what += " (unique id " + a.UniqueID + ")"
		}
		if a.Disabled {
			what += ", disabled"
		}
		out = append(out, what)
	}
	for _, k := range run.Keys {
		switch {
		case !k.Effect.Standing():
		case k.ID == "":
			out = append(out, "perhaps a key of "+run.Opened.Email)
		default:
			out = append(out, fmt.Sprintf("key %s of %s, until %s", k.ID, run.Opened.Email,
				k.ValidBefore.UTC().Format(time.RFC3339)))
		}
	}
	for _, b := range run.Bindings {
		if !b.Effect.Standing() {
			continue
		}
		on := b.Resource
		if name, err := resource.ParseFull(b.Resource); err == nil {
			on = name.String()
		}
		what := b.Binding.Role + " on " + on
		if b.Effect == journal.Maybe {
			what = "perhaps " + what
		}
		if b.Binding.Condition.IsZero() {
			what += ", which does not expire"
		}
		out = append(out, what)
	}
	return out
}

// ByHand returns the commands that take away what a run may have in the cloud, without taskiam.
func ByHand(run *journal.Run) []string {
	var edits []grants.Edit
	for _, b := range run.Bindings {
		name, err := resource.ParseFull(b.Resource)
		if err != nil || !b.Effect.Standing() {
			continue
		}
		at := slices.IndexFunc(edits, func(e grants.Edit) bool { return e.Resource == name })
		if at < 0 {
			at, edits = len(edits), append(edits, grants.Edit{Resource: name})
		}
		edits[at].Bindings = append(edits[at].Bindings, b.Binding.Grants())
	}
	return gcloud.Remove(run.Opened.Email, run.Opened.Project, edits)
}
