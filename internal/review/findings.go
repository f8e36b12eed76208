// Package review says what a manifest opens: findings that stop or warn, the access that
// an account would really have, what a condition refers to, and what the operator needs to
// bring the task up.
//
// It is pure: what is known of the cloud enters as values, and so does the time. It grants
// nothing and decides nothing about a run; who calls it does.
package review

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Grade is how much a finding weighs.
type Grade string

const (
	// Stop keeps up from going on, unless the manifest accepts the finding.
	Stop Grade = "stop"
	// Warn is something that a reviewer should have seen.
	Warn Grade = "warn"
	// Inform is worth knowing, and no more.
	Inform Grade = "note"
	// None is no finding at all.
	None Grade = "none"
)

// FindingName is the name of a finding, as manifests accept it.
type FindingName = string

// Names of findings never change their meaning.
const (
	Escalates           FindingName = "escalates"
	RunsCodeAs          FindingName = "runs-code-as"
	RunsCodeAlone       FindingName = "runs-code"
	HandsOutCredentials FindingName = "hands-out-credentials"
	AccessElsewhere     FindingName = "access-elsewhere"
	Outlives            FindingName = "outlives"
	Destroys            FindingName = "destroys"
	ObjectACLs          FindingName = "object-acls"
	BasicRole           FindingName = "basic-role"
	RoleUnread          FindingName = "role-unread"
	ReachesBeyond       FindingName = "reaches-beyond"
	DoesNotEnd          FindingName = "does-not-end"
	NotUniform          FindingName = "not-uniform"
	NotGrantable        FindingName = "not-grantable"
	NarrowerRole        FindingName = "narrower-role"
	AmbientAlready      FindingName = "ambient-already"
	Unreviewed          FindingName = "unreviewed"
	UnusedAcceptance    FindingName = "unused-acceptance"
	AddsNothing         FindingName = "adds-nothing"
	AskedElsewhere      FindingName = "asked-elsewhere"
	DeprecatedRole      FindingName = "deprecated-role"
	TooSmall            FindingName = "too-small"
)

// Names that findings had before. Manifests may still accept them so.
const (
	actsAs   = "acts-as"   // what [RunsCodeAs] is of iam.serviceAccounts.actAs alone
	handsOut = "hands-out" // [HandsOutCredentials]
)

// Rule is one kind of problem that a review looks for.
type Rule struct {
	Name  FindingName
	Grade Grade // the gravest grade of its findings
	Why   string
	// Instead says what to write in its place.
	Instead string
	// Accept is how a manifest accepts it where that has words of its own; "-" where
	// nothing does, and "" where it is accepted by name.
	Accept string
	// Was is the name that it had before; a manifest may still accept it so.
	Was string
	// planned says that only plan looks for it: it needs more than up has asked for.
	planned bool
}

