package emulator

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

const (
	// accountEtag is what every account has for an etag: it means nothing.
	accountEtag = "MDEwMjE5MjA="

	maxDisplayName = 100 // bytes
	maxDescription = 256 // bytes
)

// showAccount is the account as the API shows it.
func showAccount(a *serviceAccount) map[string]any {
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

// findAccount returns the account that the path names: by address or unique id,
// in its project or in "-". If there is none, the node is the project's.
func findAccount(c *call) (*serviceAccount, node, error) {
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
		n, err := c.state().accountNode(a)
		if err == nil && a.deleted() {
			err = notFound("Account deleted: %s", a.UniqueID)
		}
		if err == nil && overlooks(c, a) {
			err = overlooked(c, a)
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
	n, _, err := c.state().projectNode(projectID)
	if err != nil {
		return nil, node{}, err
	}
	return nil, n, missing
}

// accountFor is findAccount for a caller that needs a permission on it.
func accountFor(c *call, permission string) (*serviceAccount, error) {
	a, n, err := findAccount(c)
	return a, c.requireFound(permission, n, err)
}

// iamService is the IAM API: accounts, keys, roles.
func iamService() *service {
	return &service{
		Name: iamHost, Title: "Identity and Access Management (IAM) API", Scopes: []string{"iam"},
		Methods: slices.Concat(iamMethods(), roleMethods(), customRoleMethods()),
		Seed:    iamSeed, Assets: accountAssets, Denied: deniedUnnamed, Quota: spendWrite,
		Grantable: map[string][]string{"serviceAccounts": {"iam.serviceAccount"}},
	}
}

func accountAssets(st *state, add func(asset)) {
	for _, a := range st.Accounts {
		full := "//" + iamHost + "/projects/" + a.ProjectID + "/serviceAccounts/" + a.UniqueID
		if asset, ok := st.assetBelow(a.ProjectID, full, iamHost+"/ServiceAccount", &a.Policy); ok && !a.deleted() {
			add(asset)
		}
	}
}

// deniedUnnamed is a 403 that names no resource.
func deniedUnnamed(_ *principal, permission string, _ node) *apiError {
	return forbidden("Permission '%s' denied on resource (or it may not exist).", permission).withDetails(
		errorInfo("IAM_PERMISSION_DENIED", iamHost, map[string]string{"permission": permission}))
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
		return invalid("The display name is longer than %d bytes.", maxDisplayName)
	}
	if len(description) > maxDescription {
		return invalid("The description is longer than %d bytes.", maxDescription)
	}
	return nil
}

func createAccount(c *call) (any, error) {
	n, p, err := c.state().projectNode(c.vars["project"])
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
		return nil, refuseByPolicy(constraint, "projects/"+p.ID+"/serviceAccounts/?configvalue=", "Service account creation is not allowed on this project.")
	}
	email := accountEmail(body.AccountID, p.ID)
	if c.state().accountByEmail(email) != nil {
		return nil, alreadyExists("Service account %s already exists within project projects/%s.", body.AccountID, p.ID).withDetails(
			map[string]any{"@type": resourceInfo, "resourceName": "projects/" + p.ID + "/serviceAccounts/" + email})
	}
	if err := roomForAccount(c, p); err != nil {
		return nil, err
	}
	// What names a deleted account of this address must not mean the new one.
	for _, t := range c.state().Tombstones {
		if t.Member == "serviceAccount:"+email {
			c.state().nameTombstone(t)
		}
	}
	a := c.state().addAccount(p.ID, body.AccountID)
	a.DisplayName, a.Description = body.ServiceAccount.DisplayName, body.ServiceAccount.Description
	a.Seen = c.state().newcomer(c.now)
	return showAccount(a), nil
}

// defaultAccountQuota is how many accounts a project may have, where the seed says
// nothing. Google's number varies from project to project (iam/quotas).
const defaultAccountQuota = 100

// roomForAccount refuses the account that is one too many. Deleted ones do not count.
func roomForAccount(c *call, p *project) error {
	if c.state().countAccounts(p.ID) < cmp.Or(p.AccountQuota, defaultAccountQuota) {
		return nil
	}
	const message = "Maximum number of service accounts on project reached."
	if c.state().Doubts.AccountQuotaPrecondition {
		return precondition(message)
	}
	return fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded", message)
}

func listAccounts(c *call) (any, error) {
	n, p, err := c.state().projectNode(c.vars["project"])
	if err != nil {
		return nil, err
	}
	if err := c.require("iam.serviceAccounts.list", n); err != nil {
		return nil, err
	}
	var all []*serviceAccount
	for _, a := range c.state().Accounts {
		if a.ProjectID == p.ID && !a.deleted() && !overlooks(c, a) {
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

func getAccount(c *call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.get")
	if err != nil {
		return nil, err
	}
	return showAccount(a), nil
}

// patchAccount changes what the mask names, and answers no more than that.
func patchAccount(c *call) (any, error) {
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
	a, err := accountFor(c, "iam.serviceAccounts.update")
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
	return showAccount(a), nil
}

// deleteAccount deletes an account. Policies keep naming it, by its tombstone.
func deleteAccount(c *call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.delete")
	if err != nil {
		return nil, err
	}
	s := c.state()
	t := s.deleteAccount(a, c.now)
	if s.Doubts.TombstoneLag == 0 {
		s.nameTombstone(t)
	}
	c.checkDue()
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
	n, p, err := c.state().projectNode(projectID)
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
	c.state().restoreAccount(a)
	c.state().rename(a.tombstone(), a.member())
	return map[string]any{"restoredAccount": showAccount(a)}, nil
}

func disableAccount(c *call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.disable")
	if err != nil {
		return nil, err
	}
	a.turn(c.company(), true, c.now)
	return struct{}{}, nil
}

func enableAccount(c *call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccounts.enable")
	if err != nil {
		return nil, err
	}
	a.turn(c.company(), false, c.now)
	return struct{}{}, nil
}
