package lifecycle_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
)

// What was once left out of the program without any test that noticed.

// rewritten returns an answer with another body.
func rewritten(t *testing.T, answer *http.Response, change func([]byte) []byte) *http.Response {
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	b = change(b)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	answer.Header.Del("Content-Length")
	return answer
}

// A renewal moves every binding that a resource has of the run, and the mark before any.
func TestRenewMovesAllAfterTheMark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(strings.Replace(byToken, "[credentials]",
			"[[grant]]\nrole = \"roles/storage.objectViewer\"\nresource = \"gs://acme-reports/2025/\"\n[credentials]", 1))
		var mu sync.Mutex
		var order []string
		w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/serviceAccounts/"):
				order = append(order, "mark")
			case setsPolicy(r):
				order = append(order, "policy")
			}
			return answer, nil
		})
		renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if len(order) < 2 || order[0] != "mark" {
			t.Errorf("the order of writes was %v", order)
		}
		w.wire.step(nil, nil)
		for _, edit := range plan.Edits {
			doc, err := w.engine().Cloud.ReadPolicy(t.Context(), edit.Resource)
			if err != nil {
				t.Fatal(err)
			}
			all := doc.Account(plan.Email, "")
			if len(all) != len(edit.Bindings) {
				t.Errorf("on %s there is %+v", edit.Resource, all)
			}
			for _, b := range all {
				if !b.Condition.IsZero() && !strings.Contains(b.Condition.Expression, policy.UntilExpression(renewal.Run.Expires())) {
					t.Errorf("on %s this was not moved: %+v", edit.Resource, b)
				}
			}
		}
	})
}

// A key that Google says to be good for longer than the run is not delivered.
func TestKeyThatLastsLonger(t *testing.T) {
	t.Parallel()
	valid := regexp.MustCompile(`("validBeforeTime": ?")\d{4}`)
	longer := func(t *testing.T) func(int, *http.Request, *http.Response) (*http.Response, error) {
		return func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/keys:upload") {
				return answer, nil
			}
			return rewritten(t, answer, func(b []byte) []byte { return valid.ReplaceAll(b, []byte("${1}2199")) }), nil
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.wire.step(nil, longer(t))
		e := w.engine()
		plan := w.plan(e, byKey)
		if result, err := e.Up(t.Context(), plan, w.options(plan)); err == nil || !strings.Contains(err.Error(), "2199") {
			t.Errorf("up: %+v, %v", result, err)
		}
		w.asBefore()
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		w.wire.step(nil, longer(t))
		if renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour}); err == nil || renewal != nil {
			t.Errorf("renew: %+v, %v", renewal, err)
		}
	})
}

// Up believes a policy that is read back, and not the answer to the write.
func TestUpReadsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		written, read := false, false
		w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(r.URL.Path, "secrets/api-key:") {
				return answer, nil
			}
			if setsPolicy(r) {
				written = true
			} else if written && !read && strings.HasSuffix(r.URL.Path, ":getIamPolicy") {
				read = true
				return rewritten(t, answer, func(b []byte) []byte {
					doc := decode(t, b)
					for _, binding := range doc["bindings"].([]any) {
						delete(binding.(map[string]any), "condition")
					}
					bare, err := json.Marshal(doc)
					if err != nil {
						t.Error(err)
					}
					return bare
				}), nil
			}
			return answer, nil
		})
		e := w.engine()
		plan := w.plan(e, byToken)
		if result, err := e.Up(t.Context(), plan, w.options(plan)); err == nil || !strings.Contains(err.Error(), "dropped the condition") {
			t.Errorf("up: %+v, %v", result, err)
		}
		w.asBefore()
	})
}

