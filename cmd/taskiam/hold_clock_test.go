package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// endsTask has one grant, which ends by itself; credentials and more grants follow it.
const endsTask = `version = 1
[task]
name    = "ends"
project = "acme-agents"
ttl     = "40m"
[[grant]]
role     = "roles/secretmanager.secretAccessor"
resource = "projects/acme-agents/secrets/api-key"
`

// setClock sets the emulator's clock by so much ahead of this machine's.
func (s *stage) setClock(ahead time.Duration) {
	s.t.Helper()
	s.asOperator(request{"POST", "http://" + s.host + "/_emulator/clock", fmt.Sprintf(`{"set":%q}`, time.Now().Add(ahead).UTC().Format(time.RFC3339Nano))})
}

// TestWrongClock has the program as it is shipped meet a cloud that says it is another
// day: what it grants ends by the cloud's clock.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)
	before := s.snapshot()
	task := s.write("task.toml", endsTask+"[credentials]\ndeliver = \"token\"\n")
	for _, ahead := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		s.setClock(ahead)
		began := s.now()
		o := s.taskiam("up", "--json", "--quiet", task)
		ended := s.now()
		var run struct {
			runDocument
			Expires time.Time
			Ahead   int64 `json:"clock_ahead_seconds"`
		}
		must(t, json.Unmarshal([]byte(o.stdout), &run))
		if o.code != 0 || !strings.Contains(o.stderr, "taskiam: warning: this machine's clock is 24h0m0s ") {
			t.Errorf("%s: up ended with %d and said %q", ahead, o.code, o.stderr)
		}
		if off := time.Duration(run.Ahead)*time.Second - ahead; off.Abs() > time.Minute {
			t.Errorf("%s: the cloud's clock is said to be %ds ahead", ahead, run.Ahead)
		}
		// A run ends at a whole second.
		if e := run.Expires.Add(-40 * time.Minute); e.Before(began.Add(-time.Second)) || e.After(ended.Add(time.Second)) {
			t.Errorf("%s: brought up between %s and %s, for 40m, the run ends at %s", ahead, began, ended, run.Expires)
		}
		policy := s.asOperator(request{"GET", "https://secretmanager.googleapis.com/v1/projects/acme-agents/secrets/api-key:getIamPolicy?options.requestedPolicyVersion=3", ""})
		if until := `timestamp(\"` + run.Expires.Format(time.RFC3339) + `\")`; !strings.Contains(policy, until) {
			t.Errorf("%s: no condition has %s:\n%s", ahead, until, policy)
		}

		if got := s.ok("status", run.Run); !strings.Contains(got, "this machine's was 24h") || strings.Contains(got, "(over") {
			t.Errorf("%s: status says\n%s", ahead, got)
		}
		token := s.token(run.runDocument)
		s.allow(token, readSecret)
		s.ok("emulator", "advance", "41m")
		if a := s.call(token, readSecret); a.code != 401 && a.code != 403 {
			t.Errorf("%s: past the end the token is answered with %d", ahead, a.code)
		}
		// Whatever this machine's clock says, no token is made that outlives the run.
		if o := s.taskiam("token", run.Run); o.code == 0 {
			t.Errorf("%s: past the end another token is had", ahead)
		}
		s.ok("down", run.Run)
		s.sameCloud(before)
	}
}

