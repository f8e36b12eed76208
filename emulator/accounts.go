package emulator

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// serviceAccount is one account, alive or in its grave.
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

const (
	iamHost = "iam.googleapis.com"
	// accountEtag is what every account has for an etag: it means nothing.
	accountEtag = "MDEwMjE5MjA="
	// undeletePeriod is how long a deleted account can be brought back.
	undeletePeriod = 30 * 24 * time.Hour

	maxDisplayName = 100 // bytes
	maxDescription = 256 // bytes
)

var accountID = regexp.MustCompile(`^[a-z][-a-z0-9]{4,28}[a-z0-9]$`)

func (a *serviceAccount) deleted() bool  { return !a.Deleted.IsZero() }
func (a *serviceAccount) member() string { return "serviceAccount:" + a.Email }
func (a *serviceAccount) tombstone() string {
	return "deleted:serviceAccount:" + a.Email + "?uid=" + a.UniqueID
}
func (a *serviceAccount) name() string {
	return "projects/" + a.ProjectID + "/serviceAccounts/" + a.Email
}

// resource is the account as the API shows it.
func (a *serviceAccount) resource() map[string]any {
	m := map[string]any{
		"name": a.name(), "projectId": a.ProjectID, "uniqueId": a.UniqueID, "email": a.Email,
		"oauth2ClientId": a.UniqueID, "etag": accountEtag,
	}
	if a.DisplayName != "" {
		m["displayName"] = a.DisplayName
	}
	if a.Description != "" {
		m["description"] = a.Description
	}
	if a.Disabled {
		m["disabled"] = true
	}
	return m
}

// accountByEmail returns the live account of that address, or nil.
func (s *state) accountByEmail(email string) *serviceAccount {
	return s.live[email]
}

// lastOf returns the account of that address that was deleted last and could still
// come back, or nil.
func (s *state) lastOf(email string) (last *serviceAccount) {
	for _, a := range s.Accounts {
		if a.Email == email && a.deleted() && (last == nil || a.Deleted.After(last.Deleted)) {
			last = a
		}
	}
	return last
}

// accountNode is an account as IAM sees it. Service accounts provide no resource
// attributes to conditions (iam/docs/conditions-resource-attributes).
func (s *Server) accountNode(a *serviceAccount) (node, error) {
	parent, _, err := s.projectNode(a.ProjectID)
	if err != nil {
		return node{}, err
	}
	return parent.child("//iam.googleapis.com/"+a.name(), "", "", &a.Policy), nil
}

// findAccount returns the account that the path names: by address or unique id,
// in its project or in "-". If there is none, the node is the project's.
func (c *call) findAccount() (*serviceAccount, node, error) {
	id, projectID := c.vars["account"], c.vars["project"]
	a := c.state().accountByEmail(id)
	if a == nil {
		a = c.state().Accounts[id]
	}
	if a != nil && projectID != "-" {
		if p := c.state().projectBy(projectID); p == nil || p.ID != a.ProjectID {
			a = nil
		}
	}
	if a != nil {
		n, err := c.server.accountNode(a)
		if err == nil && a.deleted() {
			err = notFound("Account deleted: %s", a.UniqueID)
		}
		if err == nil && c.overlooks(a) {
			err = c.overlooked(a)
		}
		return a, n, err
	}
	missing := notFound("Service account projects/%s/serviceAccounts/%s does not exist.", projectID, id)
	if dead := c.state().lastOf(id); dead != nil {
		missing = notFound("Account deleted: %s", dead.UniqueID)
	}
	if projectID == "-" {
		// With the wildcard, a missing account is not told from one out of reach.
		return nil, node{}, forbidden("Permission denied on resource (or it may not exist).")
	}
	n, _, err := c.server.projectNode(projectID)
	if err != nil {
		return nil, node{}, err
	}
	return nil, n, missing
}

// account is findAccount for a caller that needs a permission on it.
func (c *call) account(permission string) (*serviceAccount, error) {
	a, n, err := c.findAccount()
	return a, c.requireFound(permission, n, err)
}

