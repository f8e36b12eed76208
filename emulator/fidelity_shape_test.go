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

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// shape compares an answer with what is known of it: which keys are there, of which types, with which values or
// in which format.
type shape struct{ misses []string }

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
		if _, number := got.(float64); number && want == "<int>" {
			return
		}
		got, ok := got.(string)
		if !ok {
			s.miss(path, "not a string")
			return
		}
		if why := differs(want, got); why != "" {
			s.miss(path, "%q, recorded %q: %s", got, want, why)
		}
	default: // numbers and booleans
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			s.miss(path, "%T, recorded %T", got, want)
		} else if want != got {
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
			var try shape
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

var formatWord = regexp.MustCompile(`<([a-z0-9-]+)>`)

// differs compares two strings, the first of which may hold formats, and says what is wrong, or nothing.
func differs(want, got string) string {
	if !formatWord.MatchString(want) {
		if got == want {
			return ""
		}
		return "not the same"
	}
	pattern := "(?s)^"
	for rest := want; rest != ""; {
		at := formatWord.FindStringSubmatchIndex(rest)
		if at == nil {
			pattern += regexp.QuoteMeta(rest)
			break
		}
		format := rest[at[2]:at[3]]
		form, known := evidence.Formats[format]
		if !known || form == "" {
			return "no string has the format " + format
		}
		pattern += regexp.QuoteMeta(rest[:at[0]]) + form
		rest = rest[at[1]:]
	}
	if !regexp.MustCompile(pattern + "$").MatchString(got) {
		return "not in that format"
	}
	return ""
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
	const recorded = `{"a":"x","n":1,"list":[{"role":"r","members":["m","n"]}],"etag":"BwWWja0YfJA=","time":"<seconds>","uniqueId":"<uid>",` +
		`"link":"<any>/b/x","key":"projects/p/keys/<key>","set":"<set-etag>","base64":"<base64>","left":"<int>"}`
	const key = "0123456789abcdef0123456789abcdef01234567"
	answer := strings.NewReplacer("<seconds>", "2024-04-01T12:34:56Z", "<uid>", "111111111111111111111", "<any>", "https://host", "<key>", key,
		"<set-etag>", "BwWWja0YfJB=", "<base64>", "YWI=", `"<int>"`, "3600").Replace(recorded)
	for name, tt := range map[string]struct {
		got  string
		good bool
	}{
		"the same":            {answer, true},
		"another order":       {strings.Replace(answer, `"m","n"`, `"n","m"`, 1), true},
		"another time":        {strings.Replace(answer, "2024", "2025", 1), true},
		"another id":          {strings.Replace(answer, `1111","link`, `1112","link`, 1), true},
		"a missing key":       {strings.Replace(answer, `"n":1,`, "", 1), false},
		"a key too many":      {strings.Replace(answer, `"n":1,`, `"n":1,"o":2,`, 1), false},
		"another type":        {strings.Replace(answer, `"n":1`, `"n":"1"`, 1), false},
		"another value":       {strings.Replace(answer, `"x"`, `"y"`, 1), false},
		"another member":      {strings.Replace(answer, `"m"`, `"o"`, 1), false},
		"a member too many":   {strings.Replace(answer, `"m"`, `"m","o"`, 1), false},
		"a time in fractions": {strings.Replace(answer, "56Z", "56.5Z", 1), false},
		"a short id":          {strings.Replace(answer, `1111","link`, `","link`, 1), false},
		"another etag":        {strings.Replace(answer, "BwWW", "BwWX", 1), false},
		"an etag unset":       {strings.Replace(answer, "BwWWja0YfJA=", iam.UnsetEtag, 1), false},
		"another host":        {strings.Replace(answer, "host", "elsewhere", 1), true},
		"another resource":    {strings.Replace(answer, "/b/x", "/b/xy", 1), false},
		"a short key":         {strings.Replace(answer, key, key[1:], 1), false},
		"a later etag":        {strings.Replace(answer, "BwWWja0YfJB=", "BwWXja0YfJB=", 1), true},
		"no policy's etag":    {strings.Replace(answer, "BwWWja0YfJB=", iam.UnsetEtag, 1), false},
		"no base64":           {strings.Replace(answer, "YWI=", "YWI", 1), false},
		"another number":      {strings.Replace(answer, "3600", "3599", 1), true},
		"no number":           {strings.Replace(answer, "3600", `"3600"`, 1), false},
	} {
		var s shape
		s.compare("", decoded(t, recorded), decoded(t, tt.got))
		if good := len(s.misses) == 0; good != tt.good {
			t.Errorf("%s: good is %v: %v", name, good, s.misses)
		}
	}
}
