package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/named"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// recordedSeed is the company in which exchanges are replayed: an organization whose
// operator may do everything. What an exchange needs is added to it.
const recordedSeed = `
[organization]
number = "200000000002"
domain = "example.com"

[[folder]]
number = "300000000003"
parent = "organizations/200000000002"

[operator]
member = "user:user@google.com"
token = "ya29.recorded-operator"

[[principal]]
member = "user:nobody@example.com"
token = "ya29.recorded-nobody"
`

const (
	recordedOperator = "ya29.recorded-operator"
	recordedNobody   = "ya29.recorded-nobody"
)

// world is an emulator in the state before an exchange, as far as its answer tells.
type world struct {
	*lab
	x       *exchange
	unready bool // an answer 403 means that the account is not seen yet, not that the caller may not
}

// unreplayable is why an exchange cannot be put to the emulator.
type unreplayable string

func (u unreplayable) Error() string { return string(u) }

func newWorld(t *testing.T, x *exchange) *world {
	t.Helper()
	w := &world{lab: newLab(t, func(c *Config) { c.Seed = []byte(recordedSeed) }), x: x}
	o := w.wire.State().Organizations[recordedOrganization]
	o.Policy.Bindings = operatorBindings()
	o.Policy.Changed = epoch.UnixMicro()
	return w
}

// operatorBindings give the operator the roles with which every recorded call is allowed.
func operatorBindings() []iam.Binding {
	var out []iam.Binding
	for _, role := range []string{
		"owner", "iam.securityAdmin", "iam.organizationRoleAdmin", "iam.serviceAccountTokenCreator", "storage.admin",
		"resourcemanager.organizationAdmin", "resourcemanager.folderAdmin", "billing.admin", "apigee.admin",
	} {
		out = append(out, iam.Binding{Role: "roles/" + role, Members: []string{"user:user@google.com"}})
	}
	return out
}

