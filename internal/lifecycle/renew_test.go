package lifecycle_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

// A renewal moves the end of all that ends by itself, and of nothing else: before the old
// end as after it everything works, and at the new end nothing does.
func TestRenew(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"key": byKey, "token": byToken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				result, plan := w.up(source)
				before := w.safe.get(result.Dir)
				time.Sleep(20 * time.Minute) // of one hour, or two
				renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour, MaxTTL: 4 * time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				ends := renewal.Run.Expires()
				if !renewal.Was.Equal(plan.Expires) || ends.Sub(time.Now().Add(3*time.Hour)).Abs() > 2*time.Second {
					t.Errorf("the end was moved from %s to %s", renewal.Was, ends)
				}
				account, err := w.engine().Cloud.Account(t.Context(), plan.Task.Project, plan.Email)
				if mark, ok := grants.ParseMark(account.Description); err != nil || !ok || !mark.Expires.Equal(ends) {
					t.Errorf("the mark is %q (%v)", account.Description, err)
				}
				snapshot := string(w.snapshot())
				if old := strings.ReplaceAll(policy.UntilExpression(plan.Expires), `"`, `\"`); strings.Contains(snapshot, old) {
					t.Error("something ends when the run was to end")
				}
				for _, b := range renewal.Run.Bindings {
					bounded := b.Binding.Condition.Expression != ""
					if current := strings.Contains(b.Binding.Condition.Expression, policy.UntilExpression(ends)); bounded && current != b.Effect.Standing() {
						t.Errorf("%s on %s is %q in the journal", b.Binding.Condition.Expression, b.Resource, b.Effect)
					}
				}

				d := w.safe.get(result.Dir)
				if !d.Expires.Equal(ends) {
					t.Errorf("the delivery says that it ends at %s", d.Expires)
				}
				operator := w.engine().Cloud
				another := func() (grants.Token, error) {
					if name == "key" {
						return client(t, w).KeyToken(t.Context(), d.Key)
					}
					return operator.AccessToken(t.Context(), plan.Email, grants.TokenLifetime)
				}
				if name == "key" {
					if d.Key.Reveal() == before.Key.Reveal() {
						t.Error("the delivery has the old key")
					}
					if _, err := client(t, w).KeyToken(t.Context(), before.Key); !fault.Is(err, fault.Unauthenticated) {
						t.Errorf("with the old key: %v", err)
					}
				}
				time.Sleep(time.Until(ends.Add(-time.Second)))
				token, err := another()
				if err != nil {
					t.Fatalf("a second before the new end: %v", err)
				}
				for i, code := range w.try(token.Value) {
					if code != http.StatusOK {
						t.Errorf("a second before the new end %s is answered with %d", uses[i].url, code)
					}
				}
				time.Sleep(time.Second)
				for i, code := range w.try(token.Value) {
					if bounded := plan.Task.Grants[i].Bounded(); bounded != (code == http.StatusForbidden) {
						t.Errorf("at the new end %s is answered with %d", uses[i].url, code)
					}
				}
				if _, err := another(); !fault.Is(err, fault.Denied, fault.Unauthenticated) {
					t.Errorf("at the new end another token is had: %v", err)
				}
				if _, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: time.Hour}); !fault.Is(err, fault.NotFound) {
					t.Errorf("renewing what has ended: %v", err)
				}
				if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
					t.Fatal(err)
				}
				// What was published stays.
				if strings.Contains(string(w.snapshot()), plan.Email) || w.safe.count() > 0 {
					t.Error("something is left after down")
				}
			})
		})
	}
}

// client returns a client that brings no login of its own.
func client(t *testing.T, w *world) *gcp.Client {
	t.Helper()
	c, err := gcp.New(gcp.Config{Transport: w.wire, EmulatorHost: "emulator.test:80", UserAgent: "sandbox"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What may not be renewed is refused, and nothing is written.
func TestRenewRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey) // its ttl is an hour
		up := string(w.snapshot())
		refused := func(what string, o lifecycle.RenewOptions, kind fault.Kind, says string) {
			t.Helper()
			renewal, err := w.engine().Renew(t.Context(), plan.Run, o)
			if renewal != nil || !fault.Is(err, kind) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %s", what, err, kind)
			}
			if run, err := w.engine().Journals.Read(plan.Run); err != nil || len(run.Renewals) > 0 {
				t.Errorf("%s: the journal says %+v, %v", what, run.Renewals, err)
			}
		}
		refused("an end that is not later", lifecycle.RenewOptions{TTL: 30 * time.Minute}, fault.Usage, "not before")
		time.Sleep(10 * time.Minute)
		refused("an end past --max-ttl", lifecycle.RenewOptions{TTL: 2 * time.Hour, MaxTTL: 2 * time.Hour}, fault.Usage, "would last 2h10m")
		if got := string(w.snapshot()); got != up {
			t.Error("something was written")
		}

		// What somebody has taken away is not bound anew.
		e := w.engine()
		doc, err := e.Cloud.ReadPolicy(t.Context(), plan.Edits[0].Resource)
		if err != nil {
			t.Fatal(err)
		}
		doc.RemoveAccount(plan.Email, "")
		if _, err := e.Cloud.WritePolicy(t.Context(), plan.Edits[0].Resource, doc); err != nil {
			t.Fatal(err)
		}
		refused("a grant that was revoked", lifecycle.RenewOptions{TTL: 2 * time.Hour}, fault.Precondition, "somebody has removed it")
		if err := e.Cloud.DisableAccount(t.Context(), plan.Task.Project, plan.Email); err != nil {
			t.Fatal(err)
		}
		refused("a disabled account", lifecycle.RenewOptions{TTL: 2 * time.Hour}, fault.Precondition, "is disabled")
		if _, err := e.Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		refused("a run that is down", lifecycle.RenewOptions{TTL: 2 * time.Hour}, fault.NotFound, "is not up")
		w.asBefore()
	})
}

