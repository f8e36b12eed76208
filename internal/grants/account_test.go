package grants

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestRunIDSortsByTimeAndKeepsIt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var last RunID
	for i := range 100 {
		now := at.Add(time.Duration(i) * 31 * 24 * time.Hour)
		id := NewRunID(now, [5]byte{byte(255 - i), 1, 2, 3, byte(i)})
		if _, err := ParseRunID(string(id)); err != nil {
			t.Fatal(err)
		}
		if id <= last {
			t.Errorf("%s is not after %s", id, last)
		}
		if !id.Started().Equal(now) {
			t.Errorf("%s started at %s, want %s", id, id.Started(), now)
		}
		last = id
	}
}

func TestRunIDUsesEveryRandomBit(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	seen := map[RunID]bool{NewRunID(at, [5]byte{}): true}
	for i := range 40 {
		var r [5]byte
		r[i/8] = 1 << (i % 8)
		id := NewRunID(at, r)
		if seen[id] {
			t.Errorf("bit %d changes nothing", i)
		}
		seen[id] = true
	}
}

func TestAccountIDIsOneThatGoogleTakes(t *testing.T) {
	t.Parallel()
	// iam/docs/reference/rest/v1/projects.serviceAccounts/create: 6-30 characters.
	valid := regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])$`)
	run := NewRunID(time.Unix(1_800_000_000, 0), [5]byte{})
	for _, task := range []string{"a", "nightly-report", "ten-chars--x", strings.Repeat("z", 40)} {
		id := AccountID(task, run)
		if !valid.MatchString(id) || len(id) > 30 || len(id) < 6 {
			t.Errorf("AccountID(%q) = %q", task, id)
		}
	}
	if got, want := AccountEmail("x", "example.com:p"), "x@p.example.com.iam.gserviceaccount.com"; got != want {
		t.Errorf("AccountEmail of a domain's project = %q, want %q", got, want)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	m := Mark{Version: MarkVersion, Task: strings.Repeat("t", 40), Run: "0123456789abcde", Expires: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	s := m.String()
	if len(s) > 256 {
		t.Errorf("the mark has %d bytes; Google allows 256", len(s))
	}
	got, ok := ParseMark(s)
	m.Expires = m.Expires.Truncate(time.Second)
	if !ok || got != m {
		t.Errorf("ParseMark(%s) = %v, %v", s, got, ok)
	}
	for _, job := range []string{"gitlab:acme/app:5", strings.Repeat("j", 200), strings.Repeat("é", 200)} {
		long := m
		long.Job, long.Began = job, m.Expires
		s := long.String()
		got, ok := ParseMark(s)
		if len(s) > 256 || !ok || got.Job == "" || !strings.HasPrefix(job, got.Job) || got.Began != long.Began || got.Task != m.Task {
			t.Errorf("with the job %q the mark has %d bytes: %s", job, len(s), s)
		}
	}
	for _, other := range []string{"", "made by hand", "{}", `{"taskiam":2,"run":"0123456789abcde"}`, `{"taskiam":1,"run":"short"}`, `{"taskiam":1,"run":"0123456789abcde","extra":1}`} {
		if _, ok := ParseMark(other); ok {
			t.Errorf("ParseMark(%q) found a mark", other)
		}
	}
}
