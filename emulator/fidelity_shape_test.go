package emulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// shape compares an answer with a recorded one: which keys are there, of which
// types, in which format. It looks at values only where the recording kept them.
type shape struct {
	exact  bool // values are Google's own, not placeholders of a document
	policy bool // the body is a google.iam.v1 policy
	wrote  bool // the call gave it a new etag
	misses []string
}

func (s *shape) miss(path, format string, args ...any) {
	s.misses = append(s.misses, strings.TrimPrefix(path, ".")+": "+fmt.Sprintf(format, args...))
}

func (s *shape) compare(path string, want, got any) {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			s.miss(path, "not an object")
			return
		}
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if _, ok := got[k]; !ok {
				s.miss(path+"."+k, "missing")
				continue
			}
			s.compare(path+"."+k, want[k], got[k])
		}
		for _, k := range slices.Sorted(maps.Keys(got)) {
			if _, ok := want[k]; !ok {
				s.miss(path+"."+k, "not in the recording")
			}
		}
	case []any:
		got, ok := got.([]any)
		if !ok {
			s.miss(path, "not an array")
			return
		}
		s.elements(path, want, got)
	case string:
		got, ok := got.(string)
		if !ok {
			s.miss(path, "not a string")
			return
		}
		if why := s.text(path, want, got); why != "" {
			s.miss(path, "%q, recorded %q: %s", got, want, why)
		}
	default: // numbers and booleans
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			s.miss(path, "%T, recorded %T", got, want)
		} else if want != got && !strings.HasSuffix(path, ".expires_in") {
			s.miss(path, "%v, recorded %v", got, want)
		}
	}
}

// elements pairs the elements of two arrays: recordings do not prove an order.
func (s *shape) elements(path string, want, got []any) {
	if len(want) != len(got) {
		s.miss(path, "%d elements, recorded %d", len(got), len(want))
		return
	}
	left := slices.Clone(got)
	for i, w := range want {
		found := slices.IndexFunc(left, func(g any) bool {
			try := shape{exact: s.exact, policy: s.policy, wrote: s.wrote}
			try.compare(path, w, g)
			return len(try.misses) == 0
		})
		if found < 0 {
			s.compare(fmt.Sprintf("%s[%d]", path, i), w, left[0])
			found = 0
		}
		left = slices.Delete(left, found, found+1)
	}
}

var (
	digits      = regexp.MustCompile(`^[0-9]+$`)
	uniqueIDs   = regexp.MustCompile(`^1[0-9]{20}$`)
	enumeration = regexp.MustCompile(`^[A-Z][A-Z0-9_]{3,}$`)
	hiddenRole  = regexp.MustCompile(`^(.*_withcond_)[0-9a-f]{20}$`)
	keyResource = regexp.MustCompile(`^(projects/[^/]+/serviceAccounts/[^/]+/keys/)[0-9a-f]{40}$`)
)

// text compares two strings and says what is wrong, or nothing.
func (s *shape) text(path, want, got string) string {
	key := path[strings.LastIndex(path, ".")+1:]
	switch key {
	case "etag":
		return s.etag(want, got)
	case "uniqueId", "oauth2ClientId":
		if !uniqueIDs.MatchString(got) {
			return "not 21 digits, the first of them 1"
		}
		return ""
	case "uid", "id":
		return sameIf(got != "", "empty")
	case "message", "description", "error_description", "debugMessage", "subject":
		// The texts of errors are Google's to change.
		if !s.exact || strings.HasPrefix(path, ".error") || key == "error_description" {
			return sameIf(got != "", "empty")
		}
	case "accessToken", "access_token", "token":
		return sameIf(got != "", "empty")
	case "privateKeyData", "publicKeyData":
		_, err := base64.StdEncoding.DecodeString(got)
		return sameIf(err == nil && got != "", "not base64")
	case "selfLink", "resourceId":
		return sameIf(want[strings.LastIndex(want, "/"):] == got[strings.LastIndex(got, "/")+0:], "another resource")
	}
	if w, err := time.Parse(time.RFC3339Nano, want); err == nil {
		if _, err := time.Parse(time.RFC3339Nano, got); err != nil || !strings.HasSuffix(got, "Z") {
			return "not a time in UTC"
		}
		return sameIf(w.Nanosecond() != 0 || !strings.Contains(got, "."), "not in whole seconds")
	}
	if m := hiddenRole.FindStringSubmatch(want); m != nil {
		return sameIf(hiddenRole.MatchString(got) && strings.HasPrefix(got, m[1]), "not the same role with a hidden condition")
	}
	switch {
	case strings.HasSuffix(key, "Time") || key == "generation" || key == "metageneration": // milliseconds, or a counter
		return sameIf(digits.MatchString(got), "not a number")
	case keyResource.MatchString(want):
		return sameIf(keyResource.MatchString(got), "not the name of a key")
	case strings.Contains(want, "/operations/"):
		return sameIf(strings.Contains(got, "/operations/"), "not the name of an operation")
	case enumeration.MatchString(want):
	case !s.exact && !strings.HasPrefix(path, ".bindings") && key != "status" && key != "reason" && key != "@type" && key != "error":
		return sameIf(got != "", "empty")
	}
	return sameIf(got == want, "not the same")
}

