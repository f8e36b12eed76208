package emulator

import "time"

// state is everything the emulator holds, as --data keeps it in a file.
//
// A field tagged snapshot:"-" is left out of [Server.Snapshot]; that is for etags,
// metagenerations, update times, graves, shared custom roles, and the emulator's own
// signing key. An empty policy is left out by itself.
type state struct {
	lags *lags // how long changes take to be seen; nil while the seed is read

	Organizations map[string]*organization   `json:"organizations,omitempty"` // by number
	Folders       map[string]*folder         `json:"folders,omitempty"`       // by number
	Projects      map[string]*project        `json:"projects,omitempty"`      // by id
	People        map[string]*person         `json:"people,omitempty"`        // by e-mail address
	Groups        map[string][]string        `json:"groups,omitempty"`        // member strings, by e-mail address
	Accounts      map[string]*serviceAccount `json:"accounts,omitempty"`      // by unique id; the deleted ones too
	Tokens        map[string]*accessToken    `json:"tokens,omitempty"`        // by SHA-256, in hexadecimal
	Operator      string                     `json:"operator,omitempty"`      // e-mail address
	Pools         map[string]*identityPool   `json:"pools,omitempty"`         // by name, projects/NUMBER/...
	Doubts        Doubts                     `json:"doubts,omitzero"`

	// Roles are the custom roles by full name, the deleted ones too. They are shared:
	// whoever needs one looks for it, and nobody tidies them away.
	Roles map[string]*customRole `json:"roles,omitempty" snapshot:"-"`
	// Graves are the deleted accounts, by unique id, whose tombstones still stand.
	Graves map[string]*grave `json:"graves,omitempty" snapshot:"-"`
	// Signing is the key behind Google's own signatures; no client changes it.
	Signing signingKey `json:"signing,omitzero" snapshot:"-"`

	live map[string]*serviceAccount // the accounts that are not deleted, by e-mail address

	Storage  storageState  `json:"storage"`
	PubSub   pubsubState   `json:"pubsub"`
	Secrets  secretState   `json:"secrets"`
	BigQuery bigqueryState `json:"bigquery"`
	KMS      kmsState      `json:"kms"`

	Resources map[string]*namedResource `json:"resources,omitempty"` // of all other services, by full name
}

type organization struct {
	Number string `json:"number"`
	Domain string `json:"domain"`
	Policy policy `json:"policy"`
	// Constraints are the organization policies in force below, as project's.
	Constraints []string `json:"constraints,omitempty"`
}

type folder struct {
	Number string `json:"number"`
	Name   string `json:"displayName,omitempty"`
	Parent string `json:"parent"` // organizations/N or folders/N
	Policy policy `json:"policy"`
	// Constraints are the organization policies in force below, as project's.
	Constraints []string `json:"constraints,omitempty"`
}

type project struct {
	ID      string    `json:"id"`
	Number  string    `json:"number"`
	Name    string    `json:"displayName,omitempty"`
	Parent  string    `json:"parent,omitempty"` // organizations/N or folders/N
	Created time.Time `json:"created"`
	Policy  policy    `json:"policy"`
	// Constraints are the organization policies in force, such as
	// "constraints/iam.disableServiceAccountKeyUpload".
	Constraints []string `json:"constraints,omitempty"`
	// AccountQuota is how many accounts the project may have; 0 means the default.
	AccountQuota int `json:"accountQuota,omitempty"`
	// Disabled are the APIs that are not enabled, such as "pubsub.googleapis.com".
	Disabled []string `json:"disabledServices,omitempty"`
}

// person is a principal that is no service account.
type person struct {
	Email string `json:"email"`
	ID    string `json:"id"` // what tokeninfo calls sub
}
