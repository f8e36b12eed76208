package customrole

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
)

var permissions = []string{"storage.objects.get", "storage.objects.list"}

func TestDifferences(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		found grants.Role
		want  string
	}{
		"none":     {grants.Role{Permissions: permissions}, ""},
		"order":    {grants.Role{Permissions: []string{permissions[1], permissions[0]}}, ""},
		"more":     {grants.Role{Permissions: append(slices.Clone(permissions), "a.b.c")}, "it holds a.b.c in addition to what is declared"},
		"less":     {grants.Role{Permissions: permissions[:1]}, "it lacks storage.objects.list"},
		"another":  {grants.Role{Permissions: []string{permissions[0], "a.b.c"}}, "it holds a.b.c in addition to what is declared; it lacks storage.objects.list"},
		"disabled": {grants.Role{Permissions: permissions, Stage: "DISABLED"}, "it is disabled"},
	} {
		if got := Differences(tt.found, permissions); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A role that somebody changed is refused, with the command that changes it back; it stays as
// it is.
func TestMatches(t *testing.T) {
	t.Parallel()
	r := &role{project: "p-123456", permissions: permissions}
	second := r.want(1).Name
	if err := r.matches(grants.Role{Name: second, Permissions: permissions}); err != nil {
		t.Errorf("as declared: %v", err)
	}
	err := r.matches(grants.Role{Name: second, Permissions: permissions[:1]})
	_, id, _ := strings.Cut(second, "/roles/")
	if !fault.Is(err, fault.Precondition) || !strings.Contains(strings.Join(fault.Hints(err), ""), "roles update "+id+" ") {
		t.Errorf("changed: %v, hints %q; want the update of %s", err, fault.Hints(err), id)
	}
}

func TestStateOf(t *testing.T) {
	t.Parallel()
	for want, found := range map[State]grants.Role{
		Missing: {}, There: {Name: "projects/p/roles/r"}, Deleted: {Name: "projects/p/roles/r", Deleted: true},
	} {
		if got := stateOf(found); got != want {
			t.Errorf("%+v is %s, want %s", found, got, want)
		}
	}
}

// Once a role had to take another of its ids, everything has that name: the grants, the edits,
// and no edit of other roles.
func TestFinal(t *testing.T) {
	t.Parallel()
	r := &role{project: "p-123456", permissions: permissions, grants: []int{2}}
	r.planned = r.name()
	s := &Set{roles: []*role{r}}
	edit := grants.Edit{Bindings: []policy.Binding{{Role: "roles/viewer"}, {Role: r.planned}}}
	r.take(1, grants.Role{}, Missing)
	second := r.want(1).Name
	if second == r.planned {
		t.Fatal("two tries have one id")
	}
	if got := s.Names(); got[2] != second || len(got) != 1 {
		t.Errorf("names %v, want %s for grant 2", got, second)
	}
	got := s.Final(edit)
	if got.Bindings[0].Role != "roles/viewer" || got.Bindings[1].Role != second || edit.Bindings[1].Role != r.planned {
		t.Errorf("the edit is %v, from %v", got.Bindings, edit.Bindings)
	}
	if s.In(edit).Empty() || !s.In(grants.Edit{Bindings: edit.Bindings[:1]}).Empty() {
		t.Error("an edit has the roles that it binds, and no other")
	}
	if want := []string{"create the custom role " + r.planned}; !slices.Equal(s.ToDo(), want) {
		t.Errorf("to do %q, want %q", s.ToDo(), want)
	}
}

// The narrowest predefined roles are named, and none that takes no condition.
func TestHoldersOf(t *testing.T) {
	t.Parallel()
	has := func(name string, n int, more ...string) grants.Role {
		r := grants.Role{Name: name, Permissions: slices.Clone(more)}
		for range n - len(more) {
			r.Permissions = append(r.Permissions, "x.y.z")
		}
		return r
	}
	const p = "a.b.c"
	roles := []grants.Role{
		has("roles/owner", 1, p), has("projects/p/roles/mine", 1, p), has("roles/lacks", 1),
		has("roles/wide", 9, p), has("roles/b", 2, p), has("roles/a", 2, p), has("roles/wider", 10, p),
	}
	want := []string{"roles/a (2 permissions)", "roles/b (2 permissions)", "roles/wide (9 permissions)"}
	if got := worded(holdersOf(p, roles)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Those who ask side by side for one thing ask once, and all get the answer.
func TestOnce(t *testing.T) {
	t.Parallel()
	o := newOnce[string]()
	var asked atomic.Int32
	var side sync.WaitGroup
	for range 8 {
		for _, key := range []string{"a", "b"} {
			side.Go(func() {
				got, err := o.do(key, func() (string, error) { asked.Add(1); return "of " + key, nil })
				if got != "of "+key || err != nil {
					t.Errorf("%s: %q, %v", key, got, err)
				}
			})
		}
	}
	side.Wait()
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}
