// Package customrole looks after the custom roles by which lists of permissions are
// granted. IAM grants roles and not permissions, so that a list becomes a custom role of
// the resource's project. All runs that need the same permissions share one role; no
// teardown takes it away, and a sweep deletes it once nothing binds it.
//
// The package decides under which id a role is used, makes it or takes it back, watches
// that nobody changes it, and retires it. It never binds a role that holds anything but
// the permissions that were declared, and never changes back a role that somebody else
// has changed. Of runs it knows only what their journals record about roles.
package customrole

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// The permissions that an operator needs on a project for its custom roles.
const (
	GetPermission      = "iam.roles.get"
	createPermission   = "iam.roles.create"
	undeletePermission = "iam.roles.undelete"
)

// readBackWithin bounds the wait for a read to show what was written.
const readBackWithin = 30 * time.Second

// Progress reports steps and retries, and runs them.
type Progress interface {
	// Warn tells something that must not be missed.
	Warn(text string)
	// Step carries out f, and tells of its beginning and its end.
	Step(name, on string, f func() error) error
	// Retry calls f again while it fails with one of the kinds, and gives up after bound.
	Retry(ctx context.Context, name, on string, bound time.Duration, f func() error, kinds ...fault.Kind) error
}

// Manager finds, makes and watches custom roles. All its fields must be set.
type Manager struct {
	Cloud *gcp.Client
	// RolesOn returns the roles that can be granted on a resource, with their permissions.
	// An answer may be some hours old, and custom roles may be missing from it.
	RolesOn  func(ctx context.Context, name resource.Name) ([]grants.Role, error)
	Progress Progress
}

// State is what there is of a custom role before an up.
type State string

const (
	// There means that the role exists, with exactly the permissions.
	There State = "there"
	// Deleted means that the role was deleted and that up takes it back.
	Deleted State = "deleted"
	// Missing means that up makes the role.
	Missing State = "missing"
)

// Role is the custom role of a project by which a list of permissions is granted.
type Role struct {
	Name        string // in full
	Permissions []string
	State       State
	// Testing are the permissions that Google still tries out in custom roles.
	Testing []string
}

// Set holds the custom roles for the permission lists of one task.
type Set struct{ roles []*role }

// role is a custom role on its way to be bound.
type role struct {
	project     string // its id
	permissions []string
	grants      []int  // for which grants of the task
	planned     string // its full name, as the survey found it

	state   State
	testing []string

	mu    sync.Mutex
	try   int         // which of its ids it has
	found grants.Role // as it was last seen; zero if it does not exist
}

// Names returns the names of the roles by now, by grant.
func (s *Set) Names() map[int]string {
	names := map[int]string{}
	for _, r := range s.roles {
		for _, i := range r.grants {
			names[i] = r.name()
		}
	}
	return names
}

// Planned returns the roles as the survey planned them, by name.
func (s *Set) Planned() map[string]grants.Role {
	out := map[string]grants.Role{}
	for _, r := range s.roles {
		out[r.planned] = r.want(r.try)
	}
	return out
}

// Roles returns what is known of the roles, by their planned names.
func (s *Set) Roles() map[string]Role {
	out := map[string]Role{}
	for _, r := range s.roles {
		out[r.planned] = Role{Name: r.planned, Permissions: r.permissions, State: r.state, Testing: r.testing}
	}
	return out
}

// ToDo says in words what is to be done for the roles that do not exist.
func (s *Set) ToDo() []string {
	var out []string
	for _, r := range s.roles {
		switch r.state {
		case Missing:
			out = append(out, "create the custom role "+r.planned)
		case Deleted:
			out = append(out, "undelete the custom role "+r.planned)
		case There:
		}
	}
	return out
}

// In returns the roles that an edit binds.
func (s *Set) In(edit grants.Edit) *Set {
	out := &Set{}
	for _, r := range s.roles {
		if slices.ContainsFunc(edit.Bindings, func(b policy.Binding) bool { return b.Role == r.planned }) {
			out.roles = append(out.roles, r)
		}
	}
	return out
}

// Empty reports whether there are no roles in the set.
func (s *Set) Empty() bool { return len(s.roles) == 0 }

// Final returns an edit with the roles as they are named by now.
func (s *Set) Final(edit grants.Edit) grants.Edit {
	edit.Bindings = slices.Clone(edit.Bindings)
	for _, r := range s.roles {
		for i := range edit.Bindings {
			if edit.Bindings[i].Role == r.planned {
				edit.Bindings[i].Role = r.name()
			}
		}
	}
	return edit
}

// name returns the full name of the role by now.
func (r *role) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.want(r.try).Name
}

// want returns the role as it is to be, under one of its ids.
func (r *role) want(try int) grants.Role { return grants.CustomRole(r.project, r.permissions, try) }

func (r *role) take(try int, found grants.Role, state State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.try, r.found, r.state = try, found, state
}

// matches refuses a role that is not what is to be bound: exactly the permissions, and not
// disabled. The error names the difference. Somebody else may need a role as they changed
// it, so it is not changed back.
func (r *role) matches(found grants.Role) error {
	differs := Differences(found, r.permissions)
	if differs == "" {
		return nil
	}
	want := r.want(0)
	want.Name = found.Name // it may have another of the ids
	return fault.WithHint(
		fault.New(fault.Precondition, "the custom role %s was changed by somebody, and is not bound: %s",
			found.Name, differs),
		"if nobody needs the change: "+gcloud.UpdateRole(want))
}

// Differences says in what a role differs from one that holds exactly the permissions and is
// enabled; "" if in nothing.
func Differences(found grants.Role, permissions []string) string {
	more, lacking := found.Beside(permissions)
	var differs []string
	if len(more) > 0 {
		differs = append(differs, "it holds "+strings.Join(more, ", ")+" in addition to what is declared")
	}
	if len(lacking) > 0 {
		differs = append(differs, "it lacks "+strings.Join(lacking, ", "))
	}
	if found.Stage == "DISABLED" {
		differs = append(differs, "it is disabled")
	}
	return strings.Join(differs, "; ")
}

// stateOf returns what there is of a role that was read; the zero Role does not exist.
func stateOf(found grants.Role) State {
	switch {
	case found.Name == "":
		return Missing
	case found.Deleted:
		return Deleted
	}
	return There
}
