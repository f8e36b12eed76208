package journal

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// filled returns a record of the type with no field left zero, so that a codec that
// drops one is found out.
func filled(typ reflect.Type) reflect.Value {
	v := reflect.New(typ).Elem()
	fill(v, "x")
	return v
}

func fill(v reflect.Value, name string) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)))
	case v.Type() == reflect.TypeFor[Readiness]():
		v.SetString(string(NotProvable))
	case v.Kind() == reflect.String:
		v.SetString("the <" + name + "> & \"é\"\n")
	case v.Kind() == reflect.Int || v.Kind() == reflect.Int64:
		v.SetInt(7)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), name)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name)
		}
	default:
		panic("a record has a field of type " + v.Type().String())
	}
}

func TestEveryKindSurvivesTheRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)
	for kind, zero := range kinds {
		for _, want := range []Record{zero, filled(reflect.TypeOf(zero)).Interface().(Record)} {
			line, _, err := encode(at, want)
			if err != nil {
				t.Errorf("%s: %v", kind, err)
				continue
			}
			if n := bytes.Count(line, []byte("\n")); n != 1 || line[len(line)-1] != '\n' {
				t.Errorf("%s: %d newlines in %q", kind, n, line)
			}
			got, err := decode(line[:len(line)-1])
			if err != nil {
				t.Errorf("%s: %v", kind, err)
				continue
			}
			if diff := cmp.Diff(entry{at, want}, got, cmp.AllowUnexported(entry{})); diff != "" {
				t.Errorf("%s changed on its way (-want +got):\n%s", kind, diff)
			}
		}
	}
}

// TestEveryRecordHasAKind reads the source: a record type that is missing from the
// table could be written and never read again.
func TestEveryRecordHasAKind(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "record.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared, known []string
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "kind" {
			declared = append(declared, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	for _, r := range kinds {
		known = append(known, reflect.TypeOf(r).Name())
	}
	slices.Sort(declared)
	slices.Sort(known)
	if diff := cmp.Diff(declared, known); diff != "" {
		t.Errorf("types with a kind, and types in the table:\n%s", diff)
	}
}

// The kinds are what journals on people's disks say: none is ever renamed.
func TestKindsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	want := []string{
		"account created", "account deleted", "account disabled", "account intended", "account refused", "account seen",
		"bind intended", "binding found", "bound", "closed", "deliver intended", "delivered", "down began",
		"drop intended", "dropped", "failed", "forgotten", "grant ready", "key created", "key deleted", "key intended", "opened",
		"process started", "process stopped", "read back", "removed",
		"renew intended", "renew undone", "renewed", "role intended", "role ready", "sealed", "time over", "token minted", "unbound", "up", "used",
	}
	var got []string
	for kind := range kinds {
		got = append(got, kind)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// secretName is what a field that holds a secret would be called.
var secretName = regexp.MustCompile(`(?i)secret|private|password|assertion|credential|^key$|^token$|value|bearer`)

func holdsSecret(typ reflect.Type, path string) []string {
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return nil
	case typ == reflect.TypeFor[secret.String]() || typ == reflect.TypeFor[grants.Token]():
		return []string{path + " is a secret"}
	}
	switch typ.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.String:
		return nil
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return []string{path + " is bytes, which can be anything"}
		}
		return holdsSecret(typ.Elem(), path+"[]")
	case reflect.Struct:
		var found []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := path + "." + f.Name
			if secretName.MatchString(f.Name) {
				found = append(found, name+" is called like a secret")
			}
			if !f.IsExported() {
				found = append(found, name+" is hidden from this test's view of the file")
			}
			found = append(found, holdsSecret(f.Type, name)...)
		}
		return found
	default: // an interface, a map, a pointer: whatever somebody puts there
		return []string{path + " is a " + typ.String() + ", which can be anything"}
	}
}

