package wire

import (
	"testing"
)

func TestQuotaNames(t *testing.T) {
	t.Parallel()
	var q Quotas
	for _, name := range []string{"iam_writes", "account_creations", "bucket_updates", "dataset_updates"} {
		if err := q.Set(name, "3"); err != nil {
			t.Error(err)
		}
	}
	if want := (Quotas{IAMWrites: 3, AccountCreations: 3, BucketUpdates: 3, DatasetUpdates: 3}); q != want {
		t.Errorf("quotas are %+v", q)
	}
	for name, value := range map[string]string{"iam_writes": "-1", "bucket_updates": "x", "nonsense": "1"} {
		if err := q.Set(name, value); err == nil {
			t.Errorf("%s was set to %s", name, value)
		}
	}
}
