package lifecycle_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
)

// A creation that is refused is no creation of unknown outcome: up fails with the refusal
// alone, nothing has to be taken down, and nobody waits for an account that was never made.
func TestRefusedCreation(t *testing.T) {
	t.Parallel()
	day := emulator.Delay{Min: 86401 * time.Second}
	for _, tt := range []struct {
		name  string
		fault emulator.Fault
		says  string
		takes time.Duration // at most
	}{
		{"quota for good", emulator.Fault{Code: 429}, "tried ", 4 * time.Minute},
		{"quota of a day", emulator.Fault{Code: 429, RetryAfter: day}, "Google asks to wait 24h0m1s", 10 * time.Second},
		{"denied", emulator.Fault{Code: 403}, "403", 10 * time.Second},
		{"invalid", emulator.Fault{Code: 400}, "400", 10 * time.Second},
		{"no such project", emulator.Fault{Code: 404}, "404", 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tt.fault.Do, tt.fault.Method = emulator.FaultAnswer, "iam.projects.serviceAccounts.create"
				if _, err := w.server.AddFault(tt.fault); err != nil {
					t.Fatal(err)
				}
				e := w.engine()
				plan := w.plan(e, byKey)
				begun := time.Now()
				_, err := e.Up(t.Context(), plan, w.options(plan))
				if err == nil || fault.Is(err, fault.Incomplete) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("up: %v; want the refusal alone, with %q", err, tt.says)
				}
				if took := time.Since(begun); took > tt.takes {
					t.Errorf("that took %s, want %s at most", took, tt.takes)
				}
				w.asBefore()
				if teardown, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil || !teardown.Already {
					t.Errorf("down: %v; want that the run is down", err)
				}
			})
		})
	}
}

// Whether a creation was cut off cannot be asked by repeating it where that is refused for a
// day. It is read then, for as long as a new account may not be shown.
func TestCutOffCreationThatCannotBeRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, made := range []bool{false, true} {
			m := newMachine(t, nil)
			m.server.SetLag(emulator.Lag{AccountRead: emulator.Delay{Min: time.Minute}})
			f := emulator.Fault{Do: emulator.FaultReset, After: made, Method: "iam.projects.serviceAccounts.create", Count: 1}
			if _, err := m.server.AddFault(f); err != nil {
				t.Fatal(err)
			}
			if _, err := m.server.AddFault(emulator.Fault{
				Do: emulator.FaultAnswer, Code: 429, RetryAfter: emulator.Delay{Min: 24 * time.Hour},
				Method: "iam.projects.serviceAccounts.create",
			}); err != nil {
				t.Fatal(err)
			}
			e := m.engine()
			plan := m.plan(e, byKey)
			begun := time.Now()
			if _, err := e.Up(t.Context(), plan, m.options(plan)); err == nil || fault.Is(err, fault.Incomplete) {
				t.Errorf("made %v: up: %v; want that it failed and was undone", made, err)
			}
			if took := time.Since(begun); took > 4*time.Minute {
				t.Errorf("made %v: that took %s", made, took)
			}
			if left := m.changed(); left != nil {
				t.Errorf("made %v: left:\n%s", made, strings.Join(left, "\n"))
			}
		}
	})
}

// An account that was seen and is not there any more is gone. A teardown in the first
// minutes of a run does not wait for it.
func TestAccountThatIsGoneAlready(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		w.remove(plan.Email)
		begun := time.Now()
		if _, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: time.Hour}); !fault.Is(err, fault.NotFound) {
			t.Errorf("renew: %v", err)
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("renew and down waited %s for an account that is gone", took)
		}
	})
}

