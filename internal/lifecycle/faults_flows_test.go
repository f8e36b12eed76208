package lifecycle_test

import (
	"errors"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// flow is something that a user does, all of whose calls are to go wrong.
type flow struct {
	name string
	// short says that it is played with fewer grants: its calls are many.
	short bool
	// custom says that it is played with one grant, of permissions; deleted, that their
	// custom role was made before and deleted since.
	custom, deleted bool
	// prepare is what goes before it, and goes well; nil if nothing does. It returns the
	// run that there is then.
	prepare func(m *machine, source string) grants.RunID
	// run does it and returns what the user is told.
	run func(m *machine, source string, run grants.RunID) error
	// from returns how many of the calls of an undisturbed run are not the flow's own.
	from func(m *machine) int
	// skip has the calls that are the part of another flow.
	skip string
	// again does what a user does next, and returns what went wrong.
	again func(m *machine) []error
}

// source returns the manifest that the flow is played with.
func (f flow) source(kind string) string {
	source := byKey
	if f.short {
		source = byShort
	}
	if f.custom {
		source = byPermissions + "[credentials]\ndeliver = \"key\"\n"
	}
	return strings.Replace(source, `deliver = "key"`, `deliver = "`+kind+`"`, 1)
}

const byShort = `
version = 1
[task]
name    = "short"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role     = "roles/secretmanager.secretAccessor"
resource = "projects/acme-agents/secrets/api-key"
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
[credentials]
deliver = "key"
`

var errDelivery = errors.New("the folder cannot be written")

var flows = []flow{
	{
		name:  "up",
		run:   func(m *machine, source string, _ grants.RunID) error { return m.up(source) },
		again: (*machine).downAll,
	},
	{
		// The calls are those that are about the custom role: the others are up's.
		name: "up, role to make", custom: true,
		run:   func(m *machine, source string, _ grants.RunID) error { return m.up(source) },
		again: (*machine).downAll,
	},
	{
		name: "up, role deleted", custom: true, deleted: true,
		run:   func(m *machine, source string, _ grants.RunID) error { return m.up(source) },
		again: (*machine).downAll,
	},
	{
		// An up that fails after its last write: the calls are those of undoing it.
		name: "undo",
		run: func(m *machine, source string, _ grants.RunID) error {
			m.undeliverable = func() error {
				time.Sleep(time.Second) // in the bubble: all that goes on beside it ends first
				m.mu.Lock()
				defer m.mu.Unlock()
				m.undone = len(m.calls)
				return errDelivery
			}
			err := m.up(source)
			m.undeliverable = nil
			return err
		},
		from:  func(m *machine) int { return m.undone },
		again: (*machine).downAll,
	},
	{
		name: "down",
		prepare: func(m *machine, source string) grants.RunID {
			return m.upNow(source).Run
		},
		run:   func(m *machine, _ string, run grants.RunID) error { return m.down(run) },
		again: (*machine).downAll,
	},
	{
		// Up, the command, and down, in one process.
		name: "run", short: true,
		run:   func(m *machine, source string, _ grants.RunID) error { return m.runTask(source) },
		again: (*machine).downAll,
	},
	{
		// After a lost laptop, where everything can be searched: the index is behind.
		name: "sweep",
		prepare: func(m *machine, source string) grants.RunID {
			m.server.SetLag(emulator.Lag{Search: emulator.Delay{Min: indexLag}})
			return m.lose(m.upNow(source))
		},
		run:   func(m *machine, _ string, _ grants.RunID) error { return m.sweep() },
		again: (*machine).sweepAgain,
	},
	{
		// The same where nothing can be searched, and the user says where to look.
		name: "sweep --resource", short: true,
		prepare: func(m *machine, source string) grants.RunID {
			plan := m.upNow(source)
			m.unsearchable = true
			for _, edit := range plan.Edits {
				m.given = append(m.given, edit.Resource)
			}
			return m.lose(plan)
		},
		run:   func(m *machine, _ string, _ grants.RunID) error { return m.sweep() },
		skip:  ":searchAllIamPolicies",
		again: (*machine).sweepAgain,
	},
	{
		// The account was deleted by hand, and policies have its tombstones.
		name: "sweep tombstones", short: true,
		prepare: func(m *machine, source string) grants.RunID {
			plan := m.upNow(source)
			if err := m.engine().Cloud.DeleteAccount(m.t.Context(), hosting, plan.Email); err != nil {
				m.t.Fatal(err)
			}
			return m.lose(plan)
		},
		run:   func(m *machine, _ string, _ grants.RunID) error { return m.sweep() },
		again: (*machine).sweepAgain,
	},
}

// indexLag is how long the search is behind the policies: minutes are normal
// (asset-inventory/docs/asset-types).
const indexLag = 9 * time.Minute

// up brings up a run of the manifest.
func (m *machine) up(source string) error {
	e := m.engine()
	plan := m.plan(e, source)
	_, err := e.Up(m.t.Context(), plan, m.options(plan))
	return err
}

// upNow brings up a run, which has to work.
func (m *machine) upNow(source string) grants.Plan {
	m.t.Helper()
	e := m.engine()
	plan := m.plan(e, source)
	if _, err := e.Up(m.t.Context(), plan, m.options(plan)); err != nil {
		m.t.Fatal(err)
	}
	return plan
}

// runTask is what the command run does: up, the task's own command, and down whatever
// came of it.
func (m *machine) runTask(source string) error {
	e := m.engine()
	plan := m.plan(e, source)
	options := m.options(plan)
	options.Keep = nil // the process itself does that
	result, err := e.Up(m.t.Context(), plan, options)
	if result == nil {
		return err
	}
	time.Sleep(time.Minute)
	receipt, downErr := e.Down(m.t.Context(), plan.Run, 30*time.Second)
	return errors.Join(withLeft(downErr, receipt), err)
}

// down takes a run down.
func (m *machine) down(run grants.RunID) error {
	receipt, err := m.engine().Down(m.t.Context(), run, 0)
	return withLeft(err, receipt)
}

// downAll takes down every run that is not.
func (m *machine) downAll() (errs []error) {
	for _, run := range m.live() {
		if err := m.down(run.ID()); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// lose loses the machine with its disk and what was delivered on it. It is another one
// from now on, on which nothing is known, and the run of the plan has been over for long.
func (m *machine) lose(plan grants.Plan) grants.RunID {
	m.disk = m.newDisk()
	m.safe.deliveries = nil
	m.servers = nil
	m.lost = append(m.lost, plan)
	time.Sleep(longAfter)
	return plan.Run
}

func (m *machine) sweep() error {
	result, err := m.engine().Sweep(m.t.Context(), lifecycle.SweepOptions{
		Projects: []string{hosting}, OlderThan: grace, Resources: m.given,
	})
	if err == nil {
		return nil
	}
	said := &saidError{error: err}
	for _, p := range result.Projects {
		said.blind = p.Err != nil && strings.Contains(p.Err.Error(), p.Project)
		for _, r := range p.Runs {
			if r.Down != nil {
				said.left = append(said.left, r.Down.Run.Left()...)
			}
		}
	}
	return said
}

func (m *machine) sweepAgain() []error {
	if err := m.sweep(); err != nil {
		return []error{err}
	}
	return nil
}

// saidError is an error with what the command prints beside it.
type saidError struct {
	error
	left []string
	// blind means that something could not be looked at, and that this was said.
	blind bool
}

func (e *saidError) Unwrap() error { return e.error }

func (e *saidError) Error() string {
	text := e.error.Error()
	for _, what := range e.left {
		text += "\nleft: " + what
	}
	return text
}

// withLeft adds to an error what the receipt says is left.
func withLeft(err error, down *lifecycle.Teardown) error {
	if err == nil || down == nil {
		return err
	}
	return &saidError{error: err, left: down.Run.Left()}
}

func saysBlind(err error) bool {
	var said *saidError
	return errors.As(err, &said) && (said.blind || strings.Contains(said.Error(), "on resources that could not be searched"))
}

// knownRun is a run that may have left something.
type knownRun struct {
	id        grants.RunID
	email     string
	resources []string
}

// runs returns the runs that are not down, and those whose journals are lost.
func (m *machine) runs() (out []knownRun) {
	for _, run := range m.live() {
		known := knownRun{run.ID(), run.Opened.Email, nil}
		for _, edit := range run.Opened.Edits {
			known.resources = append(known.resources, edit.Resource)
		}
		out = append(out, known)
	}
	for _, plan := range m.lost {
		known := knownRun{plan.Run, plan.Email, nil}
		for _, edit := range plan.Edits {
			known.resources = append(known.resources, edit.Resource.Full())
		}
		out = append(out, known)
	}
	return out
}

// searchDisabled is what Google answers where an API is switched off.
const searchDisabled = `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"Cloud Asset API is disabled.","details":[
	{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED","domain":"googleapis.com"}]}}`
