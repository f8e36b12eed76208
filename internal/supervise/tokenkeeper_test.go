package supervise

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
)

// What keeps a delivery good ends with the run, and learns from the journal that the end
// was moved: also if that is done at the last moment.
func TestTokenKeeperFollowsTheEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		records []journal.Record // written 5 s before the end
		later   []journal.Record // and 12 s after it
		want    time.Duration    // when it ends
	}{
		"not renewed":          {want: time.Hour},
		"renewed":              {records: []journal.Record{journal.RenewIntended{}, journal.Renewed{}}, want: 3 * time.Hour},
		"renewed just now":     {records: []journal.Record{journal.RenewIntended{}}, later: []journal.Record{journal.Renewed{}}, want: 3 * time.Hour},
		"a renewal is undone":  {records: []journal.Record{journal.RenewIntended{}}, later: []journal.Record{journal.RenewUndone{}}, want: time.Hour + 20*time.Second},
		"a renewal is cut off": {records: []journal.Record{journal.RenewIntended{}}, want: 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				journals, err := journal.OpenDir(t.TempDir(), nil)
				if err != nil {
					t.Fatal(err)
				}
				id := grants.NewRunID(began, [5]byte{1})
				j, err := journals.Create(journal.Opened{Run: id, Task: "t", Expires: began.Add(time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
				defer j.Close()
				k := NewTokenKeeper(j.Run(), nil, journals, time.Now, io.Discard)
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				go k.follow(ctx, stop)
				write := func(records []journal.Record) {
					for _, r := range records {
						switch r.(type) {
						case journal.RenewIntended:
							r = journal.RenewIntended{Expires: began.Add(3 * time.Hour)}
						case journal.Renewed:
							r = journal.Renewed{Expires: began.Add(3 * time.Hour)}
						}
						if err := j.Append(r); err != nil {
							t.Error(err)
						}
					}
				}
				time.Sleep(time.Hour - 5*time.Second)
				write(tt.records)
				time.AfterFunc(17*time.Second, func() { write(tt.later) })
				<-ctx.Done()
				if got := time.Since(began); (got - tt.want).Abs() > 10*time.Second {
					t.Errorf("it ends after %s, want %s", got, tt.want)
				}
			})
		})
	}
}
