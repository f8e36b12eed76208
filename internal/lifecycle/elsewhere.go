package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/search"
)

// NotSearched begins the check of a receipt that says why nothing was searched.
const NotSearched = "not searched for bindings that others made: "

// searchWithin bounds the search for what a journal does not know: a teardown does not depend on it.
const searchWithin = 10 * time.Second

// searchElsewhere begins to search everything above a project at once, so that it takes two round
// trips beside the teardown's own, and returns what waits for the answer of the topmost that may
// be searched.
func (e *Engine) searchElsewhere(ctx context.Context, project, email string) func() search.Answer {
	ctx, stop := context.WithTimeoutCause(ctx, searchWithin, fmt.Errorf("no answer within %s", searchWithin))
	answer := make(chan search.Answer, 1)
	go func() {
		defer stop()
		own, err := projectName(project)
		if err != nil {
			answer <- search.Answer{Why: err}
			return
		}
		answer <- search.Above(ctx, e.Cloud, own, email)
	}()
	return sync.OnceValue(func() search.Answer { return <-answer })
}

// addFound adds to the resources of a teardown those which the search has found and the journal
// does not know. What is of no type that taskiam can edit is named, and left.
func (d *downRun) addFound() {
	if d.search == nil {
		return
	}
	found := d.search()
	if found.Scope.IsZero() {
		why := strings.Join(strings.Fields(found.Why.Error()), " ")
		d.checks = append(d.checks, journal.Check{OK: true, What: NotSearched + why})
		return
	}
	d.looked = append(d.looked, "everything in "+found.Scope.String())
	d.checks = append(d.checks, journal.Check{OK: true, What: "search the policies of " + found.Scope.String()})
	for _, m := range found.Matches {
		bindings := slices.DeleteFunc(slices.Clone(m.Bindings),
			func(b policy.Binding) bool { return !d.isMember(b.Member) })
		if len(bindings) == 0 && len(m.Bindings) > 0 {
			continue
		}
		name, err := resource.ParseFull(m.Resource)
		switch {
		case err != nil || !name.Type().Bindable():
			d.leaveUnknown(m.Resource, bindings)
		case !slices.Contains(d.names, name):
			d.names = append(d.names, name)
			d.found[name] = bindings
		}
	}
}

// isMember reports whether a member is the run's account, or what is left of it.
func (d *downRun) isMember(member string) bool {
	dead, is := grants.ParseTombstone(member)
	if is {
		return dead.Email == d.target.email && (d.account.UniqueID == "" || dead.UniqueID == d.account.UniqueID)
	}
	return member == policy.Member(d.target.email) && !d.target.tombstone
}

// leaveUnknown records a resource that is said to bind the account and that taskiam cannot read.
func (d *downRun) leaveUnknown(full string, bindings []policy.Binding) {
	d.clean = false
	d.remains("perhaps bindings of %s on %s (%s, by the search), which taskiam has no way to edit", d.target.email,
		full, rolesIn(bindings))
	d.hints = append(d.hints, fmt.Sprintf("take %s out of the policy of %s by its service's own command or in the "+
		"console, wait some minutes until the search knows, and repeat the command", d.target.email, full))
}

// foundNames returns the resources that the search alone has found.
func (d *downRun) foundNames() []resource.Name {
	return slices.DeleteFunc(slices.Clone(d.names), func(n resource.Name) bool {
		_, is := d.found[n]
		return !is
	})
}

// announce records, before it is written, what an edit takes out of a policy that the journal did
// not know: if the write is cut off, the next teardown looks there whatever the search says then.
func (d *downRun) announce(name resource.Name, took []policy.Binding) {
	if _, is := d.found[name]; !is || len(took) == 0 {
		return
	}
	for _, b := range took {
		d.record(journal.BindingFound{Resource: name.Full(), Binding: journal.BindingOf(b)})
	}
	d.report(fmt.Sprintf("%s is bound on %s too (%s), which the run did not do: that is removed as well",
		d.target.email, name, rolesIn(took)), "", Warned, nil)
}

// adviseOn adds the commands by which somebody else can take away what the operator may not.
func (d *downRun) adviseOn(name resource.Name) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.found[name] {
		d.hints = append(d.hints, "whoever may set that policy: "+gcloud.Unbind(name, b))
	}
}

// rolesIn names the roles of bindings.
func rolesIn(bindings []policy.Binding) string {
	var out []string
	for _, b := range bindings {
		out = append(out, b.Role)
	}
	if len(out) == 0 {
		return "role unknown"
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}
