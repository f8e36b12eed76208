package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskiam/taskiam/tasks"
)

var update = flag.Bool("update", false, "write docs/manifest.schema.json")

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaURL, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a manifest as an editor hands it to the schema; false if it is no TOML.
func asJSON(t *testing.T, src []byte) (any, bool) {
	t.Helper()
	var values map[string]any
	if _, err := toml.Decode(string(trimBOM(src)), &values); err != nil {
		return nil, false
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return nil, false
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return v, true
}

func TestSchemaIsInTheDocs(t *testing.T) {
	t.Parallel()
	const path = "../../docs/manifest.schema.json"
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the program prints (-want +got); -update writes it:\n%s", path, diff)
	}
}

// What the parser accepts, the schema accepts.
func TestSchemaAcceptsEveryManifest(t *testing.T) {
	t.Parallel()
	sources := map[string][]byte{"reference": []byte(reference), "network": []byte(head + good + network), "starter": Starter("a", "acme-agents")}
	for _, r := range refusals() {
		sources[r.name] = []byte(r.src)
	}
	files, err := filepath.Glob("testdata/corpus/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if sources[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"demo.toml", "read-reports.toml", "publish-report.toml"} {
		if sources[name], err = tasks.Files.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	s := schema(t)
	accepted := 0
	for name, src := range sources {
		if _, err := Parse("f", src, Limits{}); err != nil {
			continue
		}
		accepted++
		if v, ok := asJSON(t, src); !ok {
			t.Errorf("%s has no form in JSON", name)
		} else if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if accepted < 5 {
		t.Errorf("only %d manifests were accepted", accepted)
	}
}

// everyKey has every key that there is.
const everyKey = `version = 1
[task]
name = "a"
project = "acme-agents"
ttl = "1h"
reason = "why"
[[grant]]
role = "roles/pubsub.publisher"
resource = "projects/acme-agents/topics/reports"
unbounded = "accept"
accept = { escalates = "it is meant" }
[[grant]]
permissions = ["storage.objects.get"]
resource = "gs://acme-reports"
condition = 'request.time.getHours("Europe/Berlin") < 20'
[[grant]]
role = "roles/viewer"
resource = "projects/acme-agents"
allow_basic = true
unbounded = "accept"
[credentials]
deliver = ["token"]
token_lifetime = "10m"
audiences = ["https://reports.example.com"]
[sandbox]
tree = "read"
` + network

// Every key is removed, given each other type, and set beside one that is unknown: the parser and the schema must
// give the same answer, but for what the schema cannot know.
func TestSchemaIsEqualToTheParser(t *testing.T) {
	t.Parallel()
	s := schema(t)
	var whole map[string]any
	if _, err := toml.Decode(everyKey, &whole); err != nil {
		t.Fatal(err)
	}
	whole["grant"] = asList(whole["grant"])
	if n, ok := whole["network"].(map[string]any); ok {
		n["host"] = asList(n["host"])
	}
	seen := map[string]bool{}
	compare := func(what string) {
		t.Helper()
		src, err := toml.Marshal(whole)
		if err != nil {
			return // a list of several types has no form for the encoder
		}
		_, parseErr := Parse("f", src, Limits{Usual: Settings{Project: "acme-usual"}})
		v, ok := asJSON(t, src)
		if !ok {
			t.Fatalf("%s: not TOML:\n%s", what, src)
		}
		schemaErr := s.Validate(v)
		if parseErr != nil && schemaErr == nil && slices.ContainsFunc(beyondSchema, func(part string) bool {
			return strings.Contains(parseErr.Error(), part)
		}) {
			return
		}
		if (parseErr == nil) != (schemaErr == nil) {
			t.Errorf("%s:\nparser: %v\nschema: %v", what, parseErr, schemaErr)
		}
	}
	compare("as it is")
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if !strings.HasSuffix(path, ".accept") {
				v["unknown"] = "x"
				compare(path + " with an unknown key")
				delete(v, "unknown")
			}
			for key := range maps.Clone(v) {
				at := path + "." + key
				seen[key] = true
				was := v[key]
				delete(v, key)
				compare(at + " removed")
				for _, other := range []any{"", " ", "x", int64(7), 1.5, true, []any{}, []any{int64(1)}, map[string]any{}} {
					v[key] = other
					compare(at + " changed")
				}
				v[key] = was
				walk(at, was)
			}
		case []any:
			for _, x := range v {
				walk(path, x)
			}
		}
	}
	walk("", whole)
	for _, key := range slices.Concat(manifestKeys, taskKeys, grantKeys, credentialsKeys, networkKeys, hostKeys, sandboxKeys) {
		if !seen[key] {
			t.Errorf("the schema was not tried for %s", key)
		}
	}
}

// beyondSchema are refusals that no schema can know of: they need what IAM and the types of resources are.
var beyondSchema = []string{
	"cannot expire, because", "is a basic role", "is not a project id", "no resource has this form", "IAM does not know",
}

func asList(v any) []any {
	var out []any
	if tables, ok := v.([]map[string]any); ok {
		for _, x := range tables {
			out = append(out, x)
		}
	}
	return out
}
