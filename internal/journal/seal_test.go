package journal_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/taskiam/taskiam/internal/journal"
)

// TestSealed: what was appended with the key is verified, and nothing that was added or changed without it.
func TestSealed(t *testing.T) {
	t.Parallel()
	dir, err := journal.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	keyed := func(key string) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(key), nil }
	}
	const key = "the key of these journals"
	store := journal.Seal(dir, keyed(key))
	o := journal.Opened{Run: sealedRun, Task: "demo", Reason: "ya29.a-token-that-is-struck-out-0123456789"}
	j, err := store.Create(o, journal.AccountIntended{})
	if err != nil {
		t.Fatal(err)
	}
	for _, records := range [][]journal.Record{
		{journal.AccountCreated{UniqueID: "1"}}, {journal.KeyIntended{}, journal.KeyCreated{KeyID: "k"}}, {},
		{journal.Failed{Step: "x", Message: "ya29.another-token-that-is-struck-out-01234"}},
	} {
		if err := j.Append(records...); err != nil {
			t.Fatal(err)
		}
	}
	if j.Append(journal.GrantReady{Grant: 7, State: journal.Proved}) == nil {
		t.Error("a grant that there is not was recorded")
	}
	path := dir.Where(o.Run)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var many sync.WaitGroup // policies are edited side by side
	for range 20 {
		many.Go(func() {
			if err := j.Append(journal.Failed{Step: "y", Message: "side by side"}); err != nil {
				t.Error(err)
			}
		})
	}
	many.Wait()
	if !j.Run().Verified {
		t.Error("an open journal is not verified")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(text, `"unique_id":"1"`, `"unique_id":"2"`, 1)
	lines := strings.SplitAfter(text, "\n")
	at := regexp.MustCompile(`"at":"[^"]*"`)
	seal := len(strings.TrimSuffix(text, lines[len(lines)-2])) // the last line
	closed := `{"v":1,"at":"2030-01-01T00:00:00Z","kind":"closed","record":{"checks":[]}}` + "\n"
	for _, tt := range []struct {
		name, text string
		read       func() ([]byte, error)
		want       bool
	}{
		{"as it was", text, keyed(key), true},
		{"cut off after a seal", strings.Join(lines[:3], ""), keyed(key), true},
		{"cut off before a seal", strings.Join(lines[:2], ""), keyed(key), false},
		{"without a seal and its records in the middle", strings.Join(append(slices.Clone(lines[:5]), lines[8:]...), ""), keyed(key), false},
		{"with records and their seal twice", text + lines[8] + lines[9], keyed(key), false},
		{"changed", other, keyed(key), false},
		{"with another time", at.ReplaceAllString(text, `"at":"2001-01-01T00:00:00Z"`), keyed(key), false},
		{"with another time of the first record", strings.Replace(text, at.FindString(text), `"at":"2001-01-01T00:00:00Z"`, 1), keyed(key), false},
		{"with another time of a seal", text[:seal] + at.ReplaceAllString(text[seal:], `"at":"2001-01-01T00:00:00Z"`), keyed(key), false},
		{"a record more", text + closed, keyed(key), false},
		{"a record more, and a seal of somebody's", text + closed +
			`{"v":1,"at":"2030-01-01T00:00:00Z","kind":"sealed","record":{"mac":"00"}}` + "\n", keyed(key), false},
		{"a seal about fewer records than there are", text + closed + lines[3] + lines[4], keyed(key), false},
		{"another key", text, keyed("another"), false},
		{"no key", text, keyed(""), false},
		{"a key that cannot be read", text, func() ([]byte, error) { return nil, errors.New("no") }, false},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		run, err := journal.Seal(dir, tt.read).Read(o.Run)
		if err != nil || run.Verified != tt.want {
			t.Errorf("%s: verified is %t, %v", tt.name, run != nil && run.Verified, err)
		}
	}
	// Without a key, runs are recorded all the same.
	none := func() ([]byte, error) { return nil, errors.New("no") }
	bare, err := journal.Seal(dir, none).Create(journal.Opened{Run: unsealedRun})
	if err != nil || bare.Append(journal.AccountIntended{}) != nil || bare.Run().Verified {
		t.Errorf("without a key: %v", err)
	}
}

const (
	sealedRun   = "1lgupll94ksm9om"
	unsealedRun = "1lgupll94ksm9on"
)
