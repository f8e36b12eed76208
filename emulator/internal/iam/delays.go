package iam

import "time"

// Delayed is a kind of change that is not always seen at once.
type Delayed int

// The kinds of change that Google applies with a delay.
const (
	NewAccountRead  Delayed = iota // reads at the IAM API see a new account
	NewAccountBind                 // policies outside the IAM API may name it
	NewAccountMint                 // IAM Credentials knows it
	AccountSwitched                // an account counts as disabled, or as enabled
	KeyMade                        // a signature of a new key is accepted
	MemberAdded                    // a member has the role it was given
	MemberRemoved                  // a member no longer has it
	RoleChanged                    // a custom role holds what it was changed to
	PolicySearched                 // the search over all policies shows a change
)

// delays say when changes are seen.
type delays interface {
	// After returns when a change made now is seen; zero is at once.
	After(what Delayed, now time.Time) time.Time
	// Coin is true or false by chance.
	Coin() bool
}

// After returns when a change made now is seen; zero is at once.
func (s *Company) After(what Delayed, now time.Time) time.Time {
	if s.Delays == nil {
		return time.Time{}
	}
	return s.Delays.After(what, now)
}
