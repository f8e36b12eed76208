package iamapi

import (
	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// overlooks reports whether the call does not see the account yet: writes see their
// own, reads are eventually consistent (google/iam/admin/v1).
func overlooks(c *wire.Call, a *iam.Account) bool {
	return !c.Method.Writes && c.Method.Host == iam.Host && c.Now.Before(a.Seen.Read)
}

// overlooked is what a read of an account answers that it does not see yet. Google
// answers sometimes the one, sometimes the other.
func overlooked(c *wire.Call, a *iam.Account) error {
	if c.State().Delays.Coin() {
		return wire.Forbidden("Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).")
	}
	return wire.NotFound("Service account %s does not exist.", a.Name())
}
