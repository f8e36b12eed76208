package lifecycle_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
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
