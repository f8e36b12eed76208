package emulator

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

var reportFile = flag.String("fidelity", "", "write the report of TestFidelity to this `file`")

// explained are the recorded answers that the emulator does not give, and why it is
// believed to be right.
var explained = map[int]string{
	28: "a key that is asked for with publicKeyType comes with publicKeyData, as the reference of keys.get says; the recording leaves it out",
	39: "roles/resourcemanager.projectAdmin is not among Google's predefined roles, and a role that does not exist is refused with 400",
	43: "a client that sends prettyPrint=false gets errors[] beside the message, as on line 19, which is real; the recording has none",
	70: "a binding without members grants nothing and is dropped; the recording keeps it",
	78: "tables take no conditions, and a policy with a condition has to say version 3; the recording takes one with version 1",
}

// outcome is what became of one exchange.
type outcome struct {
	*exchange
	unplayed string   // why it was not replayed
	misses   []string // in what the answer differs
}

// The emulator answers what Google answered, in the form in which Google answered.
func TestFidelity(t *testing.T) {
	t.Parallel()
	var all []outcome
	for _, x := range readExchanges(t) {
		o := outcome{exchange: x}
		switch x.Grade {
		case "A", "B", "C":
			o.unplayed, o.misses = replay(t, x)
		default:
			o.unplayed = "proved to be the answer of a mock"
		}
		all = append(all, o)
	}
	for _, o := range all {
		why, known := explained[o.N]
		switch {
		case o.unplayed != "" && known:
			t.Errorf("line %d is explained (%s), and was not replayed: %s", o.N, why, o.unplayed)
		case len(o.misses) > 0 && !known:
			t.Errorf("line %d, grade %s, %s:\n\t%s", o.N, o.Grade, o.Op, strings.Join(o.misses, "\n\t"))
		case len(o.misses) == 0 && known:
			t.Errorf("line %d matches, and is explained as a miss: %s", o.N, why)
		}
	}
	tally := tallies(all)
	real, shaped := tally["A"].plus(tally["B"]), tally["C"]
	if real.replayed < 30 || real.missed() > 0 {
		t.Errorf("of the grades A and B %d were replayed, want 30 at least, and %d missed, want none", real.replayed, real.missed())
	}
	if shaped.replayed < 90 || shaped.matched*100 < shaped.replayed*95 {
		t.Errorf("of grade C %d were replayed, want 90 at least, and %d matched, want 95%%", shaped.replayed, shaped.matched)
	}
	if *reportFile != "" {
		if err := os.WriteFile(*reportFile, []byte(report(all)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checkDocument(t, report(all))
}

// fidelityDocument holds the report, and what is unsure with the switch that changes it.
const fidelityDocument = "../docs/fidelity.md"

func readDocument(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(fidelityDocument)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// checkDocument compares the document with a report on as many exchanges; where others
// were recorded since, it has nothing to compare.
func checkDocument(t *testing.T, report string) {
	t.Helper()
	document := readDocument(t)
	if table, _, _ := strings.Cut(report, "\n\n"); totals(table) != totals(document) {
		t.Logf("%s is about other exchanges than were replayed", fidelityDocument)
	} else if !strings.Contains(document, report) {
		t.Errorf("%s does not hold this report:\n%s", fidelityDocument, report)
	}
}

var gradeRow = regexp.MustCompile(`(?m)^\| [A-D] \| \d+ `)

// totals are how many exchanges of each grade a report is about.
func totals(report string) string { return strings.Join(gradeRow.FindAllString(report, -1), "") }

// Whoever reads what is unsure finds each switch, and no other.
func TestDoubtsAreDocumented(t *testing.T) {
	t.Parallel()
	document := readDocument(t)
	var named, there []string
	for _, row := range regexp.MustCompile("(?m)^\\|.*\\| `(\\w+)` \\|").FindAllStringSubmatch(document, -1) {
		named = append(named, row[1])
	}
	doubts := reflect.TypeFor[iam.Doubts]()
	for i := range doubts.NumField() {
		there = append(there, doubts.Field(i).Tag.Get("toml"))
	}
	slices.Sort(named)
	slices.Sort(there)
	if !slices.Equal(named, there) {
		t.Errorf("%s names the switches %q, the emulator has %q", fidelityDocument, named, there)
	}
}

// tally counts the exchanges of a grade.
type tally struct{ total, replayed, matched int }

func (t tally) missed() int { return t.replayed - t.matched }

func (t tally) plus(u tally) tally {
	return tally{t.total + u.total, t.replayed + u.replayed, t.matched + u.matched}
}

func tallies(all []outcome) map[string]tally {
	out := map[string]tally{}
	for _, o := range all {
		t := tally{total: 1}
		if o.unplayed == "" {
			t.replayed = 1
			if len(o.misses) == 0 {
				t.matched = 1
			}
		}
		out[o.Grade] = out[o.Grade].plus(t)
	}
	return out
}

// report is what make fidelity prints.
func report(all []outcome) string {
	var b strings.Builder
	b.WriteString("| grade | total | replayed | matched | missed |\n|---|---:|---:|---:|---:|\n")
	counts := tallies(all)
	for _, grade := range []string{"A", "B", "C", "D"} {
		if t := counts[grade]; t.total > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", grade, t.total, t.replayed, t.matched, t.missed())
		}
	}
	b.WriteString("\nMissed:\n\n")
	for _, o := range all {
		if len(o.misses) > 0 {
			why := explained[o.N]
			if why == "" {
				why = "unexplained: " + strings.Join(o.misses, "; ")
			}
			fmt.Fprintf(&b, "- line %d (%s, %s): %s\n", o.N, o.Grade, o.Op, why)
		}
	}
	b.WriteString("\nNot replayed:\n\n")
	for _, o := range all {
		if o.unplayed != "" {
			fmt.Fprintf(&b, "- line %d (%s, %s): %s\n", o.N, o.Grade, o.Op, o.unplayed)
		}
	}
	return b.String()
}

// replay puts the request of an exchange to an emulator in the state before it, and
// compares the answers. A refused read of an account has two such states: the caller may
// not, or the account is too new to be seen.
func replay(t *testing.T, x *exchange) (unplayed string, misses []string) {
	t.Helper()
	unplayed, misses = replayIn(newWorld(t, x))
	if len(misses) > 0 && x.Status == http.StatusForbidden && x.Method == http.MethodGet && x.verb == "" &&
		x.after("serviceAccounts") != "" {
		w := newWorld(t, x)
		w.unready = true
		if u, m := replayIn(w); u == "" && len(m) == 0 {
			return "", nil
		}
	}
	return unplayed, misses
}

func replayIn(w *world) (unplayed string, misses []string) {
	x := w.x
	err := w.build()
	var r *http.Request
	if err == nil {
		r, err = w.request()
	}
	if u, ok := err.(unreplayable); ok {
		return string(u), nil
	}
	if err != nil {
		return "", []string{err.Error()}
	}
	got := w.send(r)
	if got.code == http.StatusNotImplemented && x.Status != http.StatusNotImplemented {
		return "the emulator has no " + x.Method + " of /" + strings.Join(collections(x.path), "/"), nil
	}
	if _, why, ok := strings.Cut(got.str("error_description"), "The emulator "); ok && got.code != x.Status {
		return "the emulator " + strings.TrimSuffix(why, "."), nil
	}
	if got.code != x.Status {
		return "", []string{fmt.Sprintf("status %d, recorded %d: %s", got.code, x.Status, got.raw)}
	}
	s := shape{
		exact: x.Grade != "B" && x.Note == "", policy: x.onPolicy() && x.host != hostStorage, wrote: x.setsPolicy(),
	}
	s.compare("", x.want, anyMap(got.body))
	for _, name := range []string{"content-type", "etag"} {
		if want := x.Headers[name]; want != "" && got.header.Get(name) != want {
			s.miss("header "+name, "%q, recorded %q", got.header.Get(name), want)
		}
	}
	return "", s.misses
}

// anyMap is m as a value that has no type of its own.
func anyMap(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

// collections are the segments of a path that name no resource.
func collections(path []string) []string {
	out := slices.Clone(path)
	for i := 2; i < len(out); i += 2 {
		out[i] = "*"
	}
	return out
}

// request is the recorded request, with what its authors took out put back.
func (w *world) request() (*http.Request, error) {
	x := w.x
	body, form, err := w.body()
	if err != nil {
		return nil, err
	}
	r := httptest.NewRequestWithContext(w.t.Context(), x.Method, x.url(), strings.NewReader(body))
	token := recordedOperator
	if x.Status == http.StatusForbidden && !w.unready {
		token = recordedNobody
	}
	if form {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r, nil
}

// body is what is sent.
func (w *world) body() (body string, form bool, err error) {
	x := w.x
	switch {
	case x.Request == nil && (x.Method == http.MethodGet || x.Method == http.MethodDelete):
		return "", false, nil
	case x.Request == nil && x.setsPolicy():
		return w.policyBody()
	case x.Request == nil && x.verb != "":
		return "{}", false, nil // getIamPolicy, disable, enable take nothing
	case x.Request == nil:
		return "", false, unreplayable("the body of the request was not recorded")
	case x.Request[0] == '"':
		body, err := w.form()
		return body, true, err
	}
	body = string(x.Request)
	if strings.Contains(body, "<base64 of the PEM X.509 certificate>") {
		_, certificate := certificate(w.t, epoch.Add(24*time.Hour))
		body = strings.Replace(body, "<base64 of the PEM X.509 certificate>", certificate, 1)
	}
	if strings.Contains(body, normalisedEtag) {
		body = strings.ReplaceAll(body, normalisedEtag, w.etag())
	}
	return body, false, nil
}

// policyBody is the request of a write that has its answer alone: Google answers the
// policy that was set.
func (w *world) policyBody() (string, bool, error) {
	x := w.x
	p := map[string]any{"bindings": x.want["bindings"], "version": x.want["version"]}
	if x.Status != http.StatusOK {
		role, _, ok := strings.Cut(strings.TrimPrefix(x.message(), "Role "), " is not supported")
		if !ok {
			return "", false, unreplayable("the body of the request was not recorded")
		}
		p = map[string]any{"bindings": []iam.Binding{{Role: role, Members: []string{"user:user@google.com"}}}}
	}
	var v any = p
	if x.Method == http.MethodPost {
		v = map[string]any{"policy": p}
	}
	raw, err := json.Marshal(v)
	return string(raw), false, err
}

// form fills in what a document leaves out of a form.
func (w *world) form() (string, error) {
	var text string
	if err := json.Unmarshal(w.x.Request, &text); err != nil {
		return "", err
	}
	key, err := pooledKey()
	if err != nil {
		return "", err
	}
	boundary := `{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"//storage.googleapis.com/projects/_/buckets/b",` +
		`"availablePermissions":["inRole:roles/storage.objectViewer"]}]}}`
	for from, to := range map[string]string{
		"assertion=JWT":                         "assertion=" + assertion(w.t, key, "gone", "gone@recorded-project.iam.gserviceaccount.com", epoch, nil),
		"=ORIGINAL":                             "=" + recordedOperator,
		"<percent-encoded JSON accessBoundary>": url.QueryEscape(boundary),
	} {
		text = strings.Replace(text, from, to, 1)
	}
	return text, nil
}

// etag is the one that the resource of the call has now.
func (w *world) etag() string {
	x := w.x
	address := x.url()
	verb := http.MethodGet
	if x.setsPolicy() {
		address, verb = strings.Replace(address, "setIamPolicy", "getIamPolicy", 1), http.MethodPost
	}
	r := w.do(recordedOperator, verb, address, "")
	if r.code != http.StatusOK {
		r = w.do(recordedOperator, http.MethodGet, address, "")
	}
	return r.str("etag")
}

// etagMicros undoes etagOf.
func etagMicros(etag string) int64 {
	raw, err := base64.StdEncoding.DecodeString(etag)
	if err != nil || len(raw) != 8 {
		return 0
	}
	raw[0] = 0
	return int64(binary.BigEndian.Uint64(raw))
}

// walkPolicies visits every policy in the state.
func walkPolicies(s *wire.State, visit func(*iam.Policy)) {
	s.Each(func(v any) {
		if p, ok := v.(*iam.Policy); ok {
			visit(p)
		}
	})
}
