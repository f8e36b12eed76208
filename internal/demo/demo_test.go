package demo

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"google.golang.org/api/googleapi"

	"github.com/taskiam/taskiam/internal/view"
)

// A refusal by Google is told from everything else that may go wrong: only that proves anything.
func TestRefusal(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err         error
		got, detail string
	}{
		"forbidden":         {&googleapi.Error{Code: 403, Message: "no.\nmore"}, refused, "403 no"},
		"not authenticated": {&googleapi.Error{Code: 401, Message: "who?"}, refused, "401 who?"},
		"a download": {&googleapi.Error{Code: 403, Body: `{"error": {"message": "not yours"}}`}, refused,
			"403 not yours"},
		"not found":      {&googleapi.Error{Code: 404, Message: "gone"}, failed, "404 gone"},
		"a server error": {&googleapi.Error{Code: 503, Message: "later"}, failed, "503 later"},
		"a refused key": {&auth.Error{Response: &http.Response{StatusCode: 400},
			Body: []byte(`{"error": "invalid_grant", "error_description": "the key is gone."}`)}, refused, "400 the key is gone"},
		"anything else": {errors.New("no route"), failed, "no route"},
	} {
		got, detail := refusal(tt.err)
		if got != tt.got || !strings.Contains(detail, tt.detail) {
			t.Errorf("%s: %s, %q; want %s, %q", name, got, detail, tt.got, tt.detail)
		}
	}
}

// A line whose claim does not hold says so, and long details are cut at characters.
func TestShow(t *testing.T) {
	t.Parallel()
	c := Chapter{Title: "the agent", Told: "as told", Elapsed: 1500}
	c.add("read it", allowed, allowed, "", 2*time.Millisecond)
	c.add("write it", refused, allowed, strings.Repeat("é", width+1), time.Millisecond)
	var r view.Report
	c.Show(&r)
	for _, want := range []string{
		"the agent  as told", "ok    2 ms  allowed  read it", "NOT TRUE: wanted refused,    1 ms  allowed  write it",
		strings.Repeat("é", width-3) + "...",
	} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("no %q in:\n%s", want, r.String())
		}
	}
	if c.Lines[0].True != true || c.Lines[1].True != false {
		t.Errorf("what is true: %+v", c.Lines)
	}
}
