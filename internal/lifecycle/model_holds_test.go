package lifecycle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// What must hold at any time. It is looked at in the emulator's own state, which is read
// here from its JSON and without the code that is tested, and by asking the emulator
// with what was delivered.

const modelProject = "acme-agents"

// modelManifest is a manifest, and what it means in the emulator's state.
type modelManifest struct {
	name, source string
	grants       []modelGrant
}

// modelGrant is what one grant puts into a policy.
type modelGrant struct {
	place string // in the path of the policy in the state
	role  string
	// expression of its condition, for a run that ends at END; none if unbounded
	expression string
	// ask is a resource on which the permission can be asked for; "" if nothing can.
	ask, permission string
}

const untilEnd = `request.time < timestamp("END")`

var (
	theSecret = modelGrant{
		"secrets/secrets/projects/acme-agents/secrets/api-key/", "roles/secretmanager.secretAccessor", untilEnd,
		"projects/acme-agents/secrets/api-key", "secretmanager.versions.access",
	}
	theTopic = modelGrant{
		"pubsub/topics/projects/acme-agents/topics/reports/", "roles/pubsub.publisher", "",
		"projects/acme-agents/topics/reports", "pubsub.topics.publish",
	}
	theBucket = modelGrant{
		"storage/buckets/acme-reports/", "roles/storage.objectViewer",
		`(resource.name.startsWith("projects/_/buckets/acme-reports/objects/2026/")) && ` + untilEnd, "", "",
	}
	theDataset = modelGrant{"bigquery/datasets/projects/acme-data/datasets/sales/", "READER", untilEnd, "", ""}
)

const (
	modelHead = `
version = 1
[task]
name    = "model"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role     = "roles/secretmanager.secretAccessor"
resource = "projects/acme-agents/secrets/api-key"
`
	modelTopic = modelHead + `
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
`
	modelData = modelHead + `
[[grant]]
role     = "roles/storage.objectViewer"
resource = "gs://acme-reports/2026/"
[[grant]]
role     = "roles/bigquery.dataViewer"
resource = "bq://acme-data.sales"
`
)

var modelManifests = []modelManifest{
	{"secret and topic by key", modelTopic + "[credentials]\ndeliver = \"key\"\n", []modelGrant{theSecret, theTopic}},
	{"secret and topic by token", modelTopic + "[credentials]\ndeliver = \"token\"\n", []modelGrant{theSecret, theTopic}},
	{"secret and data by key", modelData + "[credentials]\ndeliver = \"key\"\n", []modelGrant{theSecret, theBucket, theDataset}},
	{"secret and data by token", modelData + "[credentials]\ndeliver = \"token\"\n", []modelGrant{theSecret, theBucket, theDataset}},
}

// modelResources are all that the manifests name.
func modelResources() []resource.Name {
	var out []resource.Name
	for _, s := range []string{
		"projects/acme-agents/secrets/api-key", "projects/acme-agents/topics/reports", "gs://acme-reports", "bq://acme-data.sales",
	} {
		name, _, err := resource.Parse(s)
		if err != nil {
			panic(err)
		}
		out = append(out, name)
	}
	return out
}

// asked are the questions put to every credential that was ever delivered: what some
// manifest grants, and what none does.
var asked = []struct {
	resource    string
	permissions []string
}{
	{"projects/acme-agents/secrets/api-key", []string{"secretmanager.versions.access", "secretmanager.secrets.delete"}},
	{"projects/acme-agents/topics/reports", []string{"pubsub.topics.publish", "pubsub.topics.delete"}},
	{"gs://acme-reports", []string{"storage.objects.get", "storage.buckets.delete"}},
}

// neighbours are bindings that others add and remove while runs come and go: some that
// a run has too, one that differs in the condition alone, one of another role.
var neighbours = []struct {
	resource string
	binding  policy.Binding
}{
	{"projects/acme-agents/topics/reports", policy.Binding{Role: "roles/pubsub.publisher"}},
	{"projects/acme-agents/secrets/api-key", policy.Binding{Role: "roles/secretmanager.secretAccessor"}},
	{"projects/acme-agents/secrets/api-key", policy.Binding{
		Role:      "roles/secretmanager.secretAccessor",
		Condition: policy.Condition{Title: "this century", Expression: `request.time < timestamp("2100-01-01T00:00:00Z")`},
	}},
	{"projects/acme-agents/secrets/api-key", policy.Binding{Role: "roles/secretmanager.viewer"}},
	{"gs://acme-reports", policy.Binding{Role: "roles/storage.objectViewer"}},
	{"bq://acme-data.sales", policy.Binding{Role: "roles/bigquery.dataViewer"}},
}

