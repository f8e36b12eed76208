package emulator

import "time"

// delayed is a kind of change that is not always seen at once.
type delayed int

// The kinds of change that Google applies with a delay.
const (
	newAccountRead  delayed = iota // reads at the IAM API see a new account
	newAccountBind                 // policies outside the IAM API may name it
	newAccountMint                 // IAM Credentials knows it
	accountSwitched                // an account counts as disabled, or as enabled
	keyMade                        // a signature of a new key is accepted
	memberAdded                    // a member has the role it was given
	memberRemoved                  // a member no longer has it
	roleChanged                    // a custom role holds what it was changed to
	policySearched                 // the search over all policies shows a change
)

// delays say when changes are seen.
type delays interface {
	// after returns when a change made now is seen; zero is at once.
	after(what delayed, now time.Time) time.Time
	// coin is true or false by chance.
	coin() bool
}

// after returns when a change made now is seen; zero is at once.
func (s *company) after(what delayed, now time.Time) time.Time {
	if s.Delays == nil {
		return time.Time{}
	}
	return s.Delays.after(what, now)
}