// Down looks again at the end: an account that is said to be deleted and is there is left.
func TestDownLooksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byToken)
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodDelete || !strings.Contains(r.URL.Path, "/serviceAccounts/") {
				return nil, nil
			}
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
				Body: io.NopCloser(strings.NewReader("{}")),
			}, nil
		}, nil)
		down, err := w.engine().Down(t.Context(), plan.Run, 0)
		if !fault.Is(err, fault.Incomplete) || down == nil || len(down.Run.Left()) == 0 {
			t.Errorf("down: %+v, %v", down, err)
		}
		w.wire.step(nil, nil)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// An account that is there already is adopted by its whole mark alone: not without one, and not for one that begins
// in the same way.
func TestAccountThatExistsIsNotAdopted(t *testing.T) {
	t.Parallel()
	for name, description := range map[string]func(mark string) string{
		"no mark":            func(string) string { return "made by hand" },
		"a longer one":       func(mark string) string { return mark + " and more" },
		"another run's mark": func(mark string) string { return strings.Replace(mark, `"run":"0`, `"run":"1`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine()
				plan := w.plan(e, byToken)
				mark := grants.Mark{Version: grants.MarkVersion, Task: plan.Task.Name, Run: plan.Run, Expires: plan.Expires}.String()
				other, err := e.Cloud.CreateAccount(t.Context(), "acme-agents", plan.AccountID, "somebody else's", description(mark))
				if err != nil {
					t.Fatal(err)
				}
				before := string(w.snapshot())
				if result, err := e.Up(t.Context(), plan, w.options(plan)); err == nil {
					t.Errorf("up adopted it: %+v", result)
				}
				live, err := e.Cloud.Account(t.Context(), "acme-agents", plan.Email)
				if err != nil || live.UniqueID != other.UniqueID || live.Disabled || string(w.snapshot()) != before {
					t.Errorf("the other account is %+v, %v", live, err)
				}
			})
		})
	}
}

// The certificate of a key is good a little before the run, for servers whose clocks are behind, and not after it.
func TestCertificateOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var uploaded []byte
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/keys:upload") {
				uploaded = body(t, r)
			}
			return nil, nil
		}, nil)
		_, plan := w.up(byKey)
		data, err := base64.StdEncoding.DecodeString(decode(t, uploaded)["publicKeyData"].(string))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if early := plan.Began.Sub(certificate.NotBefore); early < 4*time.Minute || early > 10*time.Minute {
			t.Errorf("it is good from %s before the run", early)
		}
		if !certificate.NotAfter.Equal(plan.Expires) {
			t.Errorf("it is good until %s, and the run lasts until %s", certificate.NotAfter, plan.Expires)
		}
	})
}

// Where the answer to an upload was lost, the key is told from others only if it is the only one.
func TestKeyAmongOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byKey)
		var lost atomic.Bool
		w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/keys:upload") || lost.Swap(true) {
				return answer, nil
			}
			pair, err := w.safe.NewKeyPair()
			if err != nil {
				t.Error(err)
			}
			certificate, err := pair.Certificate(plan.Began, plan.Expires.Add(-time.Minute))
			if err != nil {
				t.Error(err)
			}
			if _, err := w.engine().Cloud.UploadKey(t.Context(), plan.Task.Project, plan.Email, certificate); err != nil {
				t.Error(err)
			}
			return nil, errors.New("connection reset")
		})
		if result, err := e.Up(t.Context(), plan, w.options(plan)); err == nil || !lost.Load() {
			t.Errorf("up: %+v, %v", result, err)
		}
		w.asBefore()
	})
}

// announced is a safe that sees the journal as it is when a delivery is made.
type announced struct {
	*safe
	read func(grants.RunID) (*journal.Run, error)
	seen *journal.Run
}

func (a *announced) Deliver(d delivery.Delivery) (folder string, err error) {
	if a.seen, err = a.read(d.Run); err != nil {
		return "", err
	}
	return a.safe.Deliver(d)
}

