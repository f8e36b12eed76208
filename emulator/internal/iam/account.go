package iam

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/lazy"
)

// Account is one account, live or deleted.
type Account struct {
	UniqueID    string    `json:"uniqueId"`
	ProjectID   string    `json:"projectId"`
	Email       string    `json:"email"`
	DisplayName string    `json:"displayName,omitempty"`
	Description string    `json:"description,omitempty"`
	Disabled    bool      `json:"disabled,omitempty"`
	Deleted     time.Time `json:"deleted,omitzero"`
	Keys        []*Key    `json:"keys,omitempty"`
	// System are the keys that Google holds for the account.
	System []*SystemKey `json:"systemKeys,omitempty" snapshot:"-"`
	Seen   Visibility   `json:"seen,omitzero" snapshot:"-"`
	Policy Policy       `json:"policy"`
}

// Host is the service that keeps accounts and identity pools.
const Host = "iam.googleapis.com"

// UndeletePeriod is how long a deleted account, or project, can be brought back.
const UndeletePeriod = 30 * 24 * time.Hour

// AccountID is what the ids of accounts look like.
var AccountID = lazy.Regexp(`^[a-z][-a-z0-9]{4,28}[a-z0-9]$`)

// IsDeleted reports whether the account was deleted.
func (a *Account) IsDeleted() bool { return !a.Deleted.IsZero() }

// Member is the account as policies name it.
func (a *Account) Member() string { return "serviceAccount:" + a.Email }

// Tombstone is the account as policies name it after its deletion.
func (a *Account) Tombstone() string {
	return "deleted:serviceAccount:" + a.Email + "?uid=" + a.UniqueID
}

// Name is the account as its API names it.
func (a *Account) Name() string {
	return "projects/" + a.ProjectID + "/serviceAccounts/" + a.Email
}

// AccountByEmail returns the live account of that address, or nil.
func (s *Company) AccountByEmail(email string) *Account {
	return s.live[email]
}

// LastDeleted returns the account of that address that was deleted last and could still
// come back, or nil.
func (s *Company) LastDeleted(email string) (last *Account) {
	for _, a := range s.Accounts {
		if a.Email == email && a.IsDeleted() && (last == nil || a.Deleted.After(last.Deleted)) {
			last = a
		}
	}
	return last
}

// AccountNode is an account as IAM sees it. Service accounts provide no resource
// attributes to conditions (iam/docs/conditions-resource-attributes).
func (s *Company) AccountNode(a *Account) (Node, error) {
	parent, _, err := s.ProjectNode(a.ProjectID)
	if err != nil {
		return Node{}, err
	}
	return parent.Child("//iam.googleapis.com/"+a.Name(), "", "", &a.Policy), nil
}

// AccountEmail is the address of an account. A project of a domain
// ("example.com:p") has its two parts in reverse order there.
func AccountEmail(id, projectID string) string {
	if domain, name, ok := strings.Cut(projectID, ":"); ok {
		projectID = name + "." + domain
	}
	return id + "@" + projectID + ".iam.gserviceaccount.com"
}

// AddAccount makes an account with a unique id of its own.
func (s *Company) AddAccount(projectID, id string) *Account {
	a := &Account{UniqueID: UniqueID(), ProjectID: projectID, Email: AccountEmail(id, projectID)}
	s.Accounts[a.UniqueID], s.live[a.Email] = a, a
	return a
}

// DeleteAccount deletes an account, and returns its tombstone.
func (s *Company) DeleteAccount(a *Account, now time.Time) *Tombstone {
	a.Deleted = now
	delete(s.live, a.Email)
	t := &Tombstone{Account: a.UniqueID, Member: a.Member(), Name: a.Tombstone(), Deleted: now}
	s.Tombstones[a.UniqueID] = t
	return t
}

// RestoreAccount brings a deleted account back.
func (s *Company) RestoreAccount(a *Account) {
	a.Deleted = time.Time{}
	s.live[a.Email] = a
	delete(s.Tombstones, a.UniqueID)
}

// CountAccounts counts the accounts of a project, without the deleted ones.
func (s *Company) CountAccounts(projectID string) int {
	n := 0
	for _, a := range s.live {
		if a.ProjectID == projectID {
			n++
		}
	}
	return n
}

// UniqueID draws 21 digits, the first of them 1.
func UniqueID() string {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(20), nil))
	if err != nil {
		panic(err) // the system's source of randomness does not fail
	}
	return fmt.Sprintf("1%020d", n)
}

// ProjectOfEmail returns the project in an account's address.
func ProjectOfEmail(email string) string {
	_, domain, _ := strings.Cut(email, "@")
	return strings.TrimSuffix(domain, ".iam.gserviceaccount.com")
}

// Visibility is from when on the parts of IAM see an account. Zero means always.
type Visibility struct {
	Read time.Time `json:"read,omitzero"`
	Bind time.Time `json:"bind,omitzero"`
	Mint time.Time `json:"mint,omitzero"`
	// Switch is when being disabled, or enabled, takes effect.
	Switch time.Time `json:"switch,omitzero"`
}

// VisibilityOfNew is the visibility of an account made now.
func (s *Company) VisibilityOfNew(now time.Time) Visibility {
	return Visibility{Read: s.After(NewAccountRead, now), Bind: s.After(NewAccountBind, now),
		Mint: s.After(NewAccountMint, now)}
}

// off reports whether the account is treated as disabled at now.
func (a *Account) off(now time.Time) bool { return a.Disabled != now.Before(a.Seen.Switch) }

// Switch disables or enables the account, with effect after the lag.
func (a *Account) Switch(s *Company, off bool, now time.Time) {
	if a.Disabled == off {
		return
	}
	before := a.off(now)
	a.Disabled, a.Seen.Switch = off, time.Time{}
	if before != off {
		a.Seen.Switch = s.After(AccountSwitched, now)
	}
}

// Mintable reports whether IAM Credentials knows the account.
func (a *Account) Mintable(now time.Time) bool { return !now.Before(a.Seen.Mint) }

// bindable reports whether a policy that is written with o may name the account of that
// address: whether it exists and, except for policies of the IAM API itself, is seen.
func (s *Company) bindable(email string, o WriteOptions) bool {
	a := s.AccountByEmail(email)
	return a != nil && (strings.HasPrefix(o.Service, "iam.") || !o.Now.Before(a.Seen.Bind))
}