func TestNoRecordCanHoldASecret(t *testing.T) {
	t.Parallel()
	for kind, r := range kinds {
		for _, found := range holdsSecret(reflect.TypeOf(r), kind) {
			t.Error(found)
		}
	}
	// The test can fail:
	type bad struct {
		Token    grants.Token
		Key      string
		Any      any
		Raw      json.RawMessage
		Nested   []struct{ S secret.String }
		Optional *string
	}
	if found := holdsSecret(reflect.TypeFor[bad](), "bad"); len(found) < 6 {
		t.Errorf("of six fields that could hold a secret only these were found: %q", found)
	}
}

func TestThePackageDoesNotKnowSecrets(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			switch path := strings.Trim(imp.Path.Value, `"`); {
			case !strings.Contains(path, "taskiam"):
			case slices.Contains([]string{"grants", "policy", "fault", "lazy", "wait"}, path[strings.LastIndexByte(path, '/')+1:]):
			default:
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
	if files == 0 {
		t.Error("no file was looked at")
	}
}

func TestSecretsInFreeTextAreStruckOut(t *testing.T) {
	t.Parallel()
	jwt := "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4QHAuaWFtIn0.c2lnbmF0dXJl"
	for _, hidden := range []string{
		"ya29.a0AfH6SMBxxxxxxxxxxxxxxxxxxxxx",
		"ya29.c.b0Aaekm1Kxxxxxxxxxxxxxxxx-_.xx",
		jwt,
		"-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBg \"quoted\"\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nMIIEvgIBADANBg\n-----END PGP PRIVATE KEY BLOCK-----\n",
	} {
		line, e, err := encode(time.Unix(0, 0), Failed{Step: "mint", Message: "Google said: " + hidden})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{hidden, "xxxxxxxx", "MIIEvg", "c2lnbmF0"} {
			if strings.Contains(string(line), part) || strings.Contains(e.record.(Failed).Message, part) {
				t.Errorf("%q is in %q", part, line)
			}
		}
		if got := e.record.(Failed).Message; !strings.HasPrefix(got, "Google said: [redacted]") {
			t.Errorf("the rest of the message is lost: %q", got)
		}
	}
	// What only looks a little like one stays.
	for _, text := range []string{"ya29.", "object eyJ.eyJ.x", "-----BEGIN CERTIFICATE-----", "projects/p/secrets/api-key"} {
		_, e, err := encode(time.Unix(0, 0), Failed{Message: text})
		if err != nil || e.record.(Failed).Message != text {
			t.Errorf("%q became %q, %v", text, e.record.(Failed).Message, err)
		}
	}
}

const (
	testRun    = grants.RunID("0123456789abcde")
	testOpened = `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"opened","record":{"run":"0123456789abcde","task":"t","cloud":"google","endpoint":"","operator":"user:a@example.com","project":"p","account_id":"ti-t-0123456789abcde","email":"e","expires":"2026-03-01T13:00:00Z","manifest_path":"/t.toml","manifest_sha256":"00","deliver":["key"],"delivery_dir":"/d","grants":[{"role":"roles/x","resource":"//r"}],"edits":null}}` + "\n"
	testUp     = `{"v":1,"at":"2026-03-01T12:00:01Z","kind":"up","record":{}}` + "\n"
)

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"a kind of the future", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"rebound","record":{}}` + "\n", `line 2: unknown kind "rebound"`},
		{"a version of the future", testOpened + testUp + `{"v":2,"at":"2026-03-01T12:00:00Z","kind":"up","record":{}}` + "\n", "line 3: version 2; this taskiam knows version 1"},
		{"no version", testOpened + `{"at":"2026-03-01T12:00:00Z","kind":"up","record":{}}` + "\n", "line 2: version 0"},
		{"a field of the future", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"up","record":{"x":1}}` + "\n", `line 2: up: json: unknown field "x"`},
		{"a field of the future outside", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","by":1,"kind":"up","record":{}}` + "\n", `line 2: json: unknown field "by"`},
		{"no record", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"up"}` + "\n", "line 2: up: no record"},
		{"a null record", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"up","record":null}` + "\n", "line 2: up: no record"},
		{"a garbled line", testOpened + "{\"v\":1,\n" + testUp, "line 2: unexpected EOF"},
		{"two records on a line", testOpened + strings.TrimSpace(testUp) + testUp, "line 2: more than one value"},
		{"an empty line", testOpened + "\n" + testUp, "line 2: empty line"},
		{"a garbled last line with its newline", testOpened + "up\n", "line 2: invalid character"},
		{"NUL bytes before the last line", testOpened + "\x00\x00\n" + testUp, "line 2: invalid character"},
		{"no beginning", testUp, `line 1: a journal begins with "opened", not with "up"`},
		{"two beginnings", testOpened + testOpened, `line 2: a second "opened"`},
		{"a grant that is not there", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"grant ready","record":{"grant":1,"state":"proved"}}` + "\n", `line 2: "grant ready" names grant 1 of 1`},
		{"a grant below none", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"grant ready","record":{"grant":-1,"state":"proved"}}` + "\n", "names grant -1 of 1"},
		{"a readiness of the future", testOpened + `{"v":1,"at":"2026-03-01T12:00:00Z","kind":"grant ready","record":{"grant":0,"state":"surely"}}` + "\n", `has no state "surely"`},
		{"a time that is none", testOpened + `{"v":1,"at":"yesterday","kind":"up","record":{}}` + "\n", "line 2: "},
	} {
		_, _, err := replay("/state/runs/x.jsonl", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "/state/runs/x.jsonl") {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
			continue
		}
		if hints := fault.Hints(err); len(hints) != 1 || !strings.Contains(hints[0], "/state/runs/x.jsonl") && hints[0] != "taskiam down --account e --project p" {
			t.Errorf("%s: hints %q", test.name, hints)
		}
	}
}

