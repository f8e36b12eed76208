package emulator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func TestQuotas(t *testing.T) {
	t.Parallel()
	const bucket = "https://storage.googleapis.com/storage/v1/b/acme-reports/iam"
	const dataset = "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales"
	n := 0
	for name, tt := range map[string]struct {
		quotas wire.Quotas
		window time.Duration
		call   func(l *lab) response
		allow  int
		code   int
		reason string
	}{
		"writes of the IAM API": {wire.Quotas{IAMWrites: 4}, time.Minute, func(l *lab) response {
			return l.do(l.operator, "PATCH", accounts+"/ci-runner@acme-agents.iam.gserviceaccount.com", `{"updateMask":"description"}`)
		}, 4, 429, "RATE_LIMIT_EXCEEDED"},
		"new accounts": {wire.Quotas{AccountCreations: 3}, time.Minute, func(l *lab) response {
			n++
			return l.do(l.operator, "POST", accounts, fmt.Sprintf(`{"accountId":"ti-quota-%d"}`, n))
		}, 3, 429, "RATE_LIMIT_EXCEEDED"},
		"updates of a bucket": {wire.Quotas{BucketUpdates: 1}, time.Second, func(l *lab) response {
			return l.do(l.operator, "PUT", bucket, `{"bindings":[{"role":"roles/storage.admin","members":["user:olivia@acme.example"]}]}`)
		}, 1, 429, "rateLimitExceeded"},
		"updates of a dataset": {wire.Quotas{DatasetUpdates: 5}, 10 * time.Second, func(l *lab) response {
			return l.do(l.operator, "PATCH", dataset, `{"description":"x"}`)
		}, 5, 403, "rateLimitExceeded"},
	} {
		l := newLab(t, func(c *Config) { c.Quotas = tt.quotas })
		for round := range 2 {
			for i := range tt.allow {
				if r := tt.call(l); r.code != 200 {
					t.Fatalf("%s: call %d of round %d: %d %s", name, i+1, round+1, r.code, r.raw)
				}
			}
			if r := tt.call(l); r.code != tt.code || !strings.Contains(r.raw, tt.reason) {
				t.Errorf("%s: one too many: %d %s", name, r.code, r.raw)
			}
			// Others are not affected.
			l.must(l.operator, "GET", dataPolicy, "")
			l.Advance(tt.window)
		}
		l.SetQuotas(wire.Quotas{})
		for range tt.allow + 1 {
			if r := tt.call(l); r.code != 200 {
				t.Errorf("%s: without limits: %d %s", name, r.code, r.raw)
			}
		}
	}
}
