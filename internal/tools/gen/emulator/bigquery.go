package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

// bigqueryResources are what the emulator serves of BigQuery.
var bigqueryResources = []string{"datasets", "jobs", "projects", "tabledata", "tables"}

// bigqueryDocument cuts BigQuery's discovery document down to what its command line
// client needs to build its calls: the methods, their parameters, and schemas that
// say nothing but that they exist. The prose is left out.
func bigqueryDocument() ([]byte, error) {
	module, err := gen.Module()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(module, "bigquery", "v2", "bigquery-api.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var d map[string]any
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	for _, name := range []string{"documentationLink", "endpoints", "icons", "ownerDomain", "ownerName"} {
		delete(d, name)
	}
	all, ok := d["resources"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no resources", path)
	}
	resources := map[string]any{}
	for _, name := range bigqueryResources {
		if all[name] == nil {
			return nil, fmt.Errorf("%s has no resource %s", path, name)
		}
		resources[name] = all[name]
	}
	d["resources"] = resources

	schemas := map[string]any{}
	prune(d, func(name string, v any) any {
		switch {
		case name == "description":
			return ""
		case name == "$ref":
			if s, ok := v.(string); ok {
				schemas[s] = map[string]any{"id": s, "type": "object", "properties": map[string]any{}}
			}
		case slices.Contains([]string{"enum", "enumDescriptions", "deprecated", "schemas"}, name):
			return nil
		}
		return v
	})
	d["schemas"] = schemas

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(d); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// prune replaces every field below v by what change makes of it; nil takes it away.
func prune(v any, change func(name string, v any) any) {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			next := change(name, field)
			if next == nil {
				delete(v, name)
				continue
			}
			v[name] = next
			prune(next, change)
		}
	case []any:
		for _, element := range v {
			prune(element, change)
		}
	}
}