// TestEndsByItself loses everything that taskiam knew of a run: what the task has still
// ends, what it copied of its key included.
func TestEndsByItself(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	publish := request{"POST", topicAPI + ":publish", `{"messages":[{"data":"aGk="}]}`}
	run := s.up(s.write("task.toml", endsTask+"[[grant]]\nrole = \"roles/pubsub.publisher\"\nresource = \"projects/acme-agents/topics/reports\"\nunbounded = \"accept\"\n[credentials]\ndeliver = \"key\"\n"))
	copied := s.signer(run)
	must(t, os.RemoveAll(s.path("state", "taskiam", "runs")))
	must(t, os.RemoveAll(s.path("runtime", "taskiam")))
	s.ok("emulator", "advance", "39m")
	last := s.exchanged(copied)
	s.allow(last, readSecret)
	s.allow(last, publish)
	s.past(time.Minute)
	s.refuses(
		refusal{"what is time-boxed, past the end", last, readSecret, 403, "IAM_PERMISSION_DENIED"},
		refusal{"the key, past the end", "", copied.exchange(s.now()), 400, "invalid_grant"},
		refusal{"what the key signs itself, past the end", copied.jwt("https://pubsub.googleapis.com/", s.now()), publish, 401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"},
	)
	s.allow(last, publish)
	s.ok("emulator", "advance", "60m")
	s.refuses(refusal{"the last token, an hour past the end", last, publish, 401, "ACCESS_TOKEN_EXPIRED"})
}

// TestOffersWork takes up what plan offers for what cannot end by itself: it can be used
// for that, and ends.
func TestOffersWork(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := newStage(t)
	// What was published stays; of the run nothing may.
	gone := func() {
		t.Helper()
		if strings.Contains(s.snapshot(), "ti-offers-") {
			t.Errorf("something of the run is left:\n%s", s.snapshot())
		}
	}
	publish := request{"POST", topicAPI + ":publish", `{"messages":[{"data":"aGk="}]}`}
	rows := request{"GET", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales/tables/orders/data", ""}
	const header = "version = 1\n[task]\nname = \"offers\"\nproject = \"acme-agents\"\nttl = \"40m\"\n[credentials]\ndeliver = \"token\"\n"
	asks := s.write("asks.toml", header+`
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
[[grant]]
role      = "roles/bigquery.dataViewer"
resource  = "projects/acme-data/datasets/sales/tables/orders"
unbounded = "accept"
`)
	var plan struct {
		Edits []struct {
			Bindings []struct {
				Offer *struct{ TOML, Widens string }
			}
		}
	}
	must(t, json.Unmarshal([]byte(s.ok("plan", "--json", asks)), &plan))
	offered := header
	for _, e := range plan.Edits {
		for _, b := range e.Bindings {
			if b.Offer == nil || b.Offer.Widens == "" {
				t.Fatalf("an offer is missing: %+v", plan)
			}
			offered += "\n" + b.Offer.TOML
		}
	}
	shown := s.ok("plan", asks)
	for _, e := range plan.Edits {
		indented := strings.ReplaceAll("\n"+strings.TrimSpace(e.Bindings[0].Offer.TOML), "\n", "\n      ")
		if !strings.Contains(shown, indented) {
			t.Errorf("plan does not show%s", indented)
		}
	}

	run := s.up(s.write("offered.toml", offered))
	token := s.token(run)
	s.allow(token, publish)
	s.allow(token, rows)
	if a := s.call(token, request{"GET", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales/tables", ""}); a.code != 403 {
		t.Errorf("listing the tables, which the offer says it does not cover, is answered with %d", a.code)
	}
	s.ok("emulator", "advance", "39m")
	s.allow(token, publish)
	s.ok("emulator", "advance", "90s")
	for _, r := range []request{publish, rows} {
		if a := s.call(token, r); a.code != 401 && a.code != 403 {
			t.Errorf("past the end %s is answered with %d", r.url, a.code)
		}
	}
	s.ok("down", run.Run)
	gone()

	// The unbounded grants themselves work, too.
	run = s.up(asks, "--no-wait")
	token = s.token(run)
	s.allow(token, publish)
	s.allow(token, rows)
	s.ok("down", run.Run)
	gone()
}

// TestTokenDoesNotOutliveTheRun asks for tokens as somebody who may always mint, on a
// machine whose clock is behind.
func TestTokenDoesNotOutliveTheRun(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	run := s.up(s.write("task.toml", endsTask+"[credentials]\ndeliver = \"token\"\n"))
	s.vars["TASKIAM_EMULATOR_TOKEN_FILE"] = s.write("noah", "ya29.emulator-noah")
	token := func() (string, time.Time) {
		var doc struct {
			Token   string
			Expires time.Time
		}
		o := s.taskiam("token", "--json", run.Run)
		s.said.Reset() // a token is what was asked for
		if o.code == 0 {
			must(t, json.Unmarshal([]byte(o.stdout), &doc))
		}
		return doc.Token, doc.Expires
	}
	ends := s.now().Add(40 * time.Minute)
	s.asOperator(request{"POST", "http://" + s.host + "/_emulator/clock", `{"advance":"30m"}`})
	if got, expires := token(); got == "" || expires.After(ends.Add(time.Second)) {
		t.Errorf("the token ends at %s, and the run at %s", expires, ends)
	}
	s.asOperator(request{"POST", "http://" + s.host + "/_emulator/clock", `{"advance":"11m"}`})
	if got, expires := token(); got != "" {
		t.Errorf("past the end of the run, a token that ends at %s is had", expires)
	}
}