func neighbourMember(which int) string { return fmt.Sprintf("user:neighbour%d@acme.example", which) }

// holds returns what does not hold, of what must hold at any time.
func (h *history) holds() error {
	if h.written.Swap(false) {
		var root any
		if err := json.Unmarshal(h.machines[0].snapshot(), &root); err != nil {
			return err
		}
		if err := h.declared(root); err != nil {
			return err
		}
		if err := h.intact(root); err != nil {
			return err
		}
	}
	for _, run := range h.runs {
		if err := h.works(run); err != nil {
			return fmt.Errorf("run %s: %w", run.plan.Run, err)
		}
	}
	return nil
}

// works asks what a delivered credential may do: nothing that is not granted, nothing
// after its end, nothing once the run was said to be gone; and what was said to work
// works until somebody takes it away.
func (h *history) works(run *played) error {
	if run.tester == nil || run.dead {
		return nil
	}
	past := time.Since(run.ends.latest)
	for _, q := range asked {
		name, _, err := resource.Parse(q.resource)
		if err != nil {
			return err
		}
		// What cannot be asked is not allowed either.
		have, err := run.tester.TestPermissions(context.Background(), name, q.permissions)
		for _, permission := range have {
			i := slices.IndexFunc(run.model.grants, func(g modelGrant) bool { return g.ask == q.resource && g.permission == permission })
			switch {
			case i >= 0 && past < 0 && !run.down: // it may
			case i >= 0 && past < time.Hour && !run.down && run.model.grants[i].expression == "": // accepted as unbounded
			default:
				return fmt.Errorf("%s past its end (down: %t), it holds %s on %s", past, run.down, permission, q.resource)
			}
		}
		for i, proved := range run.proved {
			g := run.model.grants[i]
			// A token's life is in whole seconds: the last one of the run may be without.
			if proved && !run.touched && past < -time.Second && g.ask == q.resource && !slices.Contains(have, g.permission) {
				return fmt.Errorf("%s past its end it has lost %s on %s: %w", past, g.permission, g.ask, err)
			}
		}
	}
	run.dead = run.down || past >= time.Hour
	return nil
}

// naming is one place in the state that names an account of ours.
type naming struct {
	path, email string
	role        string // "" if it is not in a binding
	condition   condition
	deleted     bool // it is named as deleted
}

type condition struct{ title, expression string }

// namings finds all of them below v.
func (h *history) namings(v any, path []string, out []naming) []naming {
	place := func(n naming) naming { n.path = strings.Join(path, "/") + "/"; return n }
	switch v := v.(type) {
	case string:
		if email, ok := ourEmail(v); ok {
			out = append(out, place(naming{email: email}))
		}
	case []any:
		for i, e := range v {
			out = h.namings(e, append(path[:len(path):len(path)], fmt.Sprint(i)), out)
		}
	case map[string]any:
		role, _ := v["role"].(string)
		members, _ := v["members"].([]any)
		if user := v["userByEmail"]; user != nil {
			members = []any{user}
		}
		if role != "" && members != nil {
			n := place(naming{role: role})
			if c, ok := v["condition"].(map[string]any); ok {
				n.condition.title, _ = c["title"].(string)
				n.condition.expression, _ = c["expression"].(string)
			}
			for _, m := range members {
				if email, ok := ourEmail(m.(string)); ok {
					n.email, n.deleted = email, strings.HasPrefix(m.(string), "deleted:")
					out = append(out, n)
				}
			}
			return out
		}
		for key, e := range v {
			out = h.namings(e, append(path[:len(path):len(path)], key), out)
		}
	}
	return out
}