// A delivery is in the journal before it is made.
func TestDeliveryIsAnnounced(t *testing.T) {
	t.Parallel()
	for _, source := range []string{byKey, byToken} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine()
			a := &announced{safe: w.safe, read: e.Journals.Read}
			e.Credentials = a
			plan := w.plan(e, source)
			options := w.options(plan)
			if _, err := e.Up(t.Context(), plan, options); err != nil {
				t.Fatal(err)
			}
			if len(a.seen.Delivery) != 1 || a.seen.Delivery[0].Path != options.Dir || a.seen.Delivery[0].Effect != journal.Maybe {
				t.Errorf("when it was made, the journal said %+v", a.seen.Delivery)
			}
		})
	}
}

// Whoever takes the email of a run at once when it is free has another account: the run is down.
func TestEmailThatIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byToken)
		w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/serviceAccounts/") {
				if _, err := w.engine().Cloud.CreateAccount(t.Context(), plan.Task.Project, plan.AccountID, "another", ""); err != nil {
					t.Error(err)
				}
			}
			return answer, nil
		})
		if down, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Errorf("down: %+v, %v", down, err)
		}
	})
}

// What the checks at the end found is in the receipt, as what it is.
func TestFailedCheckIsRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, plan := w.up(byToken)
		secretName := plan.Edits[slices.IndexFunc(plan.Edits, func(e grants.Edit) bool {
			return strings.Contains(e.Resource.Full(), "api-key")
		})].Resource
		var back atomic.Bool
		w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/serviceAccounts/") {
				back.Store(true)
			}
			if back.Load() && strings.HasSuffix(r.URL.Path, "secrets/api-key:getIamPolicy") {
				return rewritten(t, answer, func([]byte) []byte {
					return []byte(`{"etag":"BwY=","bindings":[{"role":"roles/viewer","members":["deleted:serviceAccount:` + plan.Email + `?uid=` +
						result.Run.Account.UniqueID + `"]}]}`)
				}), nil
			}
			return answer, nil
		})
		down, err := w.engine().Down(t.Context(), plan.Run, 0)
		if !fault.Is(err, fault.Incomplete) || down == nil {
			t.Fatalf("down: %+v, %v", down, err)
		}
		for _, c := range down.Run.Receipt.Checks {
			if failed := strings.Contains(c.What, secretName.String()) || c.What == "nothing is left"; c.OK == failed {
				t.Errorf("the check is kept as %+v", c)
			}
		}
		if down.Run.Receipt.Clean() {
			t.Error("the receipt says that all checks passed")
		}
	})
}

// One server that shows an account is enough: that others say that it is gone may be old news.
func TestOneServerShowsTheAccount(t *testing.T) {
	t.Parallel()
	for range 6 { // in which order the answers are looked at is chance
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			_, plan := w.up(byToken)
			var mu sync.Mutex
			reads := 0
			w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/serviceAccounts/"+plan.Email) {
					return nil, nil
				}
				mu.Lock()
				defer mu.Unlock()
				if reads++; reads <= 3 { // the first look, and two of the three after it
					return answer(r, http.StatusNotFound, `{"error":{"code":404,"status":"NOT_FOUND"}}`), nil
				}
				return nil, nil
			}, nil)
			if down, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
				t.Errorf("down: %+v, %v", down, err)
			}
			w.asBefore()
		})
	}
}

// Of an account that cannot be deleted, the keys that could not be deleted either are named.
func TestKeysThatAreLeftAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, plan := w.up(byKey)
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/serviceAccounts/") {
				return answer(r, http.StatusBadRequest, `{"error":{"code":400,"status":"FAILED_PRECONDITION"}}`), nil
			}
			return nil, nil
		}, nil)
		down, err := w.engine().Down(t.Context(), plan.Run, 0)
		if !fault.Is(err, fault.Incomplete) || down == nil {
			t.Fatalf("down: %+v, %v", down, err)
		}
		want := "key " + result.Run.Keys[0].ID + " of " + plan.Email
		if left := down.Run.Left(); !slices.Contains(left, want) {
			t.Errorf("left are %q; want %q among them", left, want)
		}
		w.wire.step(nil, nil)
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Fatal(err)
		}
		w.asBefore()
	})
}

