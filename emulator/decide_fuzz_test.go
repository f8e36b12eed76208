package emulator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// The naive decision knows nothing of states, programs and indexes: whom a member
// means it reads in a table, what a role holds and when a condition is true too.

// naiveRole is a role of the fuzz test, and what it holds of the permissions there.
type naiveRole struct {
	name  string
	holds []string
}

var naiveRoles = []naiveRole{
	{"roles/storage.objectViewer", []string{"storage.objects.get", "resourcemanager.projects.get"}},
	{"roles/storage.objectCreator", []string{"resourcemanager.projects.get"}},
	{"roles/storage.admin", []string{"storage.objects.get", "storage.buckets.get", "resourcemanager.projects.get"}},
	{"roles/pubsub.publisher", []string{"pubsub.topics.publish"}},
	{"roles/secretmanager.secretAccessor", []string{"secretmanager.versions.access", "resourcemanager.projects.get"}},
	{"roles/browser", []string{"resourcemanager.projects.get", "resourcemanager.folders.get", "resourcemanager.organizations.get"}},
	{"roles/nonsense", nil},
	{"projects/agents/roles/reader", []string{"storage.objects.get"}},
	{"projects/agents/roles/off", nil},
	{"projects/agents/roles/dead", nil},
	{everything, []string{"storage.objects.get", "storage.buckets.get", "secretmanager.versions.access", "pubsub.topics.publish",
		"bigquery.datasets.get", "resourcemanager.projects.get", "resourcemanager.folders.get", "resourcemanager.organizations.get",
		"iam.serviceAccounts.get"}},
}

// naiveCondition is a condition and when it is true, for a resource by its name in
// the court and a time after epoch.
type naiveCondition struct {
	expression string
	holds      func(resource string, at time.Duration) bool
}

var naiveConditions = []naiveCondition{
	{"", func(string, time.Duration) bool { return true }},
	{`request.time < timestamp("2026-03-03T12:00:00Z")`, func(_ string, at time.Duration) bool { return at < time.Hour }},
	{`request.time >= timestamp("2026-03-03T12:00:00Z")`, func(_ string, at time.Duration) bool { return at >= time.Hour }},
	{`resource.name.startsWith("projects/_/buckets/b/objects/2026/")`, func(r string, _ time.Duration) bool { return r == "object 2026" }},
	{`resource.type == "storage.googleapis.com/Bucket"`, func(r string, _ time.Duration) bool { return r == "bucket" }},
	{`resource.type != "storage.googleapis.com/Bucket" || request.time < timestamp("2026-03-03T12:00:00Z")`, func(r string, at time.Duration) bool {
		return at < time.Hour || r != "bucket" && r != "topic" && r != "account" && r != "folder" && r != "organization"
	}},
	{`resource.service == "secretmanager.googleapis.com" && request.time < timestamp("2026-03-03T12:00:00Z")`,
		func(r string, at time.Duration) bool { return r == "secret" && at < time.Hour }},
	{`request.path == "/"`, func(string, time.Duration) bool { return false }},
	{`false`, func(string, time.Duration) bool { return false }},
}

// naiveReach is which policies count for which resource.
var naiveReach = map[string]string{
	"organization": "organization", "folder": "organization upper folder", "project": "organization upper folder project",
	"bucket": "organization upper folder project bucket", "object 2026": "organization upper folder project bucket",
	"object 2025": "organization upper folder project bucket", "secret": "organization upper folder project",
	"topic": "organization upper folder project", "dataset": "organization upper folder project", "account": "organization upper folder project",
}

// naiveGrant is a binding as the naive decision sees it: positions in the tables.
type naiveGrant struct {
	on              string
	role, condition int
	members         []int
}

func naiveDecision(grants []naiveGrant, who, permission, resource string, at time.Duration) bool {
	for _, g := range grants {
		if !slices.Contains(strings.Fields(naiveReach[resource]), g.on) || !slices.Contains(naiveRoles[g.role].holds, permission) ||
			!naiveConditions[g.condition].holds(resource, at) {
			continue
		}
		for _, m := range g.members {
			if slices.Contains(strings.Fields(meaning[m].means), who) {
				return true
			}
		}
	}
	return false
}

// draws deals out choices from the fuzzer's bytes; when they are used up, zeros.
type draws []byte

func (d *draws) below(n int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

// FuzzDecide compares the decision with a second one that was written to be obvious.
func FuzzDecide(f *testing.F) {
	for i := range 64 {
		seed := make([]byte, 48)
		for j := range seed {
			seed[j] = byte(i*31 + j*j*7 + i*j)
		}
		f.Add(seed)
	}
	holders := []string{"organization", "upper", "folder", "project", "bucket", "elsewhere"}
	resources := []string{"object 2026", "object 2025", "bucket", "secret", "topic", "dataset", "project", "account", "folder", "organization"}
	permissions := naiveRoles[len(naiveRoles)-1].holds
	c := newCourt(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := draws(data)
		for _, p := range c.policies {
			p.Bindings = nil
		}
		who := everybody[d.below(len(everybody))]
		resource := resources[d.below(len(resources))]
		permission := permissions[d.below(len(permissions))]
		at := time.Duration(d.below(3)) * time.Hour
		var grants []naiveGrant
		for range d.below(12) {
			g := naiveGrant{on: holders[d.below(len(holders))], role: d.below(len(naiveRoles)), condition: d.below(len(naiveConditions))}
			b := iam.Binding{Role: naiveRoles[g.role].name}
			if e := naiveConditions[g.condition].expression; e != "" {
				b.Condition = &iam.Condition{Title: "c", Expression: e}
			}
			for range 1 + d.below(3) {
				g.members = append(g.members, d.below(len(meaning)))
				b.Members = append(b.Members, meaning[g.members[len(g.members)-1]].member)
			}
			grants = append(grants, g)
			c.policies[g.on].Bindings = append(c.policies[g.on].Bindings, b)
		}
		// Some policies are large, and what is looked for stands behind much else.
		if d.below(2) == 1 {
			p := c.policies[holders[d.below(len(holders))]]
			for i := range 40 {
				p.Bindings = slices.Insert(p.Bindings, 0, grant(everything, fmt.Sprintf("user:u%d@acme.example", i)))
			}
		}
		want := naiveDecision(grants, who, permission, resource, at)
		got := c.s.Decide(c.who[who], permission, c.resource[resource], epoch.Add(at), nil)
		if got.Allowed != want {
			t.Errorf("%s asks %s on the %s at +%v: decided %v by %q, want %v; granted: %+v", who, permission, resource, at, got.Allowed, got.By, want, grants)
		}
	})
}