// A policy write that is refused for a reason that lasts ends at once, and the error names the
// constraint or the member. One that may be about the new account is waited for, but no longer
// than the readiness may take.
func TestRefusedPolicyWrite(t *testing.T) {
	t.Parallel()
	const (
		invalid = `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":%q%s}}`
		owner   = `,"details":[{"@type":"type.googleapis.com/google.cloudresourcemanager.v1.ProjectIamPolicyError",` +
			`"member":"user:guest@acme.example","type":"ORG_MUST_INVITE_OWNERS"}]`
		domain = `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"One or more users named in the policy do ` +
			`not belong to a permitted customer.","details":[{"@type":"type.googleapis.com/google.rpc.PreconditionFailure",` +
			`"violations":[{"type":"constraints/iam.allowedPolicyMemberDomains",` +
			`"subject":"orgpolicy:projects/acme-agents?configvalue=x","description":"User x is not in permitted organization."}]}]}}`
		stale = `{"error":{"code":412,"errors":[{"reason":"conditionNotMet"}],"message":"One or more users named in the ` +
			`policy do not belong to a permitted customer."}}`
	)
	for _, tt := range []struct {
		name   string
		code   int
		answer func(account, other string) string
		says   string
		takes  time.Duration // at most
		waits  time.Duration // at least
	}{
		{"domain restriction", 400, func(string, string) string { return domain },
			"User x is not in permitted organization. (400 FAILED_PRECONDITION constraints/iam.allowedPolicyMemberDomains)",
			5 * time.Second, 0},
		{"domain restriction of a bucket", 412, func(string, string) string { return stale },
			"as if somebody had changed it, but nobody has", time.Minute, 0},
		{"member of somebody else's", 400, func(_, other string) string {
			return fmt.Sprintf(invalid, "Service account "+other+" does not exist.", "")
		}, "which is none of this run's", 5 * time.Second, 0},
		{"member in a detail", 400, func(string, string) string { return fmt.Sprintf(invalid, "Not valid.", owner) },
			"user:guest@acme.example, which is none of this run's", 5 * time.Second, 0},
		{"the new account", 400, func(account, _ string) string {
			return fmt.Sprintf(invalid, "Service account "+account+" does not exist.", "")
		}, "giving up after", 90 * time.Second, time.Minute},
		{"nobody", 400, func(string, string) string { return fmt.Sprintf(invalid, "Not valid.", "") },
			"giving up after", 90 * time.Second, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine()
				plan := w.plan(e, byKey)
				options := w.options(plan)
				options.ReadyTimeout = time.Minute
				refuse := func(r *http.Request, other string) *http.Response {
					return &http.Response{
						StatusCode: tt.code, Request: r, Header: http.Header{},
						Body: io.NopCloser(strings.NewReader(tt.answer(plan.Email, other))),
					}
				}
				w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
					if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/iam") {
						return nil, nil
					}
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return nil, err
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
					if !bytes.Contains(body, []byte(plan.Email)) {
						return nil, nil // the undoing
					}
					others := regexp.MustCompile(`serviceAccount:([^"]*)`).FindAllSubmatch(body, -1)
					for _, m := range others {
						if string(m[1]) != plan.Email {
							return refuse(r, string(m[1])), nil
						}
					}
					return refuse(r, ""), nil
				}, nil)
				begun := time.Now()
				_, err := e.Up(t.Context(), plan, options)
				took := time.Since(begun)
				if err == nil || fault.Is(err, fault.Incomplete, fault.Conflict) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("up: %v; want %q", err, tt.says)
				}
				if took > tt.takes || took < tt.waits {
					t.Errorf("that took %s, want %s to %s", took, tt.waits, tt.takes)
				}
				w.asBefore()
			})
		})
	}
}

// A permission that Google refuses to be asked about does not keep the others of the role from
// being proved. Of permissions that are listed one by one, it is said which was not.
func TestPermissionsThatCannotBeAskedAbout(t *testing.T) {
	t.Parallel()
	for grant, want := range map[string]journal.Readiness{
		`role = "roles/browser"`: journal.Proved,
		`permissions = ["resourcemanager.projects.get", "resourcemanager.projects.update"]`: journal.NotProvable,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
				if want == journal.NotProvable && strings.HasSuffix(r.URL.Path, ":testIamPermissions") &&
					bytes.Contains(body(t, r), []byte("resourcemanager.projects.update")) &&
					r.Header.Get("Authorization") != "Bearer "+operator(w) {
					return answer(r, 400, `{"error":{"code":400,"status":"INVALID_ARGUMENT"}}`), nil
				}
				return nil, nil
			}, nil)
			result, _ := w.up("version = 1\n[task]\nname = \"looks\"\nproject = \"acme-agents\"\nttl = \"1h\"\n[[grant]]\n" +
				grant + "\nresource = \"projects/acme-agents\"\n[credentials]\ndeliver = \"key\"\n")
			got := result.Grants[0]
			if got.State != want || want == journal.NotProvable && !strings.Contains(got.Why, "resourcemanager.projects.update") {
				t.Errorf("%s: %s %q, want %s", grant, got.State, got.Why, want)
			}
		})
	}
}

// operator returns the operator's token.
func operator(w *world) string {
	_, token := w.server.Operator()
	return token
}