// That a binding was read back is in the journal.
func TestReadBackIsRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, _ := w.up(byToken)
		for _, b := range result.Run.Bindings {
			if !b.ReadBack {
				t.Errorf("not read back: %+v", b)
			}
		}
	})
}

// Access counts as proved once several answers in a row agree: some servers know of a change later.
func TestSomeServersKnowLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byToken)
		var mu sync.Mutex
		asked, spread := 0, time.Now().Add(time.Minute)
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "secrets/api-key:testIamPermissions") {
				return nil, nil
			}
			mu.Lock()
			defer mu.Unlock()
			if asked++; asked%3 == 0 && time.Now().Before(spread) {
				return answer(r, http.StatusOK, `{}`), nil
			}
			return nil, nil
		}, nil)
		if _, err := e.Up(t.Context(), plan, w.options(plan)); err != nil {
			t.Fatal(err)
		}
		if early := time.Until(spread); early > 0 {
			t.Errorf("it counted as proved %s before every server knew", early)
		}
	})
}

// Of permissions that a manifest lists, each is asked about, however many they are.
func TestEachListedPermissionIsProved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		role, err := e.Roles.Role(t.Context(), "roles/compute.viewer")
		if err != nil {
			t.Fatal(err)
		}
		listed := role.Permissions[:120]
		quoted, err := json.Marshal(listed)
		if err != nil {
			t.Fatal(err)
		}
		last := slices.Max(listed)
		spread := time.Now().Add(time.Minute)
		w.wire.step(nil, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "projects/acme-agents:testIamPermissions") || time.Now().After(spread) {
				return answer, nil
			}
			return rewritten(t, answer, func(b []byte) []byte {
				return bytes.ReplaceAll(b, []byte(`"`+last+`"`), []byte(`"a.b.c"`))
			}), nil
		})
		plan := w.plan(e, "version = 1\n[task]\nname = \"looks\"\nproject = \"acme-agents\"\nttl = \"1h\"\n[[grant]]\n"+
			"permissions = "+string(quoted)+"\nresource = \"projects/acme-agents\"\n[credentials]\ndeliver = \"token\"\n")
		result, err := e.Up(t.Context(), plan, w.options(plan))
		if err != nil || result.Grants[0].State != journal.Proved {
			t.Fatalf("up: %+v, %v", result, err)
		}
		if early := time.Until(spread); early > 0 {
			t.Errorf("it counted as proved %s before %s was held", early, last)
		}
	})
}

// A renewal gives a new key out only once Google knows it: what is in the delivery always works.
func TestRenewedKeyWorksAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, plan := w.up(byKey)
		w.server.SetLag(emulator.Lag{Key: emulator.Delay{Min: time.Minute}})
		if _, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		if _, err := client(t, w).KeyToken(t.Context(), w.safe.get(result.Dir).Key); err != nil {
			t.Errorf("with the key that was delivered: %v", err)
		}
	})
}

// refusal answers writes of one policy as Google answers what it never accepts.
func refusal(r *http.Request) *http.Response {
	return answer(r, http.StatusBadRequest, `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"never"}}`)
}

// While something may last longer than the old end, the account's mark says so: a sweep goes by it.
func TestMarkOfARenewalThatCannotBeUndone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byToken)
		var mu sync.Mutex
		writes, moved := 0, make(chan struct{})
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			switch {
			case strings.HasSuffix(r.URL.Path, "secrets/api-key:setIamPolicy"):
				<-moved
				return refusal(r), nil
			case r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/iam"):
				mu.Lock()
				defer mu.Unlock()
				if writes++; writes > 1 {
					return refusal(r), nil
				}
			}
			return nil, nil
		}, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/iam") {
				close(moved)
			}
			return answer, nil
		})
		renewal, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour})
		if !fault.Is(err, fault.Incomplete) || renewal != nil {
			t.Fatalf("renew: %+v, %v", renewal, err)
		}
		account, err := w.engine().Cloud.Account(t.Context(), plan.Task.Project, plan.Email)
		if mark, ok := grants.ParseMark(account.Description); err != nil || !ok || !mark.Expires.After(plan.Expires) {
			t.Errorf("the mark is %q, %v; the old end was %s", account.Description, err, plan.Expires)
		}
	})
}

