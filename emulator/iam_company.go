package emulator

import (
	"crypto/x509"
	"time"

	"github.com/taskiam/taskiam/internal/secret"
)

// company is what IAM knows: the resources that hold others, who there is, and the
// policies of whatever has no service of its own.
//
// A field tagged snapshot:"-" is no part of a snapshot.
type company struct {
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

	// Roles are the custom roles by full name, the deleted ones too. Runs share them, and
	// nobody deletes them when a run ends.
	Roles map[string]*customRole `json:"roles,omitempty" snapshot:"-"`
	// Tombstones are the deleted accounts, by unique id, that policies still name.
	Tombstones map[string]*tombstone `json:"graves,omitempty" snapshot:"-"`
	// Signing is the key behind Google's own signatures; no client changes it.
	Signing signingKey `json:"signing,omitzero" snapshot:"-"`

	// Resources are those of which there is only a name and a policy, by full name.
	Resources map[string]*namedResource `json:"resources,omitempty"`

	// Delays say when a change is seen; nil means at once.
	Delays delays `json:"-"`
	// OperatorToken is the operator's bearer token, the one that does not expire.
	OperatorToken secret.String `json:"-"`
	// RefreshToken is that of the operator's login; zero means that there is no login.
	RefreshToken secret.String `json:"-"`

	live map[string]*serviceAccount // the accounts that are not deleted, by e-mail address
}

// newCompany returns a company in which there is nobody.
func newCompany() company {
	var c company
	c.index()
	return c
}

// index makes the maps that methods write to, and the index of live accounts.
func (c *company) index() {
	makeMap(&c.Organizations)
	makeMap(&c.Folders)
	makeMap(&c.Projects)
	makeMap(&c.People)
	makeMap(&c.Groups)
	makeMap(&c.Accounts)
	makeMap(&c.Tokens)
	makeMap(&c.Roles)
	makeMap(&c.Pools)
	makeMap(&c.Tombstones)
	makeMap(&c.Resources)
	if len(c.Signing.DER) > 0 {
		// If it cannot be read, whoever has to sign with it says so.
		c.Signing.parsed, _ = x509.ParsePKCS1PrivateKey(c.Signing.DER)
	}
	c.live = map[string]*serviceAccount{}
	for _, a := range c.Accounts {
		if !a.deleted() {
			c.live[a.Email] = a
		}
	}
}

func makeMap[V any](m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
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