// build makes everything that the exchange takes for granted.
func (w *world) build() error {
	x := w.x
	switch {
	case x.host == "":
		return unreplayable("the service cannot be told from the name of its file")
	case x.given(evidence.GivenAPIDisabled):
		return unreplayable("the recording lacks the details (google.rpc.ErrorInfo, SERVICE_DISABLED) that classify the refusal, and that the emulator gives")
	case slices.Contains(x.path, "denypolicies"):
		return unreplayable("the emulator has no deny policies")
	}
	for _, fact := range x.Given {
		known := func(k string) bool { return fact == k || strings.HasSuffix(k, ": ") && strings.HasPrefix(fact, k) }
		if !slices.ContainsFunc(knownFacts, known) {
			return unreplayable("the worlds of this comparison do not know what it takes for granted: " + fact)
		}
	}
	w.projects()
	w.members()
	for _, step := range []func() error{w.accounts, w.customRoles, w.storage, w.pubsub, w.secrets, w.bigquery, w.kms, w.resources, w.policy} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// knownFacts are what an exchange may take for granted.
var knownFacts = []string{
	evidence.GivenAccountDeleted, evidence.GivenAPIDisabled, evidence.GivenRoleDeleted, evidence.GivenMissing,
	evidence.GivenNotForResource, evidence.GivenSelf, evidence.GivenSelfDisabled, evidence.GivenFirstVersion,
	evidence.GivenAccountsFull,
}

// found reports whether the call met the resource that its path names.
func (w *world) found() bool { return w.x.Status != http.StatusNotFound }

// projects makes the projects that the exchange names.
func (w *world) projects() {
	x := w.x
	names := []string{recordedProject, x.after("projects")}
	if q, err := url.ParseQuery(x.Query); err == nil {
		names = append(names, q.Get("project"))
	}
	for _, m := range projectOfName.FindAllStringSubmatch(strings.Join(x.path, "/")+string(x.request)+string(x.response), -1) {
		names = append(names, m[1])
	}
	lone := len(x.path) == 3 && x.path[1] == "projects" && x.verb == ""
	for i, name := range names {
		missing := lone && x.Status == http.StatusForbidden && name == x.path[2]
		if name == "" || name == "-" || missing || w.wire.State().ProjectBy(name) != nil || strings.HasPrefix(name, "gcp-sa-") {
			continue
		}
		number := fmt.Sprintf("10000000%04d", i+1)
		w.wire.State().Projects[name] = &iam.Project{ID: name, Number: number, Parent: "organizations/" + recordedOrganization, Created: epoch}
		if name == recordedProject {
			w.wire.State().Projects[name].Number = recordedNumber
		}
	}
	if p := w.wire.State().ProjectBy(x.last()); lone && p != nil && x.want["parent"] == nil {
		// It lies nowhere, so the right to see it stands on itself.
		p.Parent, p.Policy = "", iam.Policy{Changed: epoch.UnixMicro(), Bindings: operatorBindings()}
		p.Name, _ = x.want["name"].(string)
		if strings.HasPrefix(p.Name, "projects/") {
			p.Name, _ = x.want["displayName"].(string)
		}
	}
	if o := x.after("organizations"); o != "" && w.wire.State().Organizations[o] == nil {
		w.wire.State().Organizations[o] = &iam.Organization{Number: o, Domain: "example.org", Policy: iam.Policy{Changed: epoch.UnixMicro(), Bindings: operatorBindings()}}
	}
	if f := x.after("folders"); f != "" && w.wire.State().Folders[f] == nil {
		w.wire.State().Folders[f] = &iam.Folder{Number: f, Parent: "organizations/" + recordedOrganization}
	}
}

// members makes the service accounts that a request names, unless the answer is that
// they are missing.
func (w *world) members() {
	for _, text := range strings.FieldsFunc(string(w.x.request)+string(w.x.response), func(r rune) bool { return strings.ContainsRune(`" ?`, r) }) {
		email, ok := strings.CutPrefix(text, "serviceAccount:")
		if ok && !iam.IsServiceAgent(email) && !w.x.given(evidence.GivenMissing+email) {
			w.account(email)
		}
	}
}

// account returns the account of that address, made if it is not there.
func (w *world) account(email string) *iam.Account {
	if a := w.wire.State().AccountByEmail(email); a != nil {
		return a
	}
	if digits.MatchString(email) { // an account may be named by its unique id
		return w.accountByID(email)
	}
	id, _, _ := strings.Cut(email, "@")
	a := w.wire.State().AddAccount(cmp.Or(iam.ProjectOfEmail(email), recordedProject), id)
	a.Email = email
	w.wire.State().Index()
	return a
}

// accountByID returns the account of that unique id, with the address that the answer
// gives it.
func (w *world) accountByID(id string) *iam.Account {
	if a := w.wire.State().Accounts[id]; a != nil {
		return a
	}
	project := w.x.after("projects")
	if project == "-" || project == "" {
		project = recordedProject
	}
	answer := w.x.want
	if restored, ok := answer["restoredAccount"].(map[string]any); ok {
		answer = restored
	}
	email, _ := answer["email"].(string)
	name, _, _ := strings.Cut(cmp.Or(email, "numbered-account"), "@")
	a := w.wire.State().AddAccount(project, name)
	delete(w.wire.State().Accounts, a.UniqueID)
	a.UniqueID, w.wire.State().Accounts[id] = id, a
	a.Email = cmp.Or(email, a.Email)
	w.wire.State().Index()
	return a
}

// accounts makes the account and the keys that the path names.
func (w *world) accounts() error {
	x := w.x
	i := slices.Index(x.path, "serviceAccounts")
	if i < 0 {
		return nil
	}
	if x.verb == "generateAccessToken" && x.Status == http.StatusNotFound {
		return nil
	}
	if i == len(x.path)-1 { // create or list
		return w.accountList()
	}
	email := x.path[i+1]
	onKey := slices.Contains(x.path, "keys")
	if !onKey && x.Status == http.StatusNotFound && !x.given(evidence.GivenAccountDeleted) {
		return nil
	}
	if w.unready {
		return w.unseen(email)
	}
	a := w.account(email)
	if p := x.path[i-1]; p != "-" {
		a.ProjectID = p
	}
	if !onKey && x.Method == http.MethodGet {
		w.describe(a, x.want)
	}
	if x.given(evidence.GivenAccountDeleted) || x.verb == "undelete" && x.Status == http.StatusOK {
		w.wire.State().DeleteAccount(a, epoch.Add(-time.Hour))
	}
	if f, ok := constraintOf(x); ok {
		p := w.wire.State().ProjectBy(a.ProjectID)
		p.Constraints = append(p.Constraints, f)
	}
	if onKey {
		return w.keys(a)
	}
	return nil
}

// describe gives an account what the answer says of it.
func (w *world) describe(a *iam.Account, answer map[string]any) {
	a.DisplayName, _ = answer["displayName"].(string)
	a.Description, _ = answer["description"].(string)
	a.Disabled, _ = answer["disabled"].(bool)
}

// accountList makes the accounts of a list, or the one whose name is taken.
func (w *world) accountList() error {
	x := w.x
	var body struct {
		AccountID string `json:"accountId"`
	}
	if err := json.Unmarshal(x.request, &body); err != nil && x.request != nil {
		return err
	}
	project := x.after("projects")
	if x.Status == http.StatusConflict {
		w.account(iam.AccountEmail(body.AccountID, project))
	}
	if f, ok := constraintOf(x); ok {
		w.wire.State().Projects[project].Constraints = append(w.wire.State().Projects[project].Constraints, f)
	}
	if x.given(evidence.GivenAccountsFull) {
		w.wire.State().Projects[project].AccountQuota = 1
		w.account(iam.AccountEmail("first-account", project))
	}
	list, _ := x.want["accounts"].([]any)
	for _, v := range list {
		answer, _ := v.(map[string]any)
		email, _ := answer["email"].(string)
		a := w.account(email)
		a.ProjectID = project
		w.describe(a, answer)
	}
	return nil
}

// unseen makes an account that reads do not see yet, in the turn of chance in which
// the answer is 403.
func (w *world) unseen(email string) error {
	a := w.account(email)
	a.Seen.Read = epoch.Add(time.Minute)
	for seed := range uint64(64) {
		w.SetLag(wire.Lag{Seed: seed})
		if w.wire.State().Delays.Coin() {
			w.SetLag(wire.Lag{Seed: seed})
			return nil
		}
	}
	return unreplayable("no sequence of chance begins with the 403")
}

// constraintOf is the organization policy that refused the call.
func constraintOf(x *exchange) (string, bool) {
	e, _ := x.want["error"].(map[string]any)
	details, _ := e["details"].([]any)
	for _, d := range details {
		detail, _ := d.(map[string]any)
		violations, _ := detail["violations"].([]any)
		for _, v := range violations {
			violation, _ := v.(map[string]any)
			kind, _ := violation["type"].(string)
			if strings.HasPrefix(kind, "constraints/") {
				return kind, true
			}
		}
	}
	return "", false
}

// keys makes the keys that the path or the answer names.
func (w *world) keys(a *iam.Account) error {
	x := w.x
	private, err := pooledKey()
	if err != nil {
		return err
	}
	forever := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	der, err := newCertificate(private, a.UniqueID, epoch, forever)
	if err != nil {
		return err
	}
	add := func(id string) {
		a.Keys = append(a.Keys, &iam.Key{ID: id, Certificate: der, Origin: "GOOGLE_PROVIDED", Algorithm: "KEY_ALG_RSA_2048",
			ValidAfter: epoch, ValidBefore: forever})
	}
	list, listed := x.want["keys"].([]any)
	hidden := listed
	for _, v := range list {
		key, _ := v.(map[string]any)
		name, _ := key["name"].(string)
		if key["keyType"] == "USER_MANAGED" {
			add(name[strings.LastIndex(name, "/")+1:])
		} else {
			hidden = false
		}
	}
	w.wire.State().Doubts.SystemKeyHidden = hidden
	if _, constrained := constraintOf(x); x.Method == http.MethodPost && x.last() == "keys" && !constrained &&
		(x.reason() == "FAILED_PRECONDITION" || x.Status == http.StatusTooManyRequests) {
		w.wire.State().Doubts.KeyLimitExhausted = x.Status == http.StatusTooManyRequests
		for i := range 10 { // as many as an account may have
			add(fmt.Sprintf("%040x", i+1))
		}
	}
	if id := x.after("keys"); id != "" && w.found() {
		add(id)
	}
	return nil
}

// storage makes the bucket of the path.
func (w *world) storage() error {
	x := w.x
	if x.host != hostStorage || x.after("b") == "" || !w.found() {
		return nil
	}
	config, _ := x.want["iamConfiguration"].(map[string]any)
	uniform, _ := config["uniformBucketLevelAccess"].(map[string]any)
	on, _ := uniform["enabled"].(bool)
	on = on || x.onPolicy() && strings.Contains(string(x.request), `"condition"`) // others take none
	location, _ := x.want["location"].(string)
	project := recordedProject
	return w.create("POST", "https://storage.googleapis.com/storage/v1/b?project="+project, map[string]any{
		"name": x.after("b"), "location": location, "labels": labels(x.want),
		"iamConfiguration": map[string]any{"uniformBucketLevelAccess": map[string]any{"enabled": on}},
	})
}

// labels are those of an answer.
func labels(answer map[string]any) map[string]string {
	in, _ := answer["labels"].(map[string]any)
	out := map[string]string{}
	for k, v := range in {
		out[k], _ = v.(string)
	}
	return out
}

func (w *world) pubsub() error {
	x := w.x
	if x.host != hostPubsub || !w.found() || x.Method == http.MethodPut {
		return nil
	}
	const at = "https://pubsub.googleapis.com/v1/"
	project := "projects/" + x.after("projects")
	if topic := x.after("topics"); topic != "" {
		if err := w.create("PUT", at+project+"/topics/"+topic, nil); err != nil {
			return err
		}
	}
	if sub := x.after("subscriptions"); sub != "" {
		topic := project + "/topics/its-topic"
		if err := w.create("PUT", at+topic, nil); err != nil {
			return err
		}
		return w.create("PUT", at+project+"/subscriptions/"+sub, map[string]any{"topic": topic})
	}
	return nil
}

func (w *world) secrets() error {
	x := w.x
	if x.host != hostSecrets || !w.found() || x.after("secrets") == "" {
		return nil
	}
	at := "https://secretmanager.googleapis.com/v1/projects/" + x.after("projects") + "/secrets"
	err := w.create("POST", at+"?secretId="+x.after("secrets"), map[string]any{"replication": map[string]any{"automatic": map[string]any{}}})
	if x.after("versions") != "" && err == nil {
		err = w.create("POST", at+"/"+x.after("secrets")+":addVersion", map[string]any{"payload": map[string]any{"data": "eA=="}})
	}
	return err
}

func (w *world) bigquery() error {
	x := w.x
	id := x.after("datasets")
	if x.host != hostBigquery || !w.found() || id == "" {
		return nil
	}
	location, _ := x.want["location"].(string)
	project := x.after("projects")
	var raw struct {
		Access []json.RawMessage `json:"access"`
	}
	if err := json.Unmarshal(x.response, &raw); err != nil {
		return err
	}
	at := "https://bigquery.googleapis.com/bigquery/v2/projects/" + project + "/datasets"
	err := w.create("POST", at, map[string]any{
		"datasetReference": map[string]any{"datasetId": id}, "location": location, "labels": labels(x.want),
		"friendlyName": x.want["friendlyName"], "access": raw.Access,
	})
	if table := x.after("tables"); table != "" && err == nil {
		err = w.create("POST", at+"/"+id+"/tables", map[string]any{"tableReference": map[string]any{"tableId": table}})
	}
	return err
}

// create makes a resource in the operator's name.
func (w *world) create(method, url string, resource map[string]any) error {
	for field, v := range resource {
		if v == nil || v == "" {
			delete(resource, field)
		}
	}
	body, err := json.Marshal(resource)
	if err != nil {
		return err
	}
	if r := w.do(recordedOperator, method, url, string(body)); r.code != http.StatusOK {
		return fmt.Errorf("%s %s: %d %s", method, url, r.code, r.raw)
	}
	return nil
}

// policy makes the policy what the exchange found: what it read, or what it wrote over.
func (w *world) policy() error {
	x := w.x
	if !x.onPolicy() {
		return nil
	}
	var before iam.Policy
	recorded, err := x.policy()
	if err != nil {
		return err
	}
	if x.setsPolicy() {
		var body struct {
			Policy struct {
				Etag string `json:"etag"`
			} `json:"policy"`
		}
		_ = json.Unmarshal(x.request, &body) // a bare policy has no such field
		before.Changed = changedAt(body.Policy.Etag)
	} else if x.Status == http.StatusOK {
		if len(x.path) == 3 && x.path[1] == "organizations" {
			return unreplayable("an organization's policy alone gives the right to read it, and the recording names nobody who had that")
		}
		if recorded.Version == 0 && len(recorded.Bindings) == 0 && x.host != hostStorage {
			return nil // it was never set
		}
		before.Changed = changedAt(recorded.Etag)
		before.AuditConfigs = recorded.AuditConfigs
		before.Bindings = unhidden(recorded.Bindings)
	}
	p, err := w.policyOf()
	if err != nil {
		return err
	}
	if n, ok := storageEtag(recorded.Etag); ok && x.host == hostStorage && x.Status == http.StatusOK {
		if x.setsPolicy() {
			n--
		}
		for range n - 1 { // a bucket begins with 1
			if err := w.create("PATCH", "https://storage.googleapis.com/storage/v1/b/"+x.after("b"), nil); err != nil {
				return err
			}
		}
	}
	if x.setsPolicy() {
		before.Bindings = p.Bindings // what a bucket begins with, and the operator's own rights
	}
	*p = before
	return nil
}

// changedAt is when a policy was set, after its etag; the start of the clock where
// the recording took that out.
func changedAt(etag string) int64 {
	if !realEtag(etag) {
		return epoch.UnixMicro()
	}
	return etagMicros(etag)
}

// unhidden gives bindings that a reader of version 1 saw back their condition.
func unhidden(bindings []iam.Binding) []iam.Binding {
	out := slices.Clone(bindings)
	for i, b := range out {
		if role, _, hidden := strings.Cut(b.Role, "_withcond_"); hidden {
			out[i].Role = role
			out[i].Condition = &iam.Condition{Title: "until", Expression: `request.time < timestamp("2030-01-01T00:00:00Z")`}
		}
	}
	return out
}

// policyOf returns the policy of the resource that the path names: of a project and
// its kin directly, of anything else by setting it and looking for what changed.
func (w *world) policyOf() (*iam.Policy, error) {
	x := w.x
	if len(x.path) == 3 {
		switch x.path[1] {
		case "projects":
			if p := w.wire.State().ProjectBy(x.path[2]); p != nil {
				return &p.Policy, nil
			}
		case "folders":
			return &w.wire.State().Folders[x.path[2]].Policy, nil
		case "organizations":
			return &w.wire.State().Organizations[x.path[2]].Policy, nil
		}
	}
	if n, ok := w.wire.State().ServiceNode("//storage.googleapis.com/projects/_/buckets/" + x.after("b")); ok && x.host == hostStorage {
		return n.Policies[0], nil
	}
	address := strings.Replace(x.url(), "getIamPolicy", "setIamPolicy", 1)
	address, _, _ = strings.Cut(address, "?")
	w.Advance(time.Hour)
	if r := w.do(recordedOperator, http.MethodPost, address, `{"policy":{}}`); r.code != http.StatusOK {
		if r.code == http.StatusNotImplemented {
			return nil, unreplayable("the emulator has no " + x.Method + " " + strings.Join(x.path, "/"))
		}
		return nil, fmt.Errorf("setting the policy at %s: %d %s", address, r.code, r.raw)
	}
	now := w.Now().UnixMicro()
	var found *iam.Policy
	walkPolicies(w.wire.State(), func(p *iam.Policy) {
		if p.Changed == now {
			found = p
		}
	})
	if found == nil {
		return nil, fmt.Errorf("the policy that was set at %s is nowhere in the state", address)
	}
	return found, nil
}

// customRoles makes the custom role that the path or the request names.
func (w *world) customRoles() error {
	x := w.x
	i := slices.Index(x.path, "roles")
	if x.host != hostIAM || i < 2 || x.path[i-2] != "projects" && x.path[i-2] != "organizations" {
		return nil
	}
	parent := x.path[i-2] + "/" + x.path[i-1]
	if i == len(x.path)-1 {
		var body struct {
			RoleID string `json:"roleId"`
		}
		if err := json.Unmarshal(x.request, &body); err != nil {
			return err
		}
		switch {
		case x.given(evidence.GivenRoleDeleted):
			// Long enough ago for every other trace of the role to be gone.
			w.role(parent + "/roles/" + body.RoleID).Deleted = epoch.Add(-10 * 24 * time.Hour)
		case x.Status == http.StatusConflict:
			w.role(parent + "/roles/" + body.RoleID)
		}
		return nil
	}
	if w.found() {
		r := w.role(parent + "/roles/" + x.path[i+1])
		r.Title, _ = x.want["title"].(string)
		r.Description, _ = x.want["description"].(string)
		r.Stage, _ = x.want["stage"].(string)
		permissions, _ := x.want["includedPermissions"].([]any)
		for _, p := range permissions {
			text, _ := p.(string)
			r.Permissions = append(r.Permissions, text)
		}
		if etag, _ := x.want["etag"].(string); realEtag(etag) {
			r.Changed = etagMicros(etag)
		}
	}
	return nil
}

func (w *world) role(name string) *iam.CustomRole {
	r := &iam.CustomRole{Name: name, Changed: epoch.UnixMicro()}
	w.wire.State().Roles[name] = r
	return r
}

// kms makes the key ring of the path, and the key.
func (w *world) kms() error {
	x := w.x
	if x.host != hostKMS || !w.found() || x.after("keyRings") == "" {
		return nil
	}
	at := "https://cloudkms.googleapis.com/v1/projects/" + x.after("projects") + "/locations/" + x.after("locations") + "/keyRings"
	err := w.create("POST", at+"?keyRingId="+x.after("keyRings"), nil)
	if key := x.after("cryptoKeys"); key != "" && err == nil {
		err = w.create("POST", at+"/"+x.after("keyRings")+"/cryptoKeys?cryptoKeyId="+key, map[string]any{"purpose": "ENCRYPT_DECRYPT"})
	}
	return err
}

// resources makes a resource of which the emulator knows the name and the policy alone.
func (w *world) resources() error {
	x := w.x
	if !w.found() || !x.onPolicy() {
		return nil
	}
	if m, _ := w.wire.Router.Find(x.host, x.Method, "/"+strings.TrimPrefix(x.address(), x.host+"/")); m != nil && !m.CatchAll() {
		return nil // of a service of its own
	}
	m, vars := named.Service().Find(x.host, x.Method, strings.TrimPrefix(x.address(), x.host), nil)
	if m == nil {
		return nil
	}
	name := vars["resource"]
	if below, ok := strings.CutPrefix(name, "b/"); ok && m.Host == hostStorage {
		name = "projects/_/buckets/" + below
	}
	w.wire.State().Resources["//"+m.Host+"/"+name] = &iam.Resource{Policy: &iam.Policy{}}
	return nil
}
