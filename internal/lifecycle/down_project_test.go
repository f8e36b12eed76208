package lifecycle_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// project sends the operator's request about the project of the runs.
func (w *world) project(method, verb string) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "https://cloudresourcemanager.googleapis.com/v3/projects/acme-agents"+verb, nil)
	_, token := w.server.Operator()
	r.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		w.t.Fatalf("%s of the project: %d %s", method+verb, answer.Code, answer.Body)
	}
}

// A project that was shut down says so at once, however young the run is, and the run can be
// taken down when the project is back.
func TestDownInADeletedProject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, plan := w.up(byKey)
		w.project(http.MethodDelete, "")
		began := time.Now()
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err == nil {
			t.Error("down in a project that was shut down says that nothing is left")
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("down waited %v for a project that was shut down", took)
		}
		w.project(http.MethodPost, ":undelete")
		if _, err := w.engine().Down(t.Context(), plan.Run, 0); err != nil {
			t.Errorf("down in a project that was restored: %v", err)
		}
		w.asBefore()
	})
}
