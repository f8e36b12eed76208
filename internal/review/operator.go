package review

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// What an operator needs on the project that hosts the accounts. A fresh account has no
// policy of its own yet, so the project's decides.
const (
	MintIDPermission = "iam.serviceAccounts.getOpenIdToken"
	// LetMintPermission is enough in place of [delivery.MintPermission]: the operator lets
	// itself mint on each account, which takes Google a minute or more to follow.
	LetMintPermission = "iam.serviceAccounts.setIamPolicy"
)

// AccountPermissions are needed for every run; [delivery.Kind] adds its own.
var AccountPermissions = []string{
	"iam.serviceAccounts.create", "iam.serviceAccounts.get",
	"iam.serviceAccounts.disable", "iam.serviceAccounts.delete",
}

// Purpose is what a permission of the operator's is for.
type Purpose string

const (
	// ForAccounts is to make the run's account and its credential, and to end both.
	ForAccounts Purpose = "accounts"
	// ForBinding is to write who has access to a resource.
	ForBinding Purpose = "binding"
	// ForRoles is to look into custom roles.
	ForRoles Purpose = "roles"
)

// Need is what the operator of a task needs on one resource, for one purpose.
type Need struct {
	On          resource.Name
	Purpose     Purpose
	Permissions []string
}

// OperatorNeeds returns what the operator of a task cannot do without: to bring runs of
// it up, by every kind of delivery that the task may have, to see whether they work, and
// to take them down. It is the only place that knows. A list of permissions counts once its
// grant names the custom role.
func OperatorNeeds(t grants.Task) []Need {
	var needs []Need
	need := func(on resource.Name, purpose Purpose, permissions ...string) {
		i := slices.IndexFunc(needs, func(n Need) bool { return n.On == on && n.Purpose == purpose })
		if i < 0 {
			i = len(needs)
			needs = append(needs, Need{On: on, Purpose: purpose})
		}
		for _, p := range permissions {
			if !slices.Contains(needs[i].Permissions, p) {
				needs[i].Permissions = append(needs[i].Permissions, p)
			}
		}
	}
	host := named("projects/" + t.Project)
	need(host, ForAccounts, AccountPermissions...)
	if len(t.Deliver) == 0 { // up and run have each their own default
		t.Deliver = slices.Concat(delivery.Default, delivery.DefaultOfRun)
	}
	kinds := delivery.For(t)
	for _, kind := range kinds {
		need(host, ForAccounts, kind.Permissions...)
		if !kind.MakesKey && len(t.Audiences) > 0 {
			need(host, ForAccounts, MintIDPermission)
		}
	}
	for _, g := range t.Grants {
		need(g.Resource, ForBinding, policyPermissions(g.Resource.Type(), g.Bounded())...)
		if bucket, ok := g.Resource.Bucket(); ok && len(g.Permissions) > 0 {
			need(bucket, ForBinding, "storage.buckets.get") // its name does not say whose it is
		}
		if parent, _, custom := strings.Cut(g.Role, "/roles/"); custom {
			// Without it the role's permissions are not known, and nothing can be proved.
			need(named(parent), ForRoles, "iam.roles.get")
			if len(g.Permissions) > 0 {
				need(named(parent), ForRoles, "iam.roles.create", "iam.roles.undelete")
				if g.Resource.Project() != named(parent).Project() { // the name has a number, or nothing
					need(named(parent), ForRoles, "resourcemanager.projects.get")
				}
			}
		}
	}
	return needs
}

// named returns the project or organization of that name.
func named(name string) resource.Name {
	n, _, err := resource.Parse(name)
	if err != nil {
		return resource.Name{} // a manifest has been checked by now
	}
	return n
}

// services are those whose permissions do not begin with the first part of their host
// (iam/docs/permissions-reference).
var services = map[string]string{
	"cloudresourcemanager.googleapis.com": "resourcemanager", "bigtableadmin.googleapis.com": "bigtable",
	"bigqueryconnection.googleapis.com": "bigquery", "bigquerydatapolicy.googleapis.com": "bigquery",
	"bigqueryreservation.googleapis.com": "bigquery", "cloudbilling.googleapis.com": "billing",
	"sourcerepo.googleapis.com": "source", "sqladmin.googleapis.com": "cloudsql",
}