func TestATornLastLineIsLeftOut(t *testing.T) {
	t.Parallel()
	good := testOpened + testUp
	next := `{"v":1,"at":"2026-03-01T12:00:02Z","kind":"down began","record":{}}`
	for cut := range len(next) + 1 { // the whole line too: its newline is missing
		run, whole, err := replay("j", []byte(good+next[:cut]))
		if err != nil || whole != len(good) || run.State() == Ending {
			t.Fatalf("cut after %d: %d bytes whole, %v", cut, whole, err)
		}
	}
	// Blocks that the file system promised and did not write read as NUL bytes.
	for _, tail := range []string{"\x00\x00\x00\x00", "\x00\x00\n", next[:20] + "\x00\x00\x00\n"} {
		if run, whole, err := replay("j", []byte(good+tail)); err != nil || whole != len(good) || run.State() == Ending {
			t.Errorf("tail %q: %d bytes whole, %v", tail, whole, err)
		}
	}
	for _, nothing := range []string{"", testOpened[:50], strings.TrimSpace(testOpened), "\x00\x00\n"} {
		if _, _, err := replay("j", []byte(nothing)); !fault.Is(err, fault.NotFound) {
			t.Errorf("a journal without a whole record, %q: %v", nothing, err)
		}
	}
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte(testOpened + testUp))
	f.Add([]byte(testOpened + testUp[:20]))
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, r := range kinds {
		line, _, err := encode(at, filled(reflect.TypeOf(r)).Interface().(Record))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte(testOpened), line...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		run, whole, err := replay("j", b)
		if err != nil {
			return
		}
		if whole > len(b) || whole > 0 && b[whole-1] != '\n' {
			t.Fatalf("%d of %d bytes are whole lines", whole, len(b))
		}
		// What was understood is a fixed point: written again, it is read the same.
		var again []byte
		for text := range bytes.Lines(b[:whole]) {
			e, err := decode(bytes.TrimSuffix(text, []byte("\n")))
			if err != nil {
				t.Fatalf("%q was read in the journal and not alone: %v", text, err)
			}
			line, _, err := encode(e.at, e.record)
			if err != nil {
				t.Fatalf("%q cannot be written: %v", text, err)
			}
			again = append(again, line...)
		}
		second, whole, err := replay("j", again)
		if err != nil || whole != len(again) {
			t.Fatalf("written again:\n%s\n%v", again, err)
		}
		if secretPattern().Match(b) {
			return // struck out when written
		}
		if diff := cmp.Diff(run, second, cmpopts.IgnoreUnexported(Run{})); diff != "" {
			t.Fatalf("written again, it reads differently:\n%s", diff)
		}
	})
}