func iamMethods() []method {
	const at = "/v1/projects/{project}/serviceAccounts"
	const one = at + "/{account}"
	const keys = one + "/keys"
	ms := []method{
		{id: "iam.projects.serviceAccounts.create", pattern: "POST " + at, writes: true, serve: createAccount},
		{id: "iam.projects.serviceAccounts.list", pattern: "GET " + at, serve: listAccounts},
		{id: "iam.projects.serviceAccounts.get", pattern: "GET " + one, serve: getAccount},
		{id: "iam.projects.serviceAccounts.patch", pattern: "PATCH " + one, writes: true, serve: patchAccount},
		{id: "iam.projects.serviceAccounts.update", pattern: "PUT " + one, writes: true, serve: updateAccount},
		{id: "iam.projects.serviceAccounts.delete", pattern: "DELETE " + one, writes: true, serve: deleteAccount},
		{id: "iam.projects.serviceAccounts.undelete", pattern: "POST " + one + ":undelete", writes: true, serve: undeleteAccount},
		{id: "iam.projects.serviceAccounts.disable", pattern: "POST " + one + ":disable", writes: true, serve: disableAccount},
		{id: "iam.projects.serviceAccounts.enable", pattern: "POST " + one + ":enable", writes: true, serve: enableAccount},
		{id: "iam.projects.serviceAccounts.keys.create", pattern: "POST " + keys, writes: true, serve: createKey},
		{id: "iam.projects.serviceAccounts.keys.upload", pattern: "POST " + one + "/keys:upload", writes: true, serve: uploadKey},
		{id: "iam.projects.serviceAccounts.keys.list", pattern: "GET " + keys, serve: listKeys},
		{id: "iam.projects.serviceAccounts.keys.get", pattern: "GET " + keys + "/{key}", serve: getKey},
		{id: "iam.projects.serviceAccounts.keys.disable", pattern: "POST " + keys + "/{key}:disable", writes: true, serve: disableKey},
		{id: "iam.projects.serviceAccounts.keys.enable", pattern: "POST " + keys + "/{key}:enable", writes: true, serve: enableKey},
		{id: "iam.projects.serviceAccounts.keys.delete", pattern: "DELETE " + keys + "/{key}", writes: true, serve: deleteKey},
	}
	for i := range ms {
		ms[i].host = iamHost
	}
	return append(ms, policyMethods(policySpec{
		api: "iam.projects.serviceAccounts", host: iamHost, path: one, getVerb: http.MethodPost,
		permission: "iam.serviceAccounts", conditions: true, grants: "iam.serviceAccount",
		find: func(c *call) (node, *policy, error) {
			a, n, err := c.findAccount()
			if err != nil {
				return n, nil, err
			}
			return n, &a.Policy, nil
		},
	})...)
}

func checkText(displayName, description string) error {
	if len(displayName) > maxDisplayName {
		return invalid("The display name is longer than %d bytes.", maxDisplayName)
	}
	if len(description) > maxDescription {
		return invalid("The description is longer than %d bytes.", maxDescription)
	}
	return nil
}