// ourEmail finds the email of a run's account in a text.
func ourEmail(s string) (string, bool) {
	i := strings.Index(s, "ti-model-")
	if i < 0 {
		return "", false
	}
	email, _, _ := strings.Cut(s[i:], "?")
	return email, true
}

// declared compares every place where an account of ours is named with its manifest.
func (h *history) declared(root any) error {
	var wrong []error
	for _, n := range h.namings(root, nil, nil) {
		if n.email == h.lookAlike {
			continue
		}
		run := h.played(func(run *played) bool { return run.plan.Email == n.email })
		switch {
		case run == nil:
			wrong = append(wrong, fmt.Errorf("%s names %s, which is nobody's", n.path, n.email))
		case run.down:
			wrong = append(wrong, fmt.Errorf("run %s is down, and %s names it: %+v", run.plan.Run, n.path, n))
		case n.role == "" && strings.HasPrefix(n.path, "accounts/") && strings.HasSuffix(n.path, "/email/"): // its own name
		case !slices.ContainsFunc(run.model.grants, func(g modelGrant) bool { return run.means(g, n) }):
			wrong = append(wrong, fmt.Errorf("run %s (%s) is named where it is not declared: %+v", run.plan.Run, run.model.name, n))
		}
	}
	return errors.Join(wrong...)
}

// means reports whether a binding is what the grant puts there.
func (run *played) means(g modelGrant, n naming) bool {
	if !strings.HasPrefix(n.path, g.place) || n.role != g.role {
		return false
	}
	if g.expression == "" {
		return n.condition == condition{}
	}
	before, after, _ := strings.Cut(g.expression, "END")
	text, begins := strings.CutPrefix(n.condition.expression, before)
	text, ends := strings.CutSuffix(text, after)
	end, err := time.Parse(time.RFC3339, text)
	return begins && ends && err == nil && !end.Before(run.ends.earliest) && !end.After(run.ends.latest) &&
		n.condition.title == "taskiam "+string(run.plan.Run)
}

// intact compares what others have with what they had: byte for byte, but for what
// they changed themselves. It takes root apart.
func (h *history) intact(root any) error {
	present := map[int]bool{}
	got := h.ofOthers(root, present)
	for which := range neighbours {
		if got := present[which]; got != h.present[which] {
			return fmt.Errorf("the binding of neighbour %d is there: %t, want %t", which, got, h.present[which])
		}
	}
	if h.others == nil {
		var root any
		if err := json.Unmarshal(h.before, &root); err != nil {
			return err
		}
		h.others = h.ofOthers(root, map[int]bool{})
	}
	if !bytes.Equal(got, h.others) {
		return fmt.Errorf("what others have is not as before:\n%s", emulator.Diff(h.others, got))
	}
	return nil
}

// ofOthers returns a state without runs and without what neighbours toggle, of whom it
// takes down who is there.
func (h *history) ofOthers(root any, present map[int]bool) []byte {
	raw, err := json.Marshal(h.prune(root, present))
	if err != nil {
		h.t.Error(err)
	}
	return raw
}

// prune takes away members that come and go, their accounts and tokens, and whatever is
// empty then.
func (h *history) prune(v any, present map[int]bool) any {
	switch v := v.(type) {
	case string:
		if email, ok := ourEmail(v); ok && email != h.lookAlike {
			return nil
		}
		if i := strings.Index(v, "neighbour"); i >= 0 {
			present[int(v[i+len("neighbour")]-'0')] = true
			return nil
		}
	case []any:
		out := slices.DeleteFunc(v, func(e any) bool { return h.prune(e, present) == nil })
		if len(out) == 0 {
			return nil
		}
		return out
	case map[string]any:
		if email, ok := v["email"].(string); ok && strings.HasPrefix(email, "ti-model-") && email != h.lookAlike {
			return nil
		}
		if v["account"] != nil && v["expires"] != nil { // a token
			return nil
		}
		_, members := v["members"]
		_, user := v["userByEmail"]
		for key, e := range v {
			if e = h.prune(e, present); e == nil {
				delete(v, key)
			} else {
				v[key] = e
			}
		}
		_, stillMembers := v["members"]
		_, stillUser := v["userByEmail"]
		if len(v) == 0 || members && !stillMembers || user && !stillUser {
			return nil
		}
	}
	return v
}
