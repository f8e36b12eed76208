// Package credentials makes what a sandbox is given, and takes it away again: a
// service account key or an access token in a folder of its own, and the environment
// that points Google's clients at it and at nothing else.
//
// Its invariant: what it writes can be read by this user alone from the first byte,
// and no client that is started in [Environment], after [Scrub], finds another
// identity than the run's. Where the run has nothing for a client, that client is
// given something that fails, never a gap to fall through.
//
// The package makes no call. What has to be asked of Google (uploading a certificate,
// minting a token) is done by whoever uses it.
package credentials

import (
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// Delivery is what the sandbox of one run is given.
type Delivery struct {
	// Dir is the folder of the delivery: an absolute path that is the run's alone.
	Dir     string
	Run     grants.RunID
	Task    string
	Account grants.Account
	// Expires is when the run ends.
	Expires time.Time
	// Key is a key file of the account, or Token an access token of it; the other is
	// absent. Which of the two, Kind says.
	Key   secret.String
	Token secret.String
	Kind  grants.Delivery
	// More is put behind what [Environment] says: the variables that point clients
	// at an emulator.
	More []Var
}