func createAccount(c *call) (any, error) {
	n, p, err := c.server.projectNode(c.vars["project"])
	if err != nil {
		return nil, err
	}
	if err := c.require("iam.serviceAccounts.create", n); err != nil {
		return nil, err
	}
	var body struct {
		AccountID      string `json:"accountId"`
		ServiceAccount struct {
			DisplayName string `json:"displayName"`
			Description string `json:"description"`
		} `json:"serviceAccount"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if !accountID.MatchString(body.AccountID) {
		return nil, invalid("Invalid account id %q: it must be 6 to 30 characters of [-a-z0-9], begin with a letter and not end with a hyphen.", body.AccountID)
	}
	if err := checkText(body.ServiceAccount.DisplayName, body.ServiceAccount.Description); err != nil {
		return nil, err
	}
	for _, constraint := range []string{noAccounts, managedNames[noAccounts]} {
		if _, blocked := c.state().projectConstraint(p.ID, constraint); !blocked {
			continue
		}
		return nil, orgPolicy(constraint, "projects/"+p.ID+"/serviceAccounts/?configvalue=", "Service account creation is not allowed on this project.")
	}
	email := accountEmail(body.AccountID, p.ID)
	if c.state().accountByEmail(email) != nil {
		return nil, alreadyExists("Service account %s already exists within project projects/%s.", body.AccountID, p.ID).withDetails(
			map[string]any{"@type": resourceInfo, "resourceName": "projects/" + p.ID + "/serviceAccounts/" + email})
	}
	if err := c.roomForAccount(p); err != nil {
		return nil, err
	}
	// What named a dead account of this name is not to mean the new one.
	for _, g := range c.state().Graves {
		if g.Member == "serviceAccount:"+email {
			c.state().bury(g)
		}
	}
	a := c.state().addAccount(p.ID, body.AccountID)
	a.DisplayName, a.Description = body.ServiceAccount.DisplayName, body.ServiceAccount.Description
	a.Seen = c.server.lags.newcomer(c.now)
	return a.resource(), nil
}

// defaultAccountQuota is how many accounts a project may have, where the seed says
// nothing. Google's number varies from project to project (iam/quotas).
const defaultAccountQuota = 100

// roomForAccount refuses the account that is one too many. Deleted ones do not count.
func (c *call) roomForAccount(p *project) error {
	count := 0
	for _, a := range c.state().live {
		if a.ProjectID == p.ID {
			count++
		}
	}
	if count < cmp.Or(p.AccountQuota, defaultAccountQuota) {
		return nil
	}
	const message = "Maximum number of service accounts on project reached."
	if c.state().Doubts.AccountQuotaPrecondition {
		return precondition(message)
	}
	return fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded", message)
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
func (s *state) addAccount(projectID, id string) *serviceAccount {
	a := &serviceAccount{UniqueID: uniqueID(), ProjectID: projectID, Email: accountEmail(id, projectID)}
	s.Accounts[a.UniqueID], s.live[a.Email] = a, a
	return a
}

// uniqueID draws 21 digits, the first of them 1.
func uniqueID() string {
	n, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(20), nil))
	if err != nil {
		panic(err) // the system's source of randomness does not fail
	}
	return fmt.Sprintf("1%020d", n)
}

func listAccounts(c *call) (any, error) {
	n, p, err := c.server.projectNode(c.vars["project"])
	if err != nil {
		return nil, err
	}
	if err := c.require("iam.serviceAccounts.list", n); err != nil {
		return nil, err
	}
	var all []*serviceAccount
	for _, a := range c.state().Accounts {
		if a.ProjectID == p.ID && !a.deleted() && !c.overlooks(a) {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b *serviceAccount) int { return cmp.Compare(a.Email, b.Email) })
	asked, err := c.listPage()
	if err != nil {
		return nil, err
	}
	part, next, err := paginate(all, asked, 20, 100)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	var accounts []any
	for _, a := range part {
		accounts = append(accounts, a.resource())
	}
	if len(accounts) > 0 {
		answer["accounts"] = accounts
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// page is the part of a list that was asked for.
type page struct {
	size  int // 0 means the default
	token string
}

// listPage reads pageSize and pageToken from the query.
func (c *call) listPage() (page, error) {
	p := page{token: c.query("pageToken")}
	if q := c.query("pageSize"); q != "" {
		n, err := strconv.Atoi(q)
		if err != nil {
			return p, invalid("Invalid value at 'page_size' (TYPE_INT32), %q", q)
		}
		p.size = n
	}
	return p, nil
}

// paginate returns that part of all, and the token of the next. size is what a page
// holds by default, limit the most.
func paginate[T any](all []T, p page, size, limit int) (part []T, next string, err error) {
	if p.size < 0 {
		return nil, "", invalid("The page size must not be negative.")
	}
	if p.size > 0 {
		size = min(p.size, limit)
	}
	from := 0
	if p.token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(p.token)
		if err == nil {
			from, err = strconv.Atoi(string(raw))
		}
		if err != nil || from < 0 || from > len(all) {
			return nil, "", invalid("Invalid page token.")
		}
	}
	to := min(from+size, len(all))
	if to < len(all) {
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	return all[from:to], next, nil
}

func getAccount(c *call) (any, error) {
	a, err := c.account("iam.serviceAccounts.get")
	if err != nil {
		return nil, err
	}
	return a.resource(), nil
}

// patchAccount changes what the mask names, and answers no more than that.
func patchAccount(c *call) (any, error) {
	a, err := c.account("iam.serviceAccounts.update")
	if err != nil {
		return nil, err
	}
	var body struct {
		ServiceAccount struct {
			DisplayName string `json:"displayName"`
			Description string `json:"description"`
		} `json:"serviceAccount"`
		UpdateMask string `json:"updateMask"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	in := body.ServiceAccount
	if err := checkText(in.DisplayName, in.Description); err != nil {
		return nil, err
	}
	answer := map[string]any{"name": a.name()}
	for field := range strings.SplitSeq(body.UpdateMask, ",") {
		switch strings.TrimSpace(field) {
		case "displayName", "display_name":
			a.DisplayName = in.DisplayName
			answer["displayName"] = in.DisplayName
		case "description":
			a.Description = in.Description
			answer["description"] = in.Description
		case "etag", "":
		default:
			return nil, invalid("Invalid update mask: %q.", field)
		}
	}
	return answer, nil
}

// updateAccount is the older way to change the display name: the body is the account.
func updateAccount(c *call) (any, error) {
	a, err := c.account("iam.serviceAccounts.update")
	if err != nil {
		return nil, err
	}
	var body struct {
		DisplayName string `json:"displayName"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if err := checkText(body.DisplayName, ""); err != nil {
		return nil, err
	}
	a.DisplayName = body.DisplayName
	return a.resource(), nil
}

// deleteAccount buries an account. What names it in policies stays, as a tombstone.
func deleteAccount(c *call) (any, error) {
	a, err := c.account("iam.serviceAccounts.delete")
	if err != nil {
		return nil, err
	}
	a.Deleted = c.now
	s := c.state()
	delete(s.live, a.Email)
	g := &grave{Account: a.UniqueID, Member: a.member(), Tombstone: a.tombstone(), Deleted: c.now}
	s.Graves[a.UniqueID] = g
	if s.Doubts.TombstoneLag == 0 {
		s.bury(g)
	}
	c.server.wake()
	return struct{}{}, nil
}

// undeleteAccount brings an account back, its bindings with it. It takes the unique
// id alone.
func undeleteAccount(c *call) (any, error) {
	a := c.state().Accounts[c.vars["account"]]
	projectID := c.vars["project"]
	if a != nil && projectID == "-" {
		projectID = a.ProjectID
	}
	n, p, err := c.server.projectNode(projectID)
	if err != nil {
		return nil, err
	}
	if err := c.require("iam.serviceAccounts.undelete", n); err != nil {
		return nil, err
	}
	switch {
	case a == nil || a.ProjectID != p.ID:
		return nil, notFound("Service account %s does not exist.", c.vars["account"])
	case !a.deleted():
		return nil, precondition("Service account %s is not deleted.", a.UniqueID)
	case c.state().accountByEmail(a.Email) != nil:
		return nil, precondition("A service account named %s already exists.", a.Email)
	}
	a.Deleted = time.Time{}
	s := c.state()
	s.live[a.Email] = a
	s.rename(a.tombstone(), a.member())
	delete(s.Graves, a.UniqueID)
	return map[string]any{"restoredAccount": a.resource()}, nil
}

func disableAccount(c *call) (any, error) {
	a, err := c.account("iam.serviceAccounts.disable")
	if err != nil {
		return nil, err
	}
	a.turn(true, c.now, c.state().lags)
	return struct{}{}, nil
}

func enableAccount(c *call) (any, error) {
	a, err := c.account("iam.serviceAccounts.enable")
	if err != nil {
		return nil, err
	}
	a.turn(false, c.now, c.state().lags)
	return struct{}{}, nil
}
