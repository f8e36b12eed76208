package gcp

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/secret"
)

func TestEveryPageOfAccounts(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"":   `{"accounts":[{"email":"a@p.iam.gserviceaccount.com","uniqueId":"1","projectId":"p","description":"d","disabled":true}],"nextPageToken":"t1"}`,
		"t1": `{"nextPageToken":"t2"}`,
		"t2": `{"accounts":[{"email":"b@p.iam.gserviceaccount.com","uniqueId":"2","projectId":"p"}]}`,
	}
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		respond(w, 200, pages[r.URL.Query().Get("pageToken")])
	})))
	got, err := c.Accounts(t.Context(), "p")
	want := []grants.Account{
		{Email: "a@p.iam.gserviceaccount.com", UniqueID: "1", Project: "p", Description: "d", Disabled: true},
		{Email: "b@p.iam.gserviceaccount.com", UniqueID: "2", Project: "p"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestAccountsOfAProject(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	a := newAccount(t, c)
	all, err := c.Accounts(t.Context(), hosting)
	if err != nil || !slices.Contains(all, a) {
		t.Errorf("%s is not among %v, %v", a.Email, all, err)
	}
	if _, err := c.As(StaticToken(secret.New("ya29.emulator-mara"))).Accounts(t.Context(), hosting); !fault.Is(err, fault.Denied) {
		t.Errorf("listed by somebody who may not: %v", err)
	}
}

func TestSearchPolicies(t *testing.T) {
	t.Parallel()
	_, c := company(t)
	a := newAccount(t, c)
	bucket := name(t, "gs://acme-reports")
	doc, err := c.ReadPolicy(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	doc.Add(policy.Binding{Role: "roles/storage.objectViewer", Member: a.Member()})
	if _, err := c.WritePolicy(t.Context(), bucket, doc); err != nil {
		t.Fatal(err)
	}
	got, err := c.SearchPolicies(t.Context(), name(t, "organizations/123456789012"), a.Email)
	want := []Match{{bucket.Full(), []policy.Binding{{Role: "roles/storage.objectViewer", Member: a.Member()}}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := c.As(noah).SearchPolicies(t.Context(), name(t, "organizations/123456789012"), a.Email); !fault.Is(err, fault.Denied) {
		t.Errorf("searched by somebody who may not: %v", err)
	}
}

// Pages come until there is none.
func TestEveryPageOfASearch(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"":   `{"results":[{"resource":"//storage.googleapis.com/b","policy":{"bindings":[{"role":"r","members":["m","n"],"condition":{"title":"t","expression":"e"}}]}}],"nextPageToken":"t1"}`,
		"t1": `{"nextPageToken":"t2"}`,
		"t2": `{"results":[{"resource":"//pubsub.googleapis.com/projects/p/topics/t"}]}`,
	}
	c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		respond(w, 200, pages[r.URL.Query().Get("pageToken")])
	})))
	got, err := c.SearchPolicies(t.Context(), name(t, "projects/acme-agents"), "x")
	cond := policy.Condition{Title: "t", Expression: "e"}
	want := []Match{
		{"//storage.googleapis.com/projects/_/buckets/b", []policy.Binding{{Role: "r", Member: "m", Condition: cond}, {Role: "r", Member: "n", Condition: cond}}},
		{Resource: "//pubsub.googleapis.com/projects/p/topics/t"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestClockIsGoogles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ahead time.Duration
		c := newTestClient(t, inMemory(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			respond(w, 404, "{}")
		})))
		if got := c.Clock(); !got.Equal(time.Now()) {
			t.Errorf("before any answer it is %s", got)
		}
		for _, ahead = range []time.Duration{0, 24 * time.Hour, -24 * time.Hour} {
			_, _ = c.Account(t.Context(), hosting, agent) // only its Date matters
			if got := time.Until(c.As(noah).Clock()); (got - ahead).Abs() > time.Second {
				t.Errorf("Google's clock is ahead by %s, want %s", got, ahead)
			}
		}
	})
}
