package grants

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The ids are in people's projects: none ever changes.
func TestRoleIDsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		permissions string
		try         int
		want        string
	}{
		{"storage.objects.get", 0, "taskiam_3c386ee3b742d44f2999d0c23972a2b1"},
		{"storage.objects.get", 1, "taskiam_3c386ee3b742d44f2999d0c23972a2b1_2"},
		{"storage.objects.list storage.objects.get", 0, "taskiam_2f8d81708ce11e36e2c618b997f490c2"},
		{"storage.objects.get storage.objects.list storage.objects.get", 0, "taskiam_2f8d81708ce11e36e2c618b997f490c2"},
	} {
		if got := roleID(strings.Fields(tt.permissions), tt.try); got != tt.want {
			t.Errorf("RoleID(%s, %d) = %s, want %s", tt.permissions, tt.try, got, tt.want)
		}
	}
}

// The same set has the same id, in whatever order and however often its elements are
// said, and another set another one.
func TestRoleIDIsThatOfTheSet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	ids := map[string]string{} // by the set
	sets := map[string]string{}
	for range 2000 {
		var list []string
		member := map[string]bool{}
		for range 1 + random.IntN(6) {
			p := fmt.Sprintf("a.b.c%d", random.IntN(5))
			list, member[p] = append(list, p), true
		}
		var set []string
		for p := range member {
			set = append(set, p)
		}
		slices.Sort(set)
		key, id := strings.Join(set, " "), roleID(list, 0)
		if was, ok := ids[key]; ok && was != id {
			t.Fatalf("%v is %s, and was %s", list, id, was)
		}
		if was, ok := sets[id]; ok && was != key {
			t.Fatalf("%s is %s and %s", id, key, was)
		}
		ids[key], sets[id] = id, key
	}
}

func TestOurs(t *testing.T) {
	t.Parallel()
	made := CustomRole("p", []string{"a.b.d", "a.b.c"}, 0)
	third := CustomRole("p", []string{"a.b.c"}, 2)
	if len(made.Title) > 100 || len(made.Description) > 300 || !slices.IsSorted(made.Permissions) {
		t.Errorf("the role is %+v", made)
	}
	with := func(change func(*Role)) Role { r := made; change(&r); return r }
	for name, tt := range map[string]struct {
		role         Role
		marked, ours bool
	}{
		"as made":              {made, true, true},
		"another id":           {third, true, true},
		"more permissions":     {with(func(r *Role) { r.Permissions = []string{"a.b.c", "a.b.d", "a.b.e"} }), true, false},
		"fewer":                {with(func(r *Role) { r.Permissions = nil }), true, false},
		"a name alone":         {with(func(r *Role) { r.Description = "" }), false, false},
		"a copied mark":        {with(func(r *Role) { r.Name = "projects/p/roles/taskiam_mine" }), false, false},
		"another's mark":       {with(func(r *Role) { r.Description = third.Description }), false, false},
		"a mark and more":      {with(func(r *Role) { r.Description += " x" }), false, false},
		"an unknown version":   {with(func(r *Role) { r.Description = strings.Replace(r.Description, ":1,", ":2,", 1) }), false, false},
		"an id past the last":  {CustomRole("p", []string{"a.b.c"}, MaxRoleTries), false, false},
		"a predefined role":    {Role{Name: "roles/viewer"}, false, false},
		"with a longer suffix": {with(func(r *Role) { r.Name += "_02" }), false, false},
	} {
		if tt.role.Marked() != tt.marked || tt.role.Ours() != tt.ours {
			t.Errorf("%s: marked %v, ours %v", name, tt.role.Marked(), tt.role.Ours())
		}
	}
}

func TestIsPermission(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]bool{
		"storage.objects.get": true, "cloudonefs.isiloncloud.com/clusters.create": true, "networkservices.route_views.get": true,
		"storage.objects": false, "storage.objects.*": false, "": false, "roles/storage.objectViewer": false, "storage.objects.get ": false,
	} {
		if IsPermission(p) != want {
			t.Errorf("IsPermission(%q) = %v", p, !want)
		}
	}
}
