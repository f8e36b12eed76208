package emulator

import "time"

// state is everything the emulator holds, as --data keeps it in a file.
//
// A field tagged snapshot:"-" is left out of [Server.Snapshot]; that is for etags,
// metagenerations and update times alone. An empty policy is left out by itself.
type state struct {
	Organizations map[string]*organization   `json:"organizations,omitempty"` // by number
	Folders       map[string]*folder         `json:"folders,omitempty"`       // by number
	Projects      map[string]*project        `json:"projects,omitempty"`      // by id
	People        map[string]*person         `json:"people,omitempty"`        // by e-mail address
	Groups        map[string][]string        `json:"groups,omitempty"`        // member strings, by e-mail address
	Accounts      map[string]*serviceAccount `json:"accounts,omitempty"`      // by unique id; the deleted ones too
	Tokens        map[string]*accessToken    `json:"tokens,omitempty"`        // by SHA-256, in hexadecimal
	Operator      string                     `json:"operator,omitempty"`      // e-mail address

	Storage  storageState  `json:"storage"`
	PubSub   pubsubState   `json:"pubsub"`
	Secrets  secretState   `json:"secrets"`
	BigQuery bigqueryState `json:"bigquery"`
}

type organization struct {
	Number string `json:"number"`
	Domain string `json:"domain"`
	Policy policy `json:"policy"`
}

type folder struct {
	Number string `json:"number"`
	Name   string `json:"displayName,omitempty"`
	Parent string `json:"parent"` // organizations/N or folders/N
	Policy policy `json:"policy"`
}

type project struct {
	ID      string    `json:"id"`
	Number  string    `json:"number"`
	Name    string    `json:"displayName,omitempty"`
	Parent  string    `json:"parent,omitempty"` // organizations/N or folders/N
	Created time.Time `json:"created"`
	Policy  policy    `json:"policy"`
	// Constraints are the organisation policies in force, such as
	// "constraints/iam.disableServiceAccountKeyUpload".
	Constraints []string `json:"constraints,omitempty"`
}

// person is a principal that is no service account.
type person struct {
	Email string `json:"email"`
	ID    string `json:"id"` // what tokeninfo calls sub
}
