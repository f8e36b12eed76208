package view

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/json.md")

// TestJSONReference: docs/json.md has every document with its fields, what they are and what they mean, as the code
// says it.
func TestJSONReference(t *testing.T) {
	t.Parallel()
	const path = "../../docs/json.md"
	want := reference(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff.Diff(want, string(got)); d != "" {
		t.Errorf("%s is not what the code says; -update writes it (-want +got):\n%s", path, d)
	}
}

const referenceHead = `# The documents of --json

Every command that reports something takes ` + "`--json`" + ` and prints one document on standard output.
Each has a ` + "`schema`" + `; fields are only ever added to a version. Messages for people are on
standard error as without ` + "`--json`" + `.

A command that fails before it has printed its own document prints ` + "`taskiam.error/v1`" + ` instead. The
exit code is the same either way: [exit-codes.md](exit-codes.md).

A name with dots is a field of a field; of a list, it is a field of each element. A time is in RFC 3339,
in UTC. This page is made of the code, by ` + "`go test ./internal/view -run JSONReference -update`" + `.
`

func reference(t *testing.T) string {
	t.Helper()
	comments := commentsOf(t)
	var b strings.Builder
	b.WriteString(referenceHead)
	all := printedDocuments()
	slices.SortFunc(all, func(a, b printed) int { return cmp.Compare(schemaOf(t, a), schemaOf(t, b)) })
	for _, d := range all {
		typ := reflect.TypeOf(d.document)
		about := strings.TrimPrefix(comments[typ.Name()], typ.Name()+" is ")
		if about == "" {
			t.Errorf("%s has no comment", typ.Name())
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", schemaOf(t, d), sentence(about))
		var listed []string
		for _, f := range fieldRows(typ, "", comments) {
			listed = append(listed, f[0])
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f[0], f[1], f[2])
		}
		want := strings.Fields(d.want)
		slices.Sort(want)
		slices.Sort(listed)
		if d := diff.Diff(want, listed); d != "" {
			t.Errorf("%s (-has +listed):\n%s", typ.Name(), d)
		}
	}
	return b.String()
}

func schemaOf(t *testing.T, d printed) string {
	t.Helper()
	return reflect.ValueOf(d.document).FieldByName("Schema").String()
}

// fieldRows returns name, type and meaning of every field of a document.
func fieldRows(typ reflect.Type, prefix string, comments map[string]string) [][3]string {
	var out [][3]string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			out = append(out, fieldRows(f.Type, prefix, comments)...)
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		about := cell(comments[typ.Name()+"."+f.Name])
		kind, inner := typeName(f.Type)
		if inner != nil {
			about = cmp.Or(about, comments[inner.Name()])
		}
		about = cmp.Or(about, everywhere[name])
		if strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
			kind += ", or left out"
		}
		out = append(out, [3]string{prefix + name, kind, about})
		if inner != nil {
			out = append(out, fieldRows(inner, prefix+name+".", comments)...)
		}
	}
	return out
}

// everywhere is what a field means that needs no comment where it stands.
var everywhere = map[string]string{
	"account": "email of the run's service account", "task": "name of the task", "run": "id of the run",
	"project": "id of the project", "expires": "when the access ends", "started": "when it began",
	"endpoint": "host and port of an emulator; \"\" for Google", "cloud": "Google Cloud, or an emulator",
	"elapsed_ms": "how long it took, in milliseconds", "operator": "who runs taskiam, as policies name it",
	"manifest": "path of the manifest", "tasks": "names of the tasks", "state": "the state, in words",
	"dry_run": "whether nothing was changed", "delivery": "folder of the delivery", "reason": "that of the manifest",
	"resource": "name of the resource", "role": "name of the role", "member": "the principal, as policies name it",
	"permissions": "names of permissions", "expression": "the condition, in CEL", "title": "its title",
	"prefix": "what the names of objects begin with; \"\" for all", "step": "what was done", "on": "to what",
	"at": "when", "what": "what was looked at", "message": "what it says", "token": "the access token",
	"file": "name of the file, as it was given", "column": "see line", "hints": "see errors",
	"left": "what is still there", "pid": "its process", "manifest_sha256": "hash of the manifest's bytes",
	"version": "the program's version", "ttl_seconds": "how long the run lasts", "kind": "what kind it is",
	"example": "a name of this type", "full_name": "the form of the full resource name", "env": "the variables",
	"error": "why it failed; \"\" if it did not", "why": "the reason", "description": "its description",
}

// typeName returns what a field's type is called, and the struct in it.
func typeName(t reflect.Type) (name string, inner reflect.Type) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time", nil
	case t.Kind() == reflect.Pointer:
		name, inner = typeName(t.Elem())
		return name + " or null", inner
	case t.Kind() == reflect.Slice:
		name, inner = typeName(t.Elem())
		return "list of " + strings.TrimSuffix(name, "s") + "s", inner
	case t.Kind() == reflect.Map:
		return "object of strings", nil
	case t.Kind() == reflect.Struct:
		return "object", t
	case t.Kind() == reflect.Bool:
		return "boolean", nil
	case t.Kind() == reflect.String:
		return "string", nil
	}
	return "integer", nil
}

// commentsOf returns the comments of the types of this package, and of their fields: "Run", "Run.State".
func commentsOf(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				typ, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				out[typ.Name.Name] = cell(cmp.Or(typ.Doc.Text(), gen.Doc.Text()))
				if s, ok := typ.Type.(*ast.StructType); ok {
					fieldComments(out, typ.Name.Name, s)
				}
			}
		}
	}
	return out
}

func fieldComments(out map[string]string, typ string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			out[typ+"."+name.Name] = cmp.Or(f.Comment.Text(), f.Doc.Text())
		}
	}
}

var docLink = regexp.MustCompile(`\[([A-Za-z.]+)\]`)

// cell is a comment as a cell of a table.
func cell(comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	text = docLink.ReplaceAllString(text, "$1")
	if !strings.HasSuffix(text, "...") {
		text = strings.TrimSuffix(text, ".")
	}
	return strings.ReplaceAll(text, "|", `\|`)
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }
