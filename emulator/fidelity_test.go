package emulator

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
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

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

var reportFile = flag.String("fidelity", "", "write the report of TestFidelity to this `file`")

// explained are the recorded answers that the emulator does not give, and why it is
// believed to be right.
var explained = map[string]string{
	"28": "a key that is asked for with publicKeyType comes with publicKeyData, as the reference of keys.get says; the recording leaves it out",
	"39": "roles/resourcemanager.projectAdmin is not among Google's predefined roles, and a role that does not exist is refused with 400",
	"43": "a client that sends prettyPrint=false gets errors[] beside the message, as in exchange 19, which is real; the recording has none",
	"70": "a binding without members grants nothing and is dropped; the recording keeps it",
	"78": "tables take no conditions, and a policy with a condition has to say version 3; the recording takes one with version 1",
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
		o.unplayed, o.misses = replay(t, x)
		all = append(all, o)
	}
	for _, o := range all {
		why, known := explained[o.ID]
		switch {
		case o.unplayed != "" && known:
			t.Errorf("exchange %s is explained (%s), and was not replayed: %s", o.ID, why, o.unplayed)
		case len(o.misses) > 0 && !known:
			t.Errorf("exchange %s, grade %s, %s:\n\t%s", o.ID, o.Grade, o.About, strings.Join(o.misses, "\n\t"))
		case len(o.misses) == 0 && known:
			t.Errorf("exchange %s matches, and is explained as a miss: %s", o.ID, why)
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

// checkDocument compares the document with a report.
func checkDocument(t *testing.T, report string) {
	t.Helper()
	if !strings.Contains(readDocument(t), report) {
		t.Errorf("%s does not hold this report:\n%s", fidelityDocument, report)
	}
}

// What is not the answer misses, of whatever exchange: with a key more, and with another status.
func TestFidelityMissesPlantedAnswers(t *testing.T) {
	t.Parallel()
	for _, x := range readExchanges(t) {
		more, another := *x, *x
		answer := maps.Clone(x.want)
		answer["planted"] = "x"
		more.Answer = answer
		another.Status++
		for name, planted := range map[string]*exchange{"a key more": &more, "another status": &another} {
			if unplayed, misses := replay(t, planted); unplayed == "" && len(misses) == 0 {
				t.Errorf("exchange %s (%s) matches with %s", x.ID, x.About, name)
			}
		}
	}
}

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
	for _, grade := range []string{"A", "B", "C"} {
		if t := counts[grade]; t.total > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", grade, t.total, t.replayed, t.matched, t.missed())
		}
	}
	b.WriteString("\nMissed:\n\n")
	for _, o := range all {
		if len(o.misses) > 0 {
			why := explained[o.ID]
			if why == "" {
				why = "unexplained: " + strings.Join(o.misses, "; ")
			}
			fmt.Fprintf(&b, "- exchange %s (%s, %s): %s\n", o.ID, o.Grade, o.About, why)
		}
	}
	b.WriteString("\nNot replayed:\n\n")
	for _, o := range all {
		if o.unplayed != "" {
			fmt.Fprintf(&b, "- exchange %s (%s, %s): %s\n", o.ID, o.Grade, o.About, o.unplayed)
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
	var s shape
	s.compare("", x.Answer, anyMap(got.body))
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
	if disabled := x.given(evidence.GivenSelfDisabled); disabled || x.given(evidence.GivenSelf) {
		a := w.account(x.after("serviceAccounts"))
		token, _ = w.wire.State().IssueFor(a, []string{"https://www.googleapis.com/auth/cloud-platform"}, w.Now(), time.Hour)
		a.Disabled = disabled
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
	case x.Form != nil:
		body, err := w.form()
		return body, true, err
	case x.request == nil && (x.Method == http.MethodGet || x.Method == http.MethodDelete):
		return "", false, nil
	case x.request == nil && x.setsPolicy():
		return w.policyBody()
	case x.request == nil && x.verb != "":
		return "{}", false, nil // getIamPolicy, disable, enable take nothing
	case x.request == nil:
		return "", false, unreplayable("the body of the request was not recorded")
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x.Request); err != nil {
		return "", false, err
	}
	body = out.String()
	if strings.Contains(body, "<certificate>") {
		_, certificate := certificate(w.t, epoch.Add(24*time.Hour))
		body = strings.Replace(body, "<certificate>", certificate, 1)
	}
	if strings.Contains(body, "<etag>") {
		body = strings.ReplaceAll(body, "<etag>", w.etag())
	}
	return body, false, nil
}

// policyBody is the request of a write that has its answer alone: Google answers the
// policy that was set.
func (w *world) policyBody() (string, bool, error) {
	x := w.x
	p := map[string]any{"bindings": x.want["bindings"], "version": x.want["version"]}
	if x.Status != http.StatusOK {
		role, ok := "", false
		for _, fact := range x.Given {
			role, ok = strings.CutPrefix(fact, evidence.GivenNotForResource)
		}
		if !ok {
			return "", false, unreplayable("the body of the request was not recorded")
		}
		p = map[string]any{"bindings": []iam.Binding{{Role: role, Members: []string{"user:" + recordedPerson}}}}
	}
	var v any = p
	if x.Method == http.MethodPost {
		v = map[string]any{"policy": p}
	}
	raw, err := json.Marshal(v)
	return string(raw), false, err
}

// form fills in what a form was recorded without.
func (w *world) form() (string, error) {
	key, err := pooledKey()
	if err != nil {
		return "", err
	}
	form := url.Values{}
	for field, value := range w.x.Form {
		switch value {
		case "<assertion>":
			value = assertion(w.t, key, "gone", "gone@"+recordedProject+".iam.gserviceaccount.com", epoch, nil)
		case "<token>":
			value = recordedOperator
			if strings.Contains(string(w.x.response), `"expires_in"`) { // documented for the tokens of accounts alone
				st := w.wire.State()
				value, _ = st.IssueFor(st.AddAccount(recordedProject, "broker"), nil, epoch, time.Hour)
			}
		case "<boundary>":
			value = `{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"//storage.googleapis.com/projects/_/buckets/b",` +
				`"availablePermissions":["inRole:roles/storage.objectViewer"]}]}}`
		}
		form.Set(field, value)
	}
	return form.Encode(), nil
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
