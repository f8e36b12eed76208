// Package iam decides who may do what, as Google's IAM does.
//
// It holds the company that decisions are about: the organization with its folders and
// projects, people, groups, service accounts and their keys, identity pools, custom roles,
// and allow policies. What of it has an etag, a limit or a rule of its own keeps to that.
//
// Its invariant: a decision is the union of the allow policies from the resource up to the
// organization, and a condition that cannot be evaluated grants nothing. It knows no
// service and no HTTP: whatever has a policy is a [Node].
package iam

import (
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/secret"
)

// Company is what IAM knows: the resources that hold others, who there is, and the
// policies of whatever has no service of its own.
//
// A field tagged snapshot:"-" is no part of a snapshot.
type Company struct {
	Organizations map[string]*Organization `json:"organizations,omitempty"` // by number
	Folders       map[string]*Folder       `json:"folders,omitempty"`       // by number
	Projects      map[string]*Project      `json:"projects,omitempty"`      // by id
	People        map[string]*Person       `json:"people,omitempty"`        // by e-mail address
	Groups        map[string][]string      `json:"groups,omitempty"`        // member strings, by e-mail address
	Accounts      map[string]*Account      `json:"accounts,omitempty"`      // by unique id; the deleted ones too
	Tokens        map[string]*AccessToken  `json:"tokens,omitempty"`        // by SHA-256, in hexadecimal
	Operator      string                   `json:"operator,omitempty"`      // member string
	Pools         map[string]*IdentityPool `json:"pools,omitempty"`         // by name, of workloads and of a workforce
	Doubts        Doubts                   `json:"doubts,omitzero"`

	// Roles are the custom roles by full name, the deleted ones too. Runs share them, so
	// no run deletes them when it ends.
	Roles map[string]*CustomRole `json:"roles,omitempty" snapshot:"-"`
	// Tombstones are the deleted accounts, by unique id, that policies still name.
	Tombstones map[string]*Tombstone `json:"graves,omitempty" snapshot:"-"`
	// Signing is the key behind Google's own signatures, those of identity tokens; no client changes it.
	Signing privateKey `json:"signing,omitzero" snapshot:"-"`

	// Resources are those of which there is only a name and a policy, by full name.
	Resources map[string]*Resource `json:"resources,omitempty"`

	// Delays say when a change is seen; nil means at once.
	Delays delays `json:"-"`
	// OperatorToken is the operator's bearer token, the one that does not expire.
	OperatorToken secret.String `json:"-"`
	// RefreshToken is that of the operator's login; zero means that there is no login.
	RefreshToken secret.String `json:"-"`

	live map[string]*Account // the accounts that are not deleted, by e-mail address
}

// NewCompany returns an empty company.
func NewCompany() Company {
	var c Company
	c.Index()
	return c
}

// Index makes the maps that methods write to, and the index of live accounts.
func (c *Company) Index() {
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
	c.Signing.read()
	if c.Operator != "" && !strings.Contains(c.Operator, ":") { // data of earlier versions: an e-mail address
		c.Operator = "user:" + c.Operator
	}
	c.live = map[string]*Account{}
	for _, a := range c.Accounts {
		for _, k := range a.System {
			k.read()
		}
		if !a.IsDeleted() {
			c.live[a.Email] = a
		}
	}
}

func makeMap[V any](m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
}

// Organization is the root of the company.
type Organization struct {
	Number string `json:"number"`
	Domain string `json:"domain"`
	Policy Policy `json:"policy"`
	// Constraints are the organization policies in force below, as project's.
	Constraints []string `json:"constraints,omitempty"`
}

// Folder holds projects and folders.
type Folder struct {
	Number string `json:"number"`
	Name   string `json:"displayName,omitempty"`
	Parent string `json:"parent"` // organizations/N or folders/N
	Policy Policy `json:"policy"`
	// Constraints are the organization policies in force below, as project's.
	Constraints []string `json:"constraints,omitempty"`
}

// Project holds resources.
type Project struct {
	ID      string    `json:"id"`
	Number  string    `json:"number"`
	Name    string    `json:"displayName,omitempty"`
	Parent  string    `json:"parent,omitempty"` // organizations/N or folders/N
	Created time.Time `json:"created"`
	Policy  Policy    `json:"policy"`
	// Deleted is when the project was shut down; zero for one that is not. Its id is never
	// free again (resource-manager/docs/creating-managing-projects).
	Deleted time.Time `json:"deleted,omitzero"`
	// Constraints are the organization policies in force, such as
	// "constraints/iam.disableServiceAccountKeyUpload".
	Constraints []string `json:"constraints,omitempty"`
	// AccountQuota is how many accounts the project may have; 0 means the default.
	AccountQuota int `json:"accountQuota,omitempty"`
	// Disabled are the APIs that are not enabled, such as "pubsub.googleapis.com".
	Disabled []string `json:"disabledServices,omitempty"`
}

// Person is a principal that is no service account.
type Person struct {
	Email string `json:"email"`
	ID    string `json:"id"` // what tokeninfo calls sub
}
