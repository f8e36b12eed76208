// Package credentials makes what a sandbox is given, and takes it away again: a
// service account key, an access token or the way to a metadata server in a folder of
// its own, and the environment that points Google's clients at it and at nothing else.
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
	// Kind says which of those that follow are there. Key is a key file of the account,
	// Token an access token of it. Metadata is the address of the run's metadata server,
	// HOST:PORT, and External a credential file without a secret that leads there.
	Kind     grants.Delivery
	Key      secret.String
	Token    secret.String
	Metadata string
	External string
	// More is put behind what [Environment] says: the variables that point clients
	// at an emulator. CA is the certificate of an emulator's CA, in PEM, for them to
	// name as [CAPath]: a sandbox does not see where the emulator keeps it.
	More []Var
	CA   string
	// Owner is the number of the user whom the delivery is for; 0 is this user. The
	// folder stays this user's, so that nobody else can put something in the place of
	// what is in it; the files are the owner's. That takes the right to give them away.
	Owner int
}