// collections are those whose permissions call them otherwise than their names do
// (iam/docs/permissions-reference).
var collections = map[string]string{
	"accesscontextmanager.accessPolicies": "accesscontextmanager.policies",
	"apigateway.configs":                  "apigateway.apiconfigs",
	"billing.billingAccounts":             "billing.accounts",
	"cloudkms.ekmConfig":                  "cloudkms.ekmConfigs",
	"datamigration.connectionProfiles":    "datamigration.connectionprofiles",
	"datamigration.conversionWorkspaces":  "datamigration.conversionworkspaces",
	"datamigration.migrationJobs":         "datamigration.migrationjobs",
	"datamigration.privateConnections":    "datamigration.privateconnections",
	"dataplex.dataScans":                  "dataplex.datascans",
	"iam.workforcePools":                  "iam.googleapis.com/workforcePools",
	"iam.workloadIdentityPools":           "iam.googleapis.com/workloadIdentityPools",
	"iap.projects":                        "iap.web",
	"networkmanagement.connectivityTests": "networkmanagement.connectivitytests",
	"run.workerPools":                     "run.workerpools",
}

// permissionPrefix returns what the permissions of a type begin with: the service, and the
// collection that it is in.
func permissionPrefix(typ *resource.Type) string {
	service := cmp.Or(services[typ.Service], strings.TrimSuffix(typ.Service, ".googleapis.com"))
	collection := ""
	for segment := range strings.SplitSeq(typ.Pattern, "/") {
		if !strings.HasPrefix(segment, "{") {
			collection = segment
		}
	}
	prefix := service + "." + collection
	return cmp.Or(collections[prefix], prefix)
}

// NamedByRole returns the one of some resources of different services that what the grant gives is
// about: roles/run.invoker is about Cloud Run's. It reports false if that is none, or several.
func NamedByRole(g grants.Grant, among []resource.Name) (meant resource.Name, ok bool) {
	of, _ := about(g)
	for _, name := range among {
		if !isOf(name.Type(), of) {
			continue
		}
		if ok {
			return resource.Name{}, false
		}
		meant, ok = name, true
	}
	return meant, ok
}

// about returns the service that a grant is about, as roles and permissions name it, and what follows that.
func about(g grants.Grant) (service, what string) {
	gives := strings.TrimPrefix(g.Role, "roles/")
	if len(g.Permissions) > 0 {
		gives = g.Permissions[0]
	}
	service, what, _ = strings.Cut(gives, ".")
	return service, what
}

func isOf(t *resource.Type, service string) bool {
	permissions, _, _ := strings.Cut(permissionPrefix(t), ".")
	api, _, _ := strings.Cut(t.Service, ".")
	return service == permissions || service == api
}

// usual are the collections that roles are about whose names do not say so.
var usual = map[string][]string{
	"pubsub.publisher": {"topics"}, "pubsub.subscriber": {"subscriptions"}, "run.invoker": {"services", "jobs"},
}

// CalledFor returns the resources that a bare word may name in a grant: those of the service that its role, or its
// permissions, are about, and of these the ones that it is about. Where there are none, it names a project.
func CalledFor(g grants.Grant, word, project string) []resource.Name {
	service, what := about(g)
	if what == "" && !grants.Basic(g.Role) || len(g.Permissions) == 0 && !strings.HasPrefix(g.Role, "roles/") {
		return nil
	}
	names := resource.Called(word, project, func(t *resource.Type) bool {
		return t.Service == service+".googleapis.com"
	})
	if len(names) == 0 {
		names = resource.Called(word, project, func(t *resource.Type) bool { return isOf(t, service) })
	}
	narrow := slices.DeleteFunc(slices.Clone(names), func(n resource.Name) bool {
		_, collection, _ := strings.Cut(permissionPrefix(n.Type()), ".")
		one := strings.ToLower(strings.TrimSuffix(collection, "s"))
		return !slices.Contains(usual[service+"."+what], collection) && !strings.HasPrefix(strings.ToLower(what), one)
	})
	if len(narrow) > 0 {
		return narrow
	}
	if in, _, err := resource.Parse("projects/" + word); len(names) == 0 && err == nil {
		return []resource.Name{in}
	}
	return names
}

