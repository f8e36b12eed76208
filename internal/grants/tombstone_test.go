package grants

import (
	"testing"
	"time"
)

func TestParseTombstone(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]Tombstone{
		"deleted:serviceAccount:a@p.iam.gserviceaccount.com?uid=123": {"a@p.iam.gserviceaccount.com", "123"},
		"serviceAccount:a@p.iam.gserviceaccount.com":                 {},
		"deleted:serviceAccount:a@p.iam.gserviceaccount.com":         {},
		"deleted:serviceAccount:a@p.iam.gserviceaccount.com?uid=":    {},
		"deleted:serviceAccount:?uid=123":                            {},
		"deleted:user:a@acme.example?uid=123":                        {},
	} {
		got, ok := ParseTombstone(member)
		if got != want || ok != (want != Tombstone{}) {
			t.Errorf("%s: %v, %v", member, got, ok)
		}
	}
}

func TestRunOf(t *testing.T) {
	t.Parallel()
	run := NewRunID(time.Unix(1_800_000_000, 0), [5]byte{1})
	for _, task := range []string{"t", "nightly-report", "a-very-long-name", "eleven-xyz-"} {
		for _, project := range []string{"acme-agents", "example.com:p"} {
			email := AccountEmail(AccountID(task, run), project)
			if got, ok := RunOf(email, project); !ok || got != run {
				t.Errorf("%s: %q, %v", email, got, ok)
			}
			if _, ok := RunOf(email, "other"); ok {
				t.Errorf("%s is in another project", email)
			}
		}
	}
	for _, email := range []string{
		"", "ti-@p.iam.gserviceaccount.com", "ti-robot@p.iam.gserviceaccount.com",
		"ti-" + string(run) + "@p.iam.gserviceaccount.com",
		"ti--" + string(run) + "@p.iam.gserviceaccount.com",
		"xx-t-" + string(run) + "@p.iam.gserviceaccount.com",
		"ti-twelve-xyzab-" + string(run) + "@p.iam.gserviceaccount.com",
		"ti-tx" + string(run) + "@p.iam.gserviceaccount.com",
		"ti-t-" + string(run) + "@evil.example",
	} {
		if got, ok := RunOf(email, "p"); ok {
			t.Errorf("%s is taken for an account of run %s", email, got)
		}
	}
}