// Rules are all rules, the gravest first.
var Rules = []Rule{
	{Name: Escalates, Grade: Stop, Why: "with this role one can become another identity, or give access to oneself or others that the manifest does not declare; that access outlasts the run, and no time condition ends it",
		Instead: "a role of the same service without that permission; if the task is about access itself, accept it with a reason"},
	{Name: RunsCodeAs, Grade: Stop, Why: "the task can run code as another service account: by iam.serviceAccounts.actAs on a project, folder or organization; by actAs on one account together with a permission that runs code; or by running code on what is there, for which nobody asks for actAs. A warning for actAs on one account alone, and for code on the one resource that is named",
		Instead: "remove one of the grants, or make one only on the account that the code must run as, and accept it", Was: actsAs},
	{Name: HandsOutCredentials, Grade: Stop, Why: "the role gives credentials: tokens, keys, passwords, cluster logins; down does not end what works without the run's account. A warning for certificates, for ID tokens of the one account that is named, and for the secrets of more than the secret that is named",
		Instead: "a role without that permission, or a grant on the one thing whose credential is needed", Was: handsOut},
	{Name: AccessElsewhere, Grade: Stop, Why: "the role gives or changes access outside of IAM, where down does not look: users of databases and apps; a warning for rules such as those of firewalls, rows and tags, and a note for putting tags on things",
		Instead: "a role without that permission; if the task is about users or rules, accept it with a reason"},
	{Name: Destroys, Grade: Stop, Why: "the role deletes projects or folders with everything in them; a warning for datasets, buckets, databases, disks, keys, secrets and backups",
		Instead: "a role that writes and does not delete them"},
	{Name: BasicRole, Grade: Stop, Why: "a basic role covers every service of the project, and only down ends it", Instead: "predefined roles on the resources that the task needs", Accept: "allow_basic = true"},
	{Name: DoesNotEnd, Grade: Stop, Why: "the grant takes no time condition: only down ends it", Instead: "if possible, the same role with a condition on the parent of the resource", Accept: `unbounded = "accept"`},
	{Name: NotGrantable, Grade: Stop, Why: "Google does not let the role be bound on this type of resource", Instead: "a role that gcloud iam list-grantable-roles names", Accept: "-"},
	{Name: RoleUnread, Grade: Stop, Why: "the operator may not read the role, so its permissions are not known", Instead: "a role that the operator may read (iam.roles.get on its project)"},
	{Name: Outlives, Grade: Warn, Why: "the role can leave something that acts after down: a schedule, trigger, subscription, sink, feed, or a service, cluster or machine",
		Instead: "a role that uses what is there; if the task is to leave it, accept it with a reason"},
	{Name: RunsCodeAlone, Grade: Warn, Why: "with this role the task runs code, starts code that is there, or changes code that others run, usually under an identity that is not its own",
		Instead: "a role that calls what is there and cannot change it, or a grant on the one thing that is needed"},
	{Name: Unreviewed, Grade: Warn, Why: "the role holds permissions that are newer than what taskiam knows; they may do anything",
		Instead: "a newer taskiam, or a list of the permissions that are needed"},
	{Name: ObjectACLs, Grade: Warn, Why: "storage.objects.setIamPolicy edits the ACLs of objects and can open them to everybody; only a note if access to the bucket is uniform, because it has no effect there", Instead: "roles/storage.objectUser, or a bucket with uniform access"},
	{Name: ReachesBeyond, Grade: Warn, Why: "the grant covers every resource of this kind below the one it is on, now and later; a warning on folders and organizations, a note on a project", Instead: "a grant on the one resource, or a condition on resource.name"},
	{Name: NotUniform, Grade: Warn, Why: "the bucket has no uniform access: ACLs of objects give access that no policy shows and no condition ends", Instead: gcloud.UniformAccess("gs://BUCKET")},
	{Name: AmbientAlready, Grade: Warn, Why: "everybody already has all of this access there, so the grant adds nothing and down removes nothing", Instead: "remove the grant, or remove the access from everybody", planned: true},
	{Name: AddsNothing, Grade: Warn, Why: "another grant of the manifest gives all of this on something that the resource is in, so this one has no effect", Instead: "this grant alone, or the wider one alone"},
	{Name: AskedElsewhere, Grade: Warn, Why: "what the role gives is asked for on another resource: functions of the 2nd generation are called through their Cloud Run service", Instead: "a grant on that resource"},
	{Name: DeprecatedRole, Grade: Warn, Why: "the role is deprecated: who looks after it may take its permissions away", Instead: "a role that is not"},
	{Name: TooSmall, Grade: Inform, Why: "the usual tool for what the role is about needs more: gcloud storage cp reads the object that it is about to write, and a query of BigQuery is a job", Instead: "a wider role, a further grant, or a client that needs no more"},
	{Name: NarrowerRole, Grade: Inform, Why: "a predefined role covers the same kinds of actions with fewer permissions", Instead: "that role", planned: true},
	{Name: UnusedAcceptance, Grade: Inform, Why: "the manifest accepts a finding that the grant does not have", Instead: "leave the acceptance out, so that it keeps its meaning elsewhere", Accept: "-"},
}

// FindRule returns the rule of a name, also of one that it had before.
func FindRule(name string) (Rule, bool) {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return name != "" && (r.Name == name || r.Was == name) })
	if i < 0 {
		return Rule{}, false
	}
	return Rules[i], true
}

// Finding is something about a grant that its reviewer should know.
type Finding struct {
	Name    FindingName
	Grade   Grade
	Grant   int // index in the task
	Why     string
	Instead string
	// Accepted is the reason for which the manifest accepts it; "" if it does not.
	Accepted string
	// AcceptedAs is the name by which the manifest accepts it; "" where it does so by a key of its own.
	AcceptedAs string

	names []string // by which it can be accepted
}

// Stops reports whether up must not go on.
func (f Finding) Stops() bool { return f.Grade == Stop && f.Accepted == "" }

// Seen is what is known of the cloud when grants are judged. What is not known is left out.
type Seen struct {
	Roles map[string]grants.Role
	// Unreadable are roles that may be there, and that the operator may not read.
	Unreadable map[string]bool
	Uniform    map[resource.Name]bool
	// Homes are the projects of buckets, by number, and Numbers the numbers of projects by their ids.
	Homes       map[resource.Name]string
	Numbers     map[string]string
	Ungrantable map[int]bool // by index in the task
	// Candidates are the roles that can be bound on a resource, with their permissions.
	Candidates map[resource.Name][]grants.Role
	// Ambient is what everybody holds on a resource, whenever and however.
	Ambient map[resource.Name]map[string]bool
	// Thorough says that everything the rules need was asked for.
	Thorough bool
}