func sameIf(same bool, why string) string {
	if same {
		return ""
	}
	return why
}

func (s *shape) etag(want, got string) string {
	if !s.policy {
		return sameIf(got != "", "empty")
	}
	raw, err := base64.StdEncoding.DecodeString(got)
	switch {
	case err != nil:
		return "not base64"
	case want == iam.UnsetEtag || want == normalisedEtag || s.wrote || !realEtag(want):
		unset := want == iam.UnsetEtag || want == normalisedEtag && !s.wrote
		return sameIf(len(raw) == 8 && raw[0] == 7 && want != iam.UnsetEtag || unset && got == iam.UnsetEtag, "not the bytes of a policy's etag")
	}
	return sameIf(got == want, "not the etag that was recorded")
}

// realEtag reports whether the etag says when a policy was set.
func realEtag(etag string) bool {
	raw, err := base64.StdEncoding.DecodeString(etag)
	return err == nil && len(raw) == 8 && raw[0] == 7
}

// storageEtag reports whether the etag is one of Cloud Storage's, and its number.
func storageEtag(etag string) (int64, bool) {
	for n := range int64(1 << 12) {
		if wire.CounterEtag(n) == etag {
			return n, true
		}
	}
	return 0, false
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestShape keeps the comparison from being blind.
func TestShape(t *testing.T) {
	t.Parallel()
	const recorded = `{"a":"x","n":1,"list":[{"role":"r","members":["m","n"]}],"etag":"BwWWja0YfJA=","time":"2024-04-01T12:34:56Z","uniqueId":"111111111111111111111"}`
	for name, tt := range map[string]struct {
		got  string
		good bool
	}{
		"the same":            {recorded, true},
		"another order":       {strings.Replace(recorded, `"m","n"`, `"n","m"`, 1), true},
		"another time":        {strings.Replace(recorded, "2024", "2025", 1), true},
		"another id":          {strings.Replace(recorded, "1111\"", "1112\"", 1), true},
		"a missing key":       {strings.Replace(recorded, `"n":1,`, "", 1), false},
		"a key too many":      {strings.Replace(recorded, `"n":1,`, `"n":1,"o":2,`, 1), false},
		"another type":        {strings.Replace(recorded, `"n":1`, `"n":"1"`, 1), false},
		"another value":       {strings.Replace(recorded, `"x"`, `"y"`, 1), false},
		"another member":      {strings.Replace(recorded, `"m"`, `"o"`, 1), false},
		"a member too many":   {strings.Replace(recorded, `"m"`, `"m","o"`, 1), false},
		"a time in fractions": {strings.Replace(recorded, "56Z", "56.5Z", 1), false},
		"a short id":          {strings.Replace(recorded, "1111\"", "\"", 1), false},
		"another etag":        {strings.Replace(recorded, "BwWW", "BwWX", 1), false},
		"an etag unset":       {strings.Replace(recorded, "BwWWja0YfJA=", iam.UnsetEtag, 1), false},
	} {
		s := shape{exact: true, policy: true}
		s.compare("", decoded(t, recorded), decoded(t, tt.got))
		if good := len(s.misses) == 0; good != tt.good {
			t.Errorf("%s: good is %v: %v", name, good, s.misses)
		}
	}
}