// policyPermissions returns what it takes to read and write the policy of a resource; if
// conditions says so, with conditions in it.
func policyPermissions(typ *resource.Type, conditions bool) []string {
	prefix := permissionPrefix(typ)
	if typ.API.Dialect == resource.Dataset {
		// A dataset's access is a part of it (bigquery/docs/reference/rest/v2/datasets/patch).
		permissions := []string{prefix + ".get", prefix + ".update"}
		if conditions {
			permissions = append(permissions, prefix+".setIamPolicy")
		}
		return permissions
	}
	return []string{prefix + ".getIamPolicy", prefix + ".setIamPolicy"}
}

// Fence is how a type of resource takes to a condition on the operator's own binding
// that names the roles which the operator may bind
// (iam/docs/setting-limits-on-granting-roles).
type Fence string

const (
	// FenceHolds means that the operator can bind the roles of the manifests alone.
	FenceHolds Fence = "holds"
	// FenceIgnored means that the service does not look at the roles: with such a
	// condition or without one, the operator can bind every role.
	FenceIgnored Fence = "ignored"
	// FenceRefused means that the service does not know the attribute, and refuses every
	// write to whoever is allowed by such a condition.
	FenceRefused Fence = "refused"
	// FenceNotKnown means that Google does not say how the service takes it: there is no
	// fence then, since it might refuse every write.
	FenceNotKnown Fence = "not known"
	// FenceNotNeeded is for roles that bind nothing.
	FenceNotNeeded Fence = ""
)

// fences are the services of which Google says how they take to it.
var fences = map[string]Fence{
	"cloudfunctions.googleapis.com": FenceHolds, "cloudkms.googleapis.com": FenceHolds,
	"cloudresourcemanager.googleapis.com": FenceHolds, "compute.googleapis.com": FenceHolds,
	"iam.googleapis.com": FenceHolds, "pubsub.googleapis.com": FenceRefused, "run.googleapis.com": FenceHolds,
	"secretmanager.googleapis.com": FenceHolds, "storage.googleapis.com": FenceHolds,
}

// fenceOn returns how a type of resource takes to the fence.
func fenceOn(typ *resource.Type) Fence {
	if typ.API.Dialect == resource.Dataset {
		return FenceIgnored
	}
	return cmp.Or(fences[typ.Service], FenceNotKnown)
}

// FenceExpression is true as long as no other roles are bound or unbound than these.
func FenceExpression(roles []string) string {
	quoted := make([]string, len(roles))
	for i, r := range roles {
		quoted[i] = `"` + r + `"`
	}
	return `api.getAttribute("iam.googleapis.com/modifiedGrantsByRole", []).hasOnly([` + strings.Join(quoted, ", ") +
		`])`
}

// FenceTitle is the title of the condition with the fence.
const FenceTitle = "taskiam fence"

// OperatorRole is a custom role for operators.
type OperatorRole struct {
	Parent      string // projects/ID or organizations/NUMBER; "" if it is not known whose the resource is
	ID          string
	Title       string
	Description string
	Permissions []string
}

// Name returns the role as policies name it.
func (r OperatorRole) Name() string { return cmp.Or(r.Parent, "projects/PROJECT") + "/roles/" + r.ID }

// OperatorBinding is what binds an operator's role.
type OperatorBinding struct {
	Resource resource.Name
	policy.Binding
	Fence Fence
}

// OperatorAccess is the least that the operator of some tasks needs.
type OperatorAccess struct {
	Roles    []OperatorRole
	Bindings []OperatorBinding
}

// folderRole holds what binding on a folder takes. There are no custom roles of folders,
// and those of its organization are not for everybody to make.
const folderRole = "roles/resourcemanager.folderIamAdmin"