// Findings judges every grant of a task: by grant, the gravest first.
func Findings(task grants.Task, s Seen) []Finding {
	var out []Finding
	runs := slices.ContainsFunc(task.Grants, s.runs)
	for i, g := range task.Grants {
		j := grantReview{task: task, seen: s, grant: i, g: g}
		j.all(runs)
		slices.SortStableFunc(j.out, func(a, b Finding) int { return cmp.Compare(a.weight(), b.weight()) })
		out = append(out, j.out...)
	}
	return out
}

func weight(g Grade) int { return slices.Index([]Grade{Stop, Warn, Inform}, g) }

// weight orders findings: the gravest first, of these those that stop, then as the rules are ordered.
func (f Finding) weight() int {
	rule := slices.IndexFunc(Rules, func(r Rule) bool { return r.Name == f.Name })
	w := 2 * weight(f.Grade)
	if f.Accepted != "" {
		w++
	}
	return w*len(Rules) + rule
}

// runs reports whether a grant lets the task run something as a service account that it may act as.
func (s Seen) runs(g grants.Grant) bool {
	return len(s.having(g, func(p string) bool { c, _ := ClassOf(p); return c.Runs })) > 0
}

// having returns the permissions of a grant that match and are of use where it is.
func (s Seen) having(g grants.Grant, match func(string) bool) []string {
	var out []string
	for _, p := range s.Roles[g.Role].Permissions {
		if match(p) && applies(p, g.Resource) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// grantReview gathers the findings of one grant.
type grantReview struct {
	task  grants.Task
	seen  Seen
	grant int
	g     grants.Grant
	out   []Finding
}

// add records a finding of a rule. why and instead stand in for the rule's own if they are not empty.
func (j *grantReview) add(name string, grade Grade, why, instead string) {
	rule, _ := FindRule(name)
	j.addAs([]string{name, rule.Was}, Finding{Name: name, Grade: cmp.Or(grade, rule.Grade), Why: cmp.Or(why, rule.Why),
		Instead: cmp.Or(instead, rule.Instead)})
}

// addAs records a finding that can be accepted by some names.
func (j *grantReview) addAs(names []string, f Finding) {
	f.Grant, f.names = j.grant, names
	// Custom roles and new versions of predefined ones can hold what they are the remedy for elsewhere.
	if j.g.Role != "" && strings.Contains(f.Instead, j.g.Role) {
		f.Instead = "a role without what is named here, or a list of the permissions that are needed"
	}
	for _, a := range j.task.Accept {
		if a.Grant == j.grant && slices.Contains(names, a.Finding) {
			f.Accepted, f.AcceptedAs = a.Reason, a.Finding
		}
	}
	if f.Name == BasicRole && j.g.AllowBasic || f.Name == DoesNotEnd && j.g.AcceptUnbounded {
		rule, _ := FindRule(f.Name)
		f.Accepted = rule.Accept
	}
	j.out = append(j.out, f)
}

func (j *grantReview) all(runs bool) {
	g, role := j.g, j.seen.Roles[j.g.Role]
	if j.seen.Ungrantable[j.grant] {
		j.add(NotGrantable, "", fmt.Sprintf("%s cannot be bound on a %s", g.Role, g.Resource.Type().Kind), "")
	}
	if j.seen.Unreadable[g.Role] {
		j.add(RoleUnread, "", "", "")
	}
	if grants.Basic(g.Role) {
		j.basic()
	} else {
		j.classes(runs)
		j.objectACLs()
		j.reach(role)
	}
	if !g.Bounded() {
		instead := ""
		if o, ok := OfferFor(g); ok {
			instead = orOffer(o)
		}
		j.add(DoesNotEnd, "", "only down ends it: "+grants.WhyUnbounded(g), instead)
	}
	if uniform, known := j.seen.Uniform[g.Resource]; known && !uniform {
		j.add(NotUniform, "", "", gcloud.UniformAccess(g.Resource.String()))
	}
	j.little(role)
	j.narrower(role)
	if held, known := j.seen.Ambient[g.Resource]; known && len(role.Permissions) > 0 &&
		!slices.ContainsFunc(role.Permissions, func(p string) bool { return !held[p] }) {
		j.add(AmbientAlready, "", "", "")
	}
	j.unused()
}

// basic finds a basic role. It holds most of what other findings are about, and says so by its name.
func (j *grantReview) basic() {
	why := ""
	if escalating := j.marked()[Escalates]; len(escalating.gravest) > 0 {
		why = fmt.Sprintf("a basic role covers every service of the project; of its permissions %d let its "+
			"holder gain more access, such as %s", len(escalating.gravest), escalating.gravest[0])
	}
	j.add(BasicRole, "", why, "")
}

func orOffer(o Offer) string {
	instead := "resource = " + strconv.Quote(o.Grant.Resource.String())
	if o.Grant.Condition != "" {
		instead += " with condition = '" + o.Grant.Condition + "'"
	}
	return instead + "; " + o.Widens
}

// objectACLs is the only setIamPolicy in common roles such as storage.objectAdmin. It
// edits the ACLs of objects, and does nothing where access to the bucket is uniform
// (storage/docs/uniform-bucket-level-access).
const objectACLs = "storage.objects.setIamPolicy"

func (j *grantReview) objectACLs() {
	if len(j.seen.having(j.g, func(p string) bool { return p == objectACLs })) == 0 {
		return
	}
	if j.seen.Uniform[j.g.Resource] {
		j.add(ObjectACLs, Inform, "it holds "+objectACLs+", which has no effect here: access to the bucket is uniform",
			"nothing, as long as access to the bucket stays uniform")
		return
	}
	j.add(ObjectACLs, "", "it holds "+objectACLs+": it can open objects to everybody where access is not "+
		"uniform", "")
}

// reach reports how far a grant on a container reaches.
func (j *grantReview) reach(role grants.Role) {
	kind := j.g.Resource.Type().Kind
	below := slices.ContainsFunc(role.Permissions, func(p string) bool {
		return !strings.HasPrefix(p, "resourcemanager.")
	})
	switch {
	case kind == "folder" || kind == "organization":
		j.add(ReachesBeyond, Warn, "the grant covers every project in the "+kind+
			", also those that are created later", "a grant on the project that is needed")
	case kind == "project" && below && !narrowed(j.g):
		j.add(ReachesBeyond, Inform, "the grant covers everything in the whole project that the role is about, also "+
			"what is created later", "")
	}
}

// narrower looks for a predefined role with the same verbs over the resource's own service
// and fewer permissions: one at most, the smallest.
func (j *grantReview) narrower(role grants.Role) {
	if grants.Basic(role.Name) || j.g.Resource.Type().Service == "cloudresourcemanager.googleapis.com" {
		return
	}
	mine := j.own(role)
	want := verbsOf(mine)
	var best *grants.Role
	for _, c := range j.seen.Candidates[j.g.Resource] {
		theirs := j.own(c)
		switch {
		case !strings.HasPrefix(c.Name, "roles/") || strings.HasPrefix(c.Name, "roles/storage.legacy"),
			c.Stage != "GA" && c.Stage != "",
			len(theirs) == 0 || len(theirs) >= len(mine) || len(c.Permissions) >= len(role.Permissions),
			slices.ContainsFunc(theirs, func(p string) bool { return !slices.Contains(mine, p) }),
			!slices.Equal(verbsOf(theirs), want):
			continue
		}
		if best == nil || len(c.Permissions) < len(best.Permissions) || len(c.Permissions) == len(best.Permissions) &&
			c.Name < best.Name {
			best = &c
		}
	}
	if best != nil {
		j.add(NarrowerRole, "", fmt.Sprintf("%s covers the same kinds of actions with %d permissions instead of %d",
			best.Name,
			len(best.Permissions), len(role.Permissions)), "role = "+strconv.Quote(best.Name))
	}
}

// own returns the permissions of a role that are of use on the grant's resource.
func (j *grantReview) own(role grants.Role) []string {
	return slices.DeleteFunc(slices.Clone(role.Permissions), func(p string) bool { return !applies(p, j.g.Resource) })
}

func verbsOf(permissions []string) []string {
	var out []string
	for _, p := range permissions {
		out = append(out, p[strings.LastIndexByte(p, '.')+1:])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unused notes the acceptances that no finding of this grant needs.
func (j *grantReview) unused() {
	for _, a := range j.task.Accept {
		rule, known := FindRule(a.Finding)
		if a.Grant != j.grant || known && rule.planned && !j.seen.Thorough {
			continue
		}
		if !slices.ContainsFunc(j.out, func(f Finding) bool { return slices.Contains(f.names, a.Finding) }) {
			j.add(UnusedAcceptance, "", fmt.Sprintf("the manifest accepts %q, but this grant does not have that "+
				"finding",
				a.Finding), "")
		}
	}
}