// A sweep leaves what a deleted account of a run left behind, while the run's time is not over: its down is the
// business of whoever brought it up.
func TestSweepLeavesTheTombstoneOfALiveRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		w.remove(plan.Email)
		before := string(w.snapshot())
		w.swept(sweepOptions(), map[string]lifecycle.SweptState{plan.Email: lifecycle.SweptLive})
		if diff := cmp.Diff(before, string(w.snapshot())); diff != "" {
			t.Errorf("something was written:\n%s", diff)
		}
	})
}

// Who says where to look stands in for a search that is not allowed, not for one that did not work just now.
func TestSweepWhileTheSearchIsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		time.Sleep(longAfter)
		other := w.elsewhere()
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, ":searchAllIamPolicies") {
				return answer(r, http.StatusServiceUnavailable, `{"error":{"code":503,"status":"UNAVAILABLE"}}`), nil
			}
			return nil, nil
		}, nil)
		o := sweepOptions()
		o.Resources = givenByKey(t)
		if got, err := other.sweep(o); !fault.Is(err, fault.Incomplete) || got[plan.Email] != lifecycle.SweptLeft {
			t.Errorf("sweep: %v, %v", got, err)
		}
	})
}

// A policy that Google lets nobody write for a day is not waited for.
func TestPolicyThatIsThrottledForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byToken)
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "secrets/api-key:setIamPolicy") {
				return nil, nil
			}
			throttled := answer(r, http.StatusTooManyRequests, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`)
			throttled.Header.Set("Retry-After", "86400")
			return throttled, nil
		}, nil)
		begun := time.Now()
		_, err := e.Up(t.Context(), plan, w.options(plan))
		if took := time.Since(begun); err == nil || fault.Is(err, fault.Incomplete) || took > time.Minute {
			t.Errorf("up took %s: %v", took, err)
		}
		w.asBefore()
	})
}

// A teardown of what is known takes the keys that only the journal knows of, such as that of a renewal by another
// process, even where the account has to stay.
func TestKeysOfTheJournalAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, plan := w.up(byKey)
		known := *result.Run
		if _, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		w.wire.step(func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "secrets/api-key:setIamPolicy") {
				return refusal(r), nil
			}
			return nil, nil
		}, nil)
		if down, err := w.engine().DownFrom(t.Context(), &known, 0); !fault.Is(err, fault.Incomplete) {
			t.Fatalf("down: %+v, %v", down, err)
		}
		if keys, err := w.engine().Cloud.Keys(t.Context(), plan.Task.Project, plan.Email); err != nil || len(keys) > 0 {
			t.Errorf("keys that are left: %+v, %v", keys, err)
		}
	})
}

// A renewal keeps the CI job in the account's mark, by which the job's own down finds the run.
func TestRenewKeepsTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		plan := w.plan(e, byToken)
		options := w.options(plan)
		options.Job = "github acme/site 17 1 build 5d41402abc4b2a76"
		if _, err := e.Up(t.Context(), plan, options); err != nil {
			t.Fatal(err)
		}
		if _, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		account, err := w.engine().Cloud.Account(t.Context(), plan.Task.Project, plan.Email)
		if mark, ok := grants.ParseMark(account.Description); err != nil || !ok || mark.Job != options.Job {
			t.Errorf("the mark is %q, %v", account.Description, err)
		}
	})
}

// A renewal deletes the key of an earlier one that was cut off before the answer to its upload came.
func TestRenewAfterOneThatWasCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		result, plan := w.up(byKey)
		gone := errors.New("the network is gone")
		var off atomic.Bool
		w.wire.step(func(int, *http.Request) (*http.Response, error) {
			if off.Load() {
				return nil, gone
			}
			return nil, nil
		}, func(_ int, r *http.Request, answer *http.Response) (*http.Response, error) {
			if off.Load() || strings.HasSuffix(r.URL.Path, "/keys:upload") {
				off.Store(true)
				return nil, gone
			}
			return answer, nil
		})
		if _, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 3 * time.Hour}); !fault.Is(err, fault.Incomplete) {
			t.Fatalf("the first renewal: %v", err)
		}
		w.wire.step(nil, nil)
		if _, err := w.engine().Renew(t.Context(), plan.Run, lifecycle.RenewOptions{TTL: 4 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		keys, err := w.engine().Cloud.Keys(t.Context(), plan.Task.Project, plan.Email)
		if err != nil || len(keys) != 1 {
			t.Errorf("the keys are %+v, %v", keys, err)
		}
		if _, err := client(t, w).KeyToken(t.Context(), w.safe.get(result.Dir).Key); err != nil {
			t.Errorf("with the key that was delivered: %v", err)
		}
	})
}

// removing does something before a delivery is removed, and may fail it.
type removing struct {
	*safe
	first func() error
}

func (r removing) Remove(dir string, run grants.RunID, folder string) (bool, error) {
	if err := r.first(); err != nil {
		return true, err
	}
	return r.safe.Remove(dir, run, folder)
}

// The journal says that the delivery is removed only once it is: a teardown that is killed while it removes it, or
// cannot remove it, leaves that to the next one.
func TestTheDeliveryIsRemovedBeforeTheJournalSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		there := func(when string) {
			run, err := w.engine().Journals.Read(plan.Run)
			if err != nil {
				t.Fatal(err)
			}
			if len(run.Delivery) == 0 {
				t.Fatalf("%s the journal knows of no delivery", when)
			}
			for _, p := range run.Delivery {
				if !p.Effect.Standing() {
					t.Errorf("%s the journal says of %s: %s", when, p.Path, p.Effect)
				}
			}
		}
		e := w.engine()
		e.Credentials = removing{w.safe, func() error {
			there("while it is removed")
			return errors.New("the disk does not let it go")
		}}
		if _, err := e.Down(t.Context(), plan.Run, 0); !fault.Is(err, fault.Incomplete) {
			t.Errorf("down: %v", err)
		}
		there("after that failed")
		e = w.engine()
		e.Credentials = removing{w.safe, func() error { there("while it is removed again"); return nil }}
		if _, err := e.Down(t.Context(), plan.Run, 0); err != nil {
			t.Error(err)
		}
		w.asBefore()
	})
}

// TestAccessIsCutWhateverTheDeliveryDoes: the run's command decides how long it takes to remove what it has put there.
func TestAccessIsCutWhateverTheDeliveryDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		e := w.engine()
		released := make(chan struct{})
		defer close(released)
		e.Credentials = removing{w.safe, func() error {
			time.Sleep(2 * time.Minute)
			if diff := cmp.Diff(string(w.before), string(w.snapshot())); diff != "" {
				t.Errorf("the run is still in the cloud (-before +now):\n%s", diff)
			}
			<-released
			return errors.New("too late")
		}}
		began := time.Now()
		_, err := e.Down(t.Context(), plan.Run, 0)
		if !fault.Is(err, fault.Incomplete) || !strings.Contains(err.Error(), "not finished within 3m0s") ||
			time.Since(began) > 5*time.Minute {
			t.Errorf("down, after %s: %v", time.Since(began), err)
		}
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Errorf("down, once the delivery can be removed: %v", err)
		}
		w.asBefore()
	})
}
