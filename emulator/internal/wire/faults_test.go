package wire

import (
	"encoding/json"
	"testing"
)

// What is no policy is left as it is.
func TestWithoutConditions(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "x", "[]", `{"policy":7}`, `{"bindings":[7]}`, `{"policy":{"bindings":null}}`} {
		if got := withoutConditions([]byte(body)); !json.Valid(got) && string(got) != body {
			t.Errorf("%q became %q", body, got)
		}
	}
}
