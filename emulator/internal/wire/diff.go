package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/internal/lazy"
)

// namedSnapshots are those that clients asked to keep.
type namedSnapshots struct {
	mu     sync.Mutex
	byName map[string][]byte
}

// maxSnapshots is how many snapshots are kept.
const maxSnapshots = 1000

func (n *namedSnapshots) keep(name string, snapshot []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byName == nil {
		n.byName = map[string][]byte{}
	}
	if n.byName[name] == nil && len(n.byName) >= maxSnapshots {
		return Precondition("There are %d snapshots already: delete some.", maxSnapshots)
	}
	n.byName[name] = snapshot
	return nil
}

func (n *namedSnapshots) get(name string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if snapshot, ok := n.byName[name]; ok {
		return snapshot, nil
	}
	return nil, NotFound("There is no snapshot %q.", name)
}

func (n *namedSnapshots) drop(name string) error {
	if _, err := n.get(name); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.byName, name)
	return nil
}

func (n *namedSnapshots) names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := slices.AppendSeq([]string{}, maps.Keys(n.byName))
	slices.Sort(names)
	return names
}

// change is one difference between two snapshots. What is not there is null.
type change struct {
	Path   string `json:"path"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Diff compares two snapshots, a before b, for people to read: a line for each
// difference, of the form "path: before → after". It is empty if they are equal. Lists
// are compared as sets, since in policies that is what they are; a list that differs in
// order alone is said to. Whatever is no snapshot yields a line that says so.
func Diff(a, b []byte) string {
	changes, err := changesOf(a, b)
	if err != nil {
		return err.Error() + "\n"
	}
	show := func(v any) string {
		if v == nil {
			return "(none)"
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(raw)
	}
	var out strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&out, "%s: %s → %s\n", c.Path, show(c.Before), show(c.After))
	}
	return out.String()
}

// changesOf returns the differences between two snapshots, in the order of their paths.
func changesOf(a, b []byte) ([]change, error) {
	var before, after any
	if err := json.Unmarshal(a, &before); err != nil {
		return nil, fmt.Errorf("reading the first snapshot: %w", err)
	}
	if err := json.Unmarshal(b, &after); err != nil {
		return nil, fmt.Errorf("reading the second snapshot: %w", err)
	}
	d := differ{changes: []change{}}
	d.compare("", before, after)
	return d.changes, nil
}

type differ struct{ changes []change }

func (d *differ) note(path string, before, after any) {
	if path == "" {
		path = "(all)"
	}
	d.changes = append(d.changes, change{path, before, after})
}

func (d *differ) compare(path string, before, after any) {
	switch x := before.(type) {
	case map[string]any:
		if y, ok := after.(map[string]any); ok {
			d.fields(path, x, y, step)
			return
		}
	case []any:
		if y, ok := after.([]any); ok {
			d.lists(path, x, y)
			return
		}
	default:
		if _, isMap := after.(map[string]any); !isMap {
			if _, isList := after.([]any); !isList && before == after {
				return
			}
		}
	}
	d.note(path, before, after)
}

// fields compares two objects, whose keys extend the path by step.
func (d *differ) fields(path string, x, y map[string]any, step func(path, key string) string) {
	keys := maps.Clone(x)
	maps.Copy(keys, y)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		d.compare(step(path, key), x[key], y[key])
	}
}

// lists compares two lists by what names their elements.
func (d *differ) lists(path string, x, y []any) {
	before, order := labelled(x)
	after, next := labelled(y)
	found := len(d.changes)
	d.fields(path, before, after, func(path, key string) string { return path + "[" + key + "]" })
	if len(d.changes) == found && !slices.Equal(order, next) {
		d.note(path, order, next)
	}
}

// labelled names each element of a list: a binding by role and condition, others by
// their name or id, plain values by themselves.
func labelled(list []any) (byLabel map[string]any, order []string) {
	byLabel = map[string]any{}
	for _, v := range list {
		label := labelOf(v)
		for n := 2; byLabel[label] != nil; n++ {
			label = fmt.Sprintf("%s #%d", labelOf(v), n)
		}
		byLabel[label] = v
		order = append(order, label)
	}
	return byLabel, order
}

func labelOf(v any) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var parts []string
	for _, key := range []string{"role", "id", "name", "service", "logType", "userByEmail", "groupByEmail", "domain",
		"specialGroup", "iamMember"} {
		if s, ok := m[key].(string); ok {
			parts = append(parts, s)
		}
	}
	if c, ok := m["condition"].(map[string]any); ok {
		parts = append(parts, fmt.Sprintf("if %v", c["expression"]))
	}
	if len(parts) == 0 {
		raw, _ := json.Marshal(m) // it came from JSON
		return string(raw)
	}
	return strings.Join(parts, " ")
}

var plainKey = lazy.Regexp(`^[A-Za-z_][A-Za-z0-9_]*$`)

// step extends a path by a field: a.b, or a[b@c] where a dot would not be clear.
func step(path, key string) string {
	switch {
	case !plainKey().MatchString(key):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}
