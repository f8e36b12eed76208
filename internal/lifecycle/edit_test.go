package lifecycle_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
)

// Calls take no time here. So whoever has the lock of a policy at any later moment waits
// with it, and keeps all others waiting too.
func TestNobodyWaitsWithThePolicysLock(t *testing.T) {
	t.Parallel()
	answer := func(method string, code, count int) emulator.Fault {
		return emulator.Fault{Method: method, Do: emulator.FaultAnswer, Code: code, Count: count}
	}
	second := func(method string, code int) emulator.Fault { // the first look is without the lock
		return emulator.Fault{Method: method, Do: emulator.FaultAnswer, Code: code, Nth: 2}
	}
	for name, trouble := range map[string]emulator.Fault{
		"a quota is used up":            answer("*.topics.setIamPolicy", 429, 3),
		"the quota of reads is used up": second("*.topics.getIamPolicy", 429),
		"writes are not answered":       answer("*.topics.setIamPolicy", 503, 3),
		"reads are not answered":        second("*.topics.getIamPolicy", 503),
		"somebody else is quicker":      answer("*.topics.setIamPolicy", 409, 5),
		"the account is not visible":    answer("*.topics.setIamPolicy", 400, 5),
		"creating the account takes long": {Method: "iam.projects.serviceAccounts.create", Do: emulator.FaultDelay,
			For: emulator.Delay{Min: 20 * time.Second, Max: 20 * time.Second}, Count: 1},
		"disabling the account takes long": {Method: "iam.projects.serviceAccounts.disable", Do: emulator.FaultDelay,
			For: emulator.Delay{Min: 20 * time.Second, Max: 20 * time.Second}, Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, 0, emulator.Quotas{})
				disk := &journaltest.Disk{}
				e := c.engine(disk)
				if _, err := c.server.AddFault(trouble); err != nil {
					t.Fatal(err)
				}
				over, stop := context.WithCancel(t.Context())
				defer stop()
				begun := time.Now()
				go func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-over.Done():
							return
						case <-tick.C:
						}
						synctest.Wait()
						for _, lock := range disk.Locked() {
							if strings.Contains(lock, "policy-") {
								t.Errorf("after %s the lock %s is held", time.Since(begun), lock)
								return
							}
						}
					}
				}()
				took, err := c.run(e)
				if err != nil {
					t.Error(err)
				}
				if took == 0 {
					t.Error("nothing was waited for")
				}
			})
		})
	}
}

// A contest is given up, but only after nobody got through for a long time.
func TestContestThatIsNeverWon(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]fault.Kind{409: fault.Conflict, 429: fault.Throttled} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, 0, emulator.Quotas{})
			if _, err := c.server.AddFault(emulator.Fault{Method: "*.topics.setIamPolicy", Do: emulator.FaultAnswer, Code: code}); err != nil {
				t.Fatal(err)
			}
			took, err := c.run(c.engine(&journaltest.Disk{}))
			if !fault.Is(err, want) || took < 10*time.Minute || took > 12*time.Minute {
				t.Errorf("with %d it ended after %s with %v", code, took, err)
			}
		})
	}
}
