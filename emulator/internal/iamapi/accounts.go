package iamapi

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const (
	// accountEtag is what every account has for an etag: it means nothing.
	accountEtag = "MDEwMjE5MjA="

	maxDisplayName = 100 // bytes
	maxDescription = 256 // bytes
)

// showAccount is the account as the API shows it.
func showAccount(a *iam.Account) map[string]any {
	m := map[string]any{
		"name": a.Name(), "projectId": a.ProjectID, "uniqueId": a.UniqueID, "email": a.Email,
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

// findAccount returns the account that the path names: by address or unique id,
// in its project or in "-". If there is none, the node is the project's.
func findAccount(c *wire.Call) (*iam.Account, iam.Node, error) {
	id, projectID := c.Vars["account"], c.Vars["project"]
	a := c.State().AccountByEmail(id)
	if a == nil {
		a = c.State().Accounts[id]
	}
	if a != nil && projectID != "-" {
		if p := c.State().ProjectBy(projectID); p == nil || p.ID != a.ProjectID {
			a = nil
		}
	}
	if a != nil {
		n, err := c.State().AccountNode(a)
		if err == nil && a.IsDeleted() {
			err = wire.NotFound("Account deleted: %s", a.UniqueID)
		}
		if err == nil && overlooks(c, a) {
			err = overlooked(c, a)
		}
		return a, n, err
	}
	missing := wire.NotFound("Service account projects/%s/serviceAccounts/%s does not exist.", projectID, id)
	if dead := c.State().LastDeleted(id); dead != nil {
		missing = wire.NotFound("Account deleted: %s", dead.UniqueID)
	}
	if projectID == "-" {
		// With the wildcard, a missing account is not told from one out of reach.
		return nil, iam.Node{}, wire.Forbidden("Permission denied on resource (or it may not exist).")
	}
	n, _, err := c.State().ProjectNode(projectID)
	if err != nil {
		return nil, iam.Node{}, err
	}
	return nil, n, missing
}

// accountFor is findAccount for a caller that needs a permission on it.
func accountFor(c *wire.Call, permission string) (*iam.Account, error) {
	a, n, err := findAccount(c)
	return a, c.RequireFound(permission, n, err)
}

func iamMethods() []wire.Method {
	const at = "/v1/projects/{project}/serviceAccounts"
	const one = at + "/{account}"
	const keys = one + "/keys"
	ms := []wire.Method{
		{ID: "iam.projects.serviceAccounts.create", Pattern: "POST " + at, Writes: true, Serve: createAccount},
		{ID: "iam.projects.serviceAccounts.list", Pattern: "GET " + at, Serve: listAccounts},
		{ID: "iam.projects.serviceAccounts.get", Pattern: "GET " + one, Serve: getAccount},
		{ID: "iam.projects.serviceAccounts.patch", Pattern: "PATCH " + one, Writes: true, Serve: patchAccount},
		{ID: "iam.projects.serviceAccounts.update", Pattern: "PUT " + one, Writes: true, Serve: updateAccount},
		{ID: "iam.projects.serviceAccounts.delete", Pattern: "DELETE " + one, Writes: true, Serve: deleteAccount},
		{ID: "iam.projects.serviceAccounts.undelete", Pattern: "POST " + one + ":undelete", Writes: true,
			Serve: undeleteAccount},
		{ID: "iam.projects.serviceAccounts.disable", Pattern: "POST " + one + ":disable", Writes: true,
			Serve: disableAccount},
		{ID: "iam.projects.serviceAccounts.enable", Pattern: "POST " + one + ":enable", Writes: true,
			Serve: enableAccount},
		{ID: "iam.projects.serviceAccounts.keys.create", Pattern: "POST " + keys, Writes: true, Serve: createKey},
		{ID: "iam.projects.serviceAccounts.keys.upload", Pattern: "POST " + one + "/keys:upload", Writes: true,
			Serve: uploadKey},
		{ID: "iam.projects.serviceAccounts.keys.list", Pattern: "GET " + keys, Serve: listKeys},
		{ID: "iam.projects.serviceAccounts.keys.get", Pattern: "GET " + keys + "/{key}", Alone: true, Serve: getKey},
		{ID: "iam.projects.serviceAccounts.keys.disable", Pattern: "POST " + keys + "/{key}:disable", Writes: true,
			Serve: disableKey},
		{ID: "iam.projects.serviceAccounts.keys.enable", Pattern: "POST " + keys + "/{key}:enable", Writes: true,
			Serve: enableKey},
		{ID: "iam.projects.serviceAccounts.keys.delete", Pattern: "DELETE " + keys + "/{key}", Writes: true,
			Serve: deleteKey},
	}
	for i := range ms {
		ms[i].Host = iam.Host
	}
	return append(ms, wire.PolicyMethods(wire.PolicySpec{
		ID: "iam.projects.serviceAccounts", Host: iam.Host, Path: one, GetVerb: http.MethodPost,
		Permission: "iam.serviceAccounts", Conditions: true, Grants: "iam.serviceAccount",
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			a, n, err := findAccount(c)
			if err != nil {
				return n, nil, err
			}
			return n, &a.Policy, nil
		},
	})...)
}

func checkText(displayName, description string) error {
	if len(displayName) > maxDisplayName {
		return wire.Invalid("The display name is longer than %d bytes.", maxDisplayName)
	}
	if len(description) > maxDescription {
		return wire.Invalid("The description is longer than %d bytes.", maxDescription)
	}
	return nil
}

func createAccount(c *wire.Call) (any, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, err
	}
	if err := c.Require("iam.serviceAccounts.create", n); err != nil {
		return nil, err
	}
	var body struct {
		AccountID      string `json:"accountId"`
		ServiceAccount struct {
			DisplayName string `json:"displayName"`
			Description string `json:"description"`
		} `json:"serviceAccount"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if !iam.AccountID().MatchString(body.AccountID) {
		return nil, wire.Invalid("Invalid account id %q: it must be 6 to 30 characters of [-a-z0-9], begin with a "+
			"letter and not end with a hyphen.", body.AccountID)
	}
	if err := checkText(body.ServiceAccount.DisplayName, body.ServiceAccount.Description); err != nil {
		return nil, err
	}
	for _, constraint := range []string{iam.NoAccounts, iam.ManagedNames[iam.NoAccounts]} {
		if _, blocked := c.State().ProjectConstraint(p.ID, constraint); !blocked {
			continue
		}
		return nil, iam.RefuseByOrgPolicy(constraint, "projects/"+p.ID+"/serviceAccounts/?configvalue=",
			"Service account creation is not allowed on this project.")
	}
	email := iam.AccountEmail(body.AccountID, p.ID)
	if c.State().AccountByEmail(email) != nil {
		return nil, wire.AlreadyExists("Service account %s already exists within project projects/%s.", body.AccountID,
			p.ID).WithDetails(
			map[string]any{"@type": wire.ResourceInfo, "resourceName": "projects/" + p.ID + "/serviceAccounts/" +
				email})
	}
	if err := roomForAccount(c, p); err != nil {
		return nil, err
	}
	// What names a deleted account of this address must not mean the new one.
	for _, t := range c.State().Tombstones {
		if t.Member == "serviceAccount:"+email {
			c.State().NameTombstone(t)
		}
	}
	a := c.State().AddAccount(p.ID, body.AccountID)
	a.DisplayName, a.Description = body.ServiceAccount.DisplayName, body.ServiceAccount.Description
	a.Seen = c.State().VisibilityOfNew(c.Now)
	return showAccount(a), nil
}

// defaultAccountQuota is how many accounts a project may have, where the seed says
// nothing. Google's number varies from project to project (iam/quotas).
const defaultAccountQuota = 100

// roomForAccount refuses the account that is one too many. Deleted ones do not count.
func roomForAccount(c *wire.Call, p *iam.Project) error {
	if c.State().CountAccounts(p.ID) < cmp.Or(p.AccountQuota, defaultAccountQuota) {
		return nil
	}
	const message = "Maximum number of service accounts on project reached."
	if c.State().Doubts.AccountQuotaPrecondition {
		return wire.Precondition(message)
	}
	return wire.Fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded", message).WithDetails(
		map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "86401s"})
}

func listAccounts(c *wire.Call) (any, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, err
	}
	if err := c.Require("iam.serviceAccounts.list", n); err != nil {
		return nil, err
	}
	var all []*iam.Account
	for _, a := range c.State().Accounts {
		if a.ProjectID == p.ID && !a.IsDeleted() && !overlooks(c, a) {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b *iam.Account) int { return cmp.Compare(a.Email, b.Email) })
	asked, err := c.ListPage()
	if err != nil {
		return nil, err
	}
	part, next, err := wire.Paginate(all, asked, 20, 100)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	var accounts []any
	for _, a := range part {
		accounts = append(accounts, showAccount(a))
	}
	if len(accounts) > 0 {
		answer["accounts"] = accounts
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

func getAccount(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.get")
	if err != nil {
		return nil, err
	}
	return showAccount(a), nil
}

// patchAccount changes what the mask names, and answers no more than that.
func patchAccount(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.update")
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
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	in := body.ServiceAccount
	if err := checkText(in.DisplayName, in.Description); err != nil {
		return nil, err
	}
	answer := map[string]any{"name": a.Name()}
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
			return nil, wire.Invalid("Invalid update mask: %q.", field)
		}
	}
	return answer, nil
}

// updateAccount is the older way to change the display name: the body is the account.
func updateAccount(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.update")
	if err != nil {
		return nil, err
	}
	var body struct {
		DisplayName string `json:"displayName"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if err := checkText(body.DisplayName, ""); err != nil {
		return nil, err
	}
	a.DisplayName = body.DisplayName
	return showAccount(a), nil
}

// deleteAccount deletes an account. Policies keep naming it, by its tombstone.
func deleteAccount(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.delete")
	if err != nil {
		return nil, err
	}
	s := c.State()
	t := s.DeleteAccount(a, c.Now)
	if s.Doubts.TombstoneLag == 0 {
		s.NameTombstone(t)
	}
	c.CheckDue()
	return struct{}{}, nil
}

// undeleteAccount brings an account and its bindings back. It takes only the unique id.
func undeleteAccount(c *wire.Call) (any, error) {
	a := c.State().Accounts[c.Vars["account"]]
	projectID := c.Vars["project"]
	if a != nil && projectID == "-" {
		projectID = a.ProjectID
	}
	n, p, err := c.State().ProjectNode(projectID)
	if err != nil {
		return nil, err
	}
	if err := c.Require("iam.serviceAccounts.undelete", n); err != nil {
		return nil, err
	}
	switch {
	case a == nil || a.ProjectID != p.ID:
		return nil, wire.NotFound("Service account %s does not exist.", c.Vars["account"])
	case !a.IsDeleted():
		return nil, wire.Precondition("Service account %s is not deleted.", a.UniqueID)
	case c.State().AccountByEmail(a.Email) != nil:
		return nil, wire.Precondition("A service account named %s already exists.", a.Email)
	}
	c.State().RestoreAccount(a)
	c.State().Rename(a.Tombstone(), a.Member())
	return map[string]any{"restoredAccount": showAccount(a)}, nil
}

func disableAccount(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.disable")
	if err != nil {
		return nil, err
	}
	a.Switch(c.Company(), true, c.Now)
	return struct{}{}, nil
}

func enableAccount(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.enable")
	if err != nil {
		return nil, err
	}
	a.Switch(c.Company(), false, c.Now)
	return struct{}{}, nil
}