// A token that needed nobody to renew it may need somebody now.
func TestRenewKeepsTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byToken)
		kept := 0
		keep := func(_ context.Context, run *journal.Run, record func(journal.ProcessStarted) error) error {
			kept++
			if !run.Expires().After(plan.Expires) {
				t.Errorf("who keeps the delivery is told of the end %s", run.Expires())
			}
			if kept == 2 {
				return errors.New("out of processes")
			}
			return record(journal.ProcessStarted{Role: journal.RoleServer, PID: 4711, Start: "then"})
		}
		renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour, Keep: keep})
		if err != nil || len(renewal.Run.Processes) != 1 {
			t.Fatalf("renew: %v; processes: %+v", err, renewal)
		}
		renewal, err = w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 4 * time.Hour, Keep: keep})
		if err == nil || renewal == nil || !strings.Contains(strings.Join(fault.Hints(err), "\n"), "serve --refresh") {
			t.Errorf("where nothing could be started: %v, %+v", err, fault.Hints(err))
		}
		if ends := renewal.Run.Expires(); ends.Sub(time.Now().Add(4*time.Hour)).Abs() > 2*time.Second {
			t.Errorf("the run ends at %s", ends)
		}
	})
}

// Who asks for as much as a run may have gets that, and no more; what is there already is not moved.
func TestRenewUpToTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey) // its ttl is two hours
		time.Sleep(10 * time.Minute)
		o := lifecycle.RenewOptions{TTL: 3 * time.Hour, MaxTTL: 150 * time.Minute, UpToMax: true}
		renewal, err := w.engine().Renew(t.Context(), plan.Run, o)
		if err != nil {
			t.Fatal(err)
		}
		limit := lifecycle.Latest(renewal.Run.Opened, o.MaxTTL)
		if got := renewal.Run.Expires(); !got.Equal(limit) || (got.Sub(plan.Began)-o.MaxTTL).Abs() > time.Second {
			t.Errorf("it expires %s after it began, want %s", got.Sub(plan.Began), o.MaxTTL)
		}
		if _, err := w.engine().Renew(t.Context(), plan.Run, o); !fault.Is(err, fault.Usage) {
			t.Errorf("at the limit: %v", err)
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// An operator who may mint access tokens of every account, but no identity tokens, may mint both of a run's account by
// a binding of its own: a renewal moves that one's end too.
func TestRenewKeepsIdentityTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const audience = "https://reports.example"
		w := newWorld(t)
		member, _ := w.server.Operator()
		host, _, err := resource.Parse("projects/acme-agents")
		if err != nil {
			t.Fatal(err)
		}
		mints := review.OperatorRole{Parent: "projects/acme-agents", ID: "mintsAccessTokens", Title: "Mints", Permissions: []string{delivery.MintPermission}}
		w.empower(review.OperatorAccess{Roles: []review.OperatorRole{mints}, Bindings: []review.OperatorBinding{
			{Resource: host, Binding: policy.Binding{Role: mints.Name(), Member: member}},
		}}, "", "")

		e := w.engine()
		plan := w.plan(e, strings.Replace(byKey, `deliver = "key"`, "deliver = \"metadata\"\naudiences = [\""+audience+"\"]", 1))
		o := w.options(plan)
		o.Metadata = "127.0.0.1:1"
		if _, err := e.Up(t.Context(), plan, o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour, MaxTTL: 4 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if got := renewal.Run.Opened.Audiences; !slices.Equal(got, []string{audience}) {
			t.Errorf("the renewed run has the audiences %q", got)
		}
		time.Sleep(time.Until(plan.Expires.Add(time.Minute)))
		if _, err := w.engine().Cloud.IDToken(t.Context(), plan.Email, audience); err != nil {
			t.Errorf("past the old end: %v", err)
		}
		time.Sleep(time.Until(renewal.Run.Expires()))
		if _, err := w.engine().Cloud.IDToken(t.Context(), plan.Email, audience); !fault.Is(err, fault.Denied) {
			t.Errorf("at the new end an identity token is had: %v", err)
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}
