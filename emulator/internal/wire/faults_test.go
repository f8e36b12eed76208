package wire

import (
	"encoding/json"
	"testing"
)

// What is no policy is left as it is.
func TestWithoutConditions(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "x", "[]", `{"policy":7}`, `{"bindings":[7]}`, `{"policy":{"bindings":null}}`} {
		if got := withoutConditions([]byte(body), ""); !json.Valid(got) && string(got) != body {
			t.Errorf("%q became %q", body, got)
		}
	}
}

// A fault can spare some conditions, such as those of whoever writes.
func TestWithoutConditionsOfOthers(t *testing.T) {
	t.Parallel()
	got := withoutConditions([]byte(`{"policy":{"bindings":[{"role":"a","condition":{"title":"taskiam 1"}},{"role":"b","condition":{"title":"hours"}}]}}`), "taskiam")
	if want := `{"policy":{"bindings":[{"condition":{"title":"taskiam 1"},"role":"a"},{"role":"b"}]}}`; string(got) != want {
		t.Errorf("%s", got)
	}
}