// NewOperatorAccess returns the least that a member needs who is to be the operator of
// the tasks: a role on the project of the accounts, and for each resource one that reads
// and writes its policy, fenced in where that is possible. home returns the project of a
// resource whose name does not say it, or "".
func NewOperatorAccess(tasks []grants.Task, member string, home func(resource.Name) string) OperatorAccess {
	var out OperatorAccess
	role := func(n Need) string {
		if n.On.Type().Kind == "folder" {
			return folderRole
		}
		r := roleFor(n, home)
		i := slices.IndexFunc(out.Roles, func(o OperatorRole) bool { return o.Name() == r.Name() })
		if i < 0 {
			i = len(out.Roles)
			out.Roles = append(out.Roles, r)
		}
		for _, p := range n.Permissions {
			if !slices.Contains(out.Roles[i].Permissions, p) {
				out.Roles[i].Permissions = append(out.Roles[i].Permissions, p)
			}
		}
		return out.Roles[i].Name()
	}
	tasks = slices.Clone(tasks)
	for i := range tasks {
		tasks[i] = withRoles(tasks[i], home)
	}
	for _, t := range tasks {
		for _, n := range OperatorNeeds(t) {
			b := OperatorBinding{Resource: n.On, Binding: policy.Binding{Role: role(n), Member: member}}
			if n.Purpose == ForBinding {
				if b.Fence = fenceOn(n.On.Type()); b.Fence == FenceHolds {
					b.Condition = policy.Condition{Title: FenceTitle, Expression: FenceExpression(rolesOn(tasks, n.On))}
				}
			}
			if !slices.Contains(out.Bindings, b) {
				out.Bindings = append(out.Bindings, b)
			}
		}
	}
	return out
}

// withRoles returns the task with the custom roles that its lists of permissions come to. A
// resource of which it is not known whose it is counts as the host project's.
func withRoles(t grants.Task, home func(resource.Name) string) grants.Task {
	t.Grants = slices.Clone(t.Grants)
	for i, g := range t.Grants {
		if len(g.Permissions) > 0 {
			project := cmp.Or(g.Resource.Project(), home(g.Resource), t.Project)
			t.Grants[i].Role = grants.CustomRole(project, g.Permissions, 0).Name
		}
	}
	return t
}

// rolesOn returns the roles that the tasks bind on a resource.
func rolesOn(tasks []grants.Task, on resource.Name) []string {
	var roles []string
	for _, t := range tasks {
		for _, g := range t.Grants {
			if g.Resource == on && !slices.Contains(roles, g.Role) {
				roles = append(roles, g.Role)
			}
		}
	}
	return roles
}

// roleFor returns the role for a need, without permissions.
func roleFor(n Need, home func(resource.Name) string) OperatorRole {
	var r OperatorRole
	switch project := cmp.Or(n.On.Project(), home(n.On)); {
	case n.On.Type().Kind == "organization":
		r.Parent = n.On.Relative()
	case project != "":
		r.Parent = "projects/" + project
	}
	switch n.Purpose {
	case ForAccounts:
		r.ID, r.Title = "taskiamOperator", "taskiam operator"
		r.Description = "Creates and deletes the accounts of tasks and their credentials"
	case ForRoles:
		r.ID, r.Title = "taskiamRoles", "taskiam operator: roles"
		r.Description = "Looks into the custom roles that tasks are granted, and makes those that lists of " +
			"permissions come to"
	case ForBinding:
		kind := n.On.Type().Kind
		r.ID, r.Title = "taskiamBind"+camel(kind), "taskiam operator: binding on a "+kind
		r.Description = "Reads and writes who has access to a " + kind
	}
	return r
}

// camel writes words as one: "service account" is ServiceAccount.
func camel(words string) string {
	var b strings.Builder
	up := true
	for _, c := range words {
		switch {
		case !unicode.IsLetter(c) && !unicode.IsDigit(c):
			up = true
		case up:
			b.WriteRune(unicode.ToUpper(c))
			up = false
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
