package emulator

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// serviceAccount is one account, live or deleted.
type serviceAccount struct {
	UniqueID    string        `json:"uniqueId"`
	ProjectID   string        `json:"projectId"`
	Email       string        `json:"email"`
	DisplayName string        `json:"displayName,omitempty"`
	Description string        `json:"description,omitempty"`
	Disabled    bool          `json:"disabled,omitempty"`
	Deleted     time.Time     `json:"deleted,omitzero"`
	Keys        []*accountKey `json:"keys,omitempty"`
	Seen        visibility    `json:"seen,omitzero" snapshot:"-"`
	Policy      policy        `json:"policy"`
}

const iamHost = "iam.googleapis.com"

// undeletePeriod is how long a deleted account can be brought back.
const undeletePeriod = 30 * 24 * time.Hour

var accountID = regexp.MustCompile(`^[a-z][-a-z0-9]{4,28}[a-z0-9]$`)

func (a *serviceAccount) deleted() bool { return !a.Deleted.IsZero() }

func (a *serviceAccount) member() string { return "serviceAccount:" + a.Email }

func (a *serviceAccount) tombstone() string {
	return "deleted:serviceAccount:" + a.Email + "?uid=" + a.UniqueID
}

func (a *serviceAccount) name() string {
	return "projects/" + a.ProjectID + "/serviceAccounts/" + a.Email
}

// accountByEmail returns the live account of that address, or nil.
func (s *company) accountByEmail(email string) *serviceAccount {
	return s.live[email]
}

// lastOf returns the account of that address that was deleted last and could still
// come back, or nil.
func (s *company) lastOf(email string) (last *serviceAccount) {
	for _, a := range s.Accounts {
		if a.Email == email && a.deleted() && (last == nil || a.Deleted.After(last.Deleted)) {
			last = a
		}
	}
	return last
}

// accountNode is an account as IAM sees it. Service accounts provide no resource
// attributes to conditions (iam/docs/conditions-resource-attributes).
func (s *company) accountNode(a *serviceAccount) (node, error) {
	parent, _, err := s.projectNode(a.ProjectID)
	if err != nil {
		return node{}, err
	}
	return parent.child("//iam.googleapis.com/"+a.name(), "", "", &a.Policy), nil
}

// accountEmail is the address of an account. A project of a domain ("example.com:p")
// turns around.
func accountEmail(id, projectID string) string {
	if domain, name, ok := strings.Cut(projectID, ":"); ok {
		projectID = name + "." + domain
	}
	return id + "@" + projectID + ".iam.gserviceaccount.com"
}

// addAccount makes an account with a unique id of its own.
func (s *company) addAccount(projectID, id string) *serviceAccount {
	a := &serviceAccount{UniqueID: uniqueID(), ProjectID: projectID, Email: accountEmail(id, projectID)}
	s.Accounts[a.UniqueID], s.live[a.Email] = a, a
	return a
}

// deleteAccount deletes an account, and returns its tombstone.
func (s *company) deleteAccount(a *serviceAccount, now time.Time) *tombstone {
	a.Deleted = now
	delete(s.live, a.Email)
	t := &tombstone{Account: a.UniqueID, Member: a.member(), Name: a.tombstone(), Deleted: now}
	s.Tombstones[a.UniqueID] = t
	return t
}

// restoreAccount brings a deleted account back.
func (s *company) restoreAccount(a *serviceAccount) {
	a.Deleted = time.Time{}
	s.live[a.Email] = a
	delete(s.Tombstones, a.UniqueID)
}

// countAccounts counts the accounts of a project, without the deleted ones.
func (s *company) countAccounts(projectID string) int {
	n := 0
	for _, a := range s.live {
		if a.ProjectID == projectID {
			n++
		}
	}
	return n
}

// uniqueID draws 21 digits, the first of them 1.
func uniqueID() string {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(20), nil))
	if err != nil {
		panic(err) // the system's source of randomness does not fail
	}
	return fmt.Sprintf("1%020d", n)
}

// projectOf returns the project in an account's address.
func projectOf(email string) string {
	_, domain, _ := strings.Cut(email, "@")
	return strings.TrimSuffix(domain, ".iam.gserviceaccount.com")
}

// visibility is from when on an account is seen, and by whom. Zero is always.
type visibility struct {
	Read time.Time `json:"read,omitzero"`
	Bind time.Time `json:"bind,omitzero"`
	Mint time.Time `json:"mint,omitzero"`
	// Switch is when being disabled, or enabled, takes effect.
	Switch time.Time `json:"switch,omitzero"`
}

// newcomer is the visibility of an account made now.
func (s *company) newcomer(now time.Time) visibility {
	return visibility{Read: s.after(newAccountRead, now), Bind: s.after(newAccountBind, now), Mint: s.after(newAccountMint, now)}
}

// off reports whether the account is treated as disabled at now.
func (a *serviceAccount) off(now time.Time) bool { return a.Disabled != now.Before(a.Seen.Switch) }

// turn disables or enables the account, with effect after the lag.
func (a *serviceAccount) turn(s *company, off bool, now time.Time) {
	if a.Disabled == off {
		return
	}
	before := a.off(now)
	a.Disabled, a.Seen.Switch = off, time.Time{}
	if before != off {
		a.Seen.Switch = s.after(accountSwitched, now)
	}
}

// minted reports whether IAM Credentials knows the account.
func (a *serviceAccount) minted(now time.Time) bool { return !now.Before(a.Seen.Mint) }

// bindable reports whether a policy that is written with o may name the account of that
// address: whether it is alive and, save for the policies of the IAM API itself, seen.
func (s *company) bindable(email string, o writeOptions) bool {
	a := s.accountByEmail(email)
	return a != nil && (strings.HasPrefix(o.service, "iam.") || !o.now.Before(a.Seen.Bind))
}
