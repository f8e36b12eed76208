package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

// Health is how something is that a run depends on.
type Health string

const (
	Healthy    Health = "ok"
	Doubtful   Health = "warning" // a run can be brought up, and somebody should know this
	Broken     Health = "problem" // a run cannot be brought up, or not as it should be
	NotKnown   Health = "not known"
	Irrelevant Health = "" // not worth a line
)

// Examined is one line of an examination.
type Examined struct {
	About  string // what was examined: "this machine", "project acme-agents"
	What   string // of it: "login", "APIs"
	Health Health
	Says   string
	Fix    []string // how to fix it: commands, where there are any
	// Lacks says that it is the operator who lacks something.
	Lacks bool
}

// Subject is a task to be examined.
type Subject struct {
	Task grants.Task
	// File is its manifest, as a command line names it.
	File string
}

// Examination is what `doctor` reports.
type Examination struct {
	Operator grants.Identity
	Findings []Examined
}

// ThisMachine is what the findings are about that no cloud was asked for.
const ThisMachine = "this machine"

// Examine finds out whether the operator can do what the tasks need. It writes nothing,
// but for what [journal.Store] needs to be probed. What an up would refuse is found by the
// same questions as an up asks, and said in the same words. With an error the examination has
// what was found until ctx ended.
func (e *Engine) Examine(ctx context.Context, subjects []Subject) (*Examination, error) {
	x := &examination{Engine: e, over: func() bool { return ctx.Err() != nil }}
	x.add(ExamineState(e.Journals))
	cloud, endpoint := e.Cloud.Cloud()
	about := "the cloud: " + cloud + " (" + endpoint + ")"

	id, err := e.Cloud.Whoami(ctx)
	if err == nil {
		// Who that is may have been said on the command line. This needs no permission,
		// but a login that Google takes.
		_, err = e.Roles.Role(ctx, grants.MinterRole)
	}
	if ctx.Err() != nil {
		return x.done(id), context.Cause(ctx)
	}
	if err != nil {
		f := Trouble(about, "login", err)
		f.Lacks = fault.Is(err, fault.Unauthenticated, fault.Denied)
		x.add(f)
		x.add(Unexamined(subjects)...)
		return x.done(id), nil
	}
	x.operator = id
	x.add(Examined{About: about, What: "login", Health: Healthy, Says: id.Member})

	surveys := make([]*survey, len(subjects))
	var wg sync.WaitGroup
	for i, p := range subjects {
		wg.Go(func() { surveys[i] = x.examineTask(ctx, p) })
	}
	wg.Wait()
	x.examineProjects(ctx, subjects, surveys)
	if ctx.Err() != nil {
		return x.done(id), context.Cause(ctx)
	}
	clock := Examined{About: about, What: "clock", Health: Healthy, Says: "the same as this machine's, to the minute"}
	if ahead := e.clockAhead(); ahead != 0 {
		clock.Health, clock.Says = Doubtful, clockSays(ahead)+": a run expires by the cloud's"
		clock.Fix = []string{"sudo timedatectl set-ntp true"}
	}
	x.findings = slices.Insert(x.findings, 2, clock)
	return x.done(id), nil
}

// Unexamined is what is known of tasks where nobody can be asked about them.
func Unexamined(subjects []Subject) []Examined {
	var out []Examined
	for _, s := range subjects {
		out = append(out, Examined{
			About: "task " + s.Task.Name, What: "access", Health: NotKnown, Says: "the cloud could not be asked",
		})
	}
	return out
}

// ExamineState is the look at the journals that an up begins with.
func ExamineState(journals journal.Store) Examined {
	if err := journals.Probe(); err != nil {
		return Trouble(ThisMachine, "state", err)
	}
	return Examined{About: ThisMachine, What: "state", Health: Healthy, Says: "writable"}
}

// Trouble is a finding of what an error says.
func Trouble(about, what string, err error) Examined {
	return Examined{About: about, What: what, Health: Broken, Says: err.Error(), Fix: fault.Hints(err),
		Lacks: fault.Is(err, fault.Denied, fault.Unauthenticated)}
}

// examination gathers findings, from several goroutines.
type examination struct {
	*Engine
	operator grants.Identity
	// over reports whether the examination was broken off: what comes after that is an error
	// of the interruption and no finding.
	over func() bool

	mu       sync.Mutex
	findings []Examined
}

func (x *examination) add(fs ...Examined) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over() {
		return
	}
	for _, f := range fs {
		if f.Health != Irrelevant {
			x.findings = append(x.findings, f)
		}
	}
}

// done returns the findings: those about one thing together, in the order in which it
// was first spoken of, and otherwise by what they are of.
func (x *examination) done(id grants.Identity) *Examination {
	var order []string
	for _, f := range x.findings {
		if !slices.Contains(order, f.About) {
			order = append(order, f.About)
		}
	}
	slices.SortStableFunc(x.findings, func(a, b Examined) int {
		return cmp.Compare(slices.Index(order, a.About), slices.Index(order, b.About))
	})
	return &Examination{Operator: id, Findings: x.findings}
}

// examineTask finds what is wrong with one task: all that an up would refuse, and what
// an up would only meet when it writes.
func (x *examination) examineTask(ctx context.Context, p Subject) *survey {
	about := "task " + p.Task.Name
	plan, err := x.NewPlan(p.Task)
	if err != nil {
		x.add(Trouble(about, "plan", err))
		return nil
	}
	s, err := x.survey(ctx, plan)
	if err != nil {
		x.add(Trouble(about, "plan", err))
		return s
	}
	lines := make([]Examined, len(plan.Edits))
	var wg sync.WaitGroup
	for i, need := range bindingNeeds(p.Task) {
		wg.Go(func() { lines[i] = x.examineResource(ctx, p, need) })
	}
	wg.Wait()
	said := map[error]bool{}
	for i, need := range bindingNeeds(p.Task) {
		if err := s.unread[need.On]; lines[i].Health == Broken && fault.Is(err, fault.Denied) {
			said[err] = true
		}
	}
	for _, err := range s.refusals {
		if !said[err] && !disabledService(err) {
			f := Trouble(about, "up would refuse", err)
			if f.Lacks {
				f.Fix = append([]string{p.minimal()}, f.Fix...)
			}
			x.add(f)
		}
	}
	x.add(lines...)
	x.add(x.examineDelivery(p, s, about))
	return s
}

// disabledService reports whether an API that is not enabled refused: the project's
// finding says so once, and not each call's.
func disabledService(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Reason == "SERVICE_DISABLED"
}

// bindingNeeds returns what is needed on the resources of a task.
func bindingNeeds(t grants.Task) []review.Need {
	return slices.DeleteFunc(review.OperatorNeeds(t),
		func(n review.Need) bool { return n.Purpose != review.ForBinding })
}

// minimal is the command that prints the role which holds what is lacking.
func (p Subject) minimal() string {
	return "taskiam doctor --role " + p.File + "   # prints the smallest sufficient role, for an administrator"
}

// examineResource asks whether the operator may bind on a resource.
func (x *examination) examineResource(ctx context.Context, p Subject, need review.Need) Examined {
	f := Examined{About: "task " + p.Task.Name, What: "binding on " + need.On.String(), Health: Healthy,
		Says: "allowed"}
	asked := need.On
	if need.On.Type().API.TestPath == "" {
		// Google cannot be asked about the resource itself, but about what it inherits from.
		project, _, err := resource.Parse("projects/" + need.On.Project())
		if err != nil {
			return Examined{About: f.About, What: f.What, Health: NotKnown,
				Says: "not known before up: Google cannot be asked about a " + need.On.Type().Kind}
		}
		asked = project
	}
	have, err := x.Cloud.TestPermissions(ctx, asked, need.Permissions)
	lacking := slices.DeleteFunc(slices.Clone(need.Permissions),
		func(p string) bool { return slices.Contains(have, p) })
	switch {
	case disabledService(err):
		return Examined{} // the project's finding says so
	case err != nil:
		f.Health, f.Says, f.Fix = NotKnown, "until up: "+err.Error(), fault.Hints(err)
	case len(lacking) > 0 && asked != need.On:
		f.Health = NotKnown
		f.Says = fmt.Sprintf("not known before up: a %s cannot be asked, and on %s the operator lacks %s",
			need.On.Type().Kind,
			asked, strings.Join(lacking, ", "))
		f.Fix = []string{p.minimal()}
	case len(lacking) > 0:
		f.Health, f.Lacks = Broken, true
		f.Says = fmt.Sprintf("the operator lacks %s", strings.Join(lacking, ", "))
		f.Fix = []string{p.minimal()}
	case asked != need.On:
		f.Says = "allowed on all of " + asked.String()
	}
	return f
}

// examineDelivery says how a task would be delivered, as far as the operator's own
// permissions go; what the organisation has against it is said of the project.
func (x *examination) examineDelivery(p Subject, s *survey, about string) Examined {
	f := Examined{About: about, What: "delivery", Health: Healthy}
	if len(s.deliver) == 0 {
		return Examined{} // among the refusals
	}
	var kinds []string
	for _, kind := range s.deliver {
		kinds = append(kinds, string(kind))
	}
	f.Says = "by " + strings.Join(kinds, ", else by ")
	byToken := slices.ContainsFunc(s.deliver, func(k grants.DeliveryKind) bool { return !delivery.Of(k).MakesKey })
	if byToken && !s.mints {
		f.Health = Doubtful
		f.Says += "; for a token the operator must first get the right to mint on each account, " +
			"which takes Google a minute or more"
		f.Fix = []string{p.minimal()}
	}
	return f
}

// examineProjects finds what the projects of the tasks allow.
func (x *examination) examineProjects(ctx context.Context, subjects []Subject, surveys []*survey) {
	hosts, services := map[string][]int{}, map[string][]string{}
	want := func(project, service string) {
		if project != "" && !slices.Contains(services[project], service) {
			services[project] = append(services[project], service)
		}
	}
	for i, p := range subjects {
		host := p.Task.Project
		hosts[host] = append(hosts[host], i)
		want(host, "iam.googleapis.com")
		want(host, "cloudresourcemanager.googleapis.com")
		if slices.ContainsFunc(review.OperatorNeeds(p.Task),
			func(n review.Need) bool { return slices.Contains(n.Permissions, mintPermission) }) {
			want(host, "iamcredentials.googleapis.com")
		}
		for _, n := range bindingNeeds(p.Task) {
			want(cmp.Or(n.On.Project(), x.homeOf(ctx, n.On)), n.On.Type().Service)
		}
	}
	var order []string
	for _, p := range subjects {
		order = append(order, p.Task.Project)
	}
	order = append(order, slices.Sorted(maps.Keys(services))...)
	var seen []string
	var wg sync.WaitGroup
	results := map[string]*[3][]Examined{}
	for _, project := range order {
		if slices.Contains(seen, project) {
			continue
		}
		seen = append(seen, project)
		r := &[3][]Examined{}
		results[project] = r
		wg.Go(func() { r[0] = []Examined{x.examineServices(ctx, project, services[project])} })
		wg.Go(func() { r[1] = x.examineConstraints(ctx, project, hosts[project], subjects) })
		if at := hosts[project]; len(at) > 0 {
			wg.Go(func() { r[2] = []Examined{x.examineNeighbours(ctx, project, surveys[at[0]])} })
		}
	}
	wg.Wait()
	for _, project := range seen {
		for _, fs := range results[project] {
			x.add(fs...)
		}
	}
}

// homeOf returns the project of a resource whose name does not say it; "" if that
// cannot be found out.
func (e *Engine) homeOf(ctx context.Context, name resource.Name) string {
	bucket, ok := name.Bucket()
	if !ok {
		return ""
	}
	b, err := e.Cloud.Bucket(ctx, bucket)
	if err != nil || b.Project == "" {
		return ""
	}
	// By its number; custom roles are made in projects by their id.
	if above, err := e.Cloud.Ancestors(ctx, b.Project); err == nil && len(above) > 0 {
		return above[0].Project()
	}
	return b.Project
}

// OperatorAccess returns the least that a member needs who is to be the operator of the
// tasks. For a bucket it asks the cloud in which project it is.
func (e *Engine) OperatorAccess(ctx context.Context, tasks []grants.Task, member string) review.OperatorAccess {
	return review.NewOperatorAccess(tasks, member, func(n resource.Name) string { return e.homeOf(ctx, n) })
}

func (x *examination) examineServices(ctx context.Context, project string, services []string) Examined {
	f := Examined{About: "project " + project, What: "APIs", Health: Healthy,
		Says: "enabled: " + strings.Join(services, ", ")}
	have, err := x.Cloud.EnabledServices(ctx, project, services)
	lacking := slices.DeleteFunc(slices.Clone(services), func(s string) bool { return slices.Contains(have, s) })
	switch {
	case fault.Is(err, fault.Denied):
		f.Health = NotKnown
		f.Says = "the operator lacks serviceusage.services.get; " +
			"if an API is not enabled, the call fails and says which API"
		f.Fix = []string{gcloud.BindOnProject(project, x.operator.Member, "roles/serviceusage.serviceUsageViewer")}
	case err != nil:
		f.Health, f.Says, f.Fix = NotKnown, err.Error(), fault.Hints(err)
	case len(lacking) > 0:
		f.Health, f.Says = Broken, "not enabled: "+strings.Join(lacking, ", ")
		f.Fix = []string{gcloud.EnableServices(project, lacking...)}
	}
	return f
}

// Constraints of organisation policies that refuse what a run does
// (resource-manager/docs/organization-policy/org-policy-constraints).
const (
	noAccounts        = "iam.disableServiceAccountCreation"
	noAccountsManaged = "iam.managed.disableServiceAccountCreation"
	noUploads         = "iam.disableServiceAccountKeyUpload"
	noUploadsManaged  = "iam.managed.disableServiceAccountKeyUpload"
	noKeys            = "iam.disableServiceAccountKeyCreation"
	keyHours          = "iam.serviceAccountKeyExpiryHours"
	memberDomains     = "iam.allowedPolicyMemberDomains"
)

// examineConstraints finds the organisation policies that refuse what the tasks need: on
// the project that hosts the accounts of those at hosted, and on one of resources.
func (x *examination) examineConstraints(
	ctx context.Context, project string, hosted []int, subjects []Subject,
) []Examined {
	names := []string{memberDomains}
	if len(hosted) > 0 {
		names = append(names, noAccounts, noAccountsManaged, noUploads, noUploadsManaged, noKeys, keyHours)
	}
	found := make([]grants.Constraint, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { found[i], errs[i] = x.Cloud.Constraint(ctx, project, name) })
	}
	wg.Wait()
	f := Examined{About: "project " + project, What: "organisation policies", Health: Healthy,
		Says: "none forbids accounts, keys or members"}
	if err := errors.Join(errs...); err != nil {
		err = errs[slices.IndexFunc(errs, func(err error) bool { return err != nil })]
		f.Health, f.Says, f.Fix = NotKnown, err.Error(), fault.Hints(err)
		if fault.Is(err, fault.Denied) {
			f.Says = "the operator lacks orgpolicy.policy.get; if one forbids keys, up says so when it uploads a key"
			f.Fix = []string{gcloud.BindOnOrganization(x.operator.Member, "roles/orgpolicy.policyViewer")}
		}
		return []Examined{f}
	}
	in := map[string]grants.Constraint{}
	for i, name := range names {
		if found[i].Enforced {
			in[name] = found[i]
		}
	}
	var out []Examined
	say := func(health Health, constraint, says string, fix ...string) {
		out = append(out, Examined{About: f.About, What: f.What, Health: health,
			Says: "constraints/" + constraint + " " + says, Fix: fix})
	}
	describe := func(constraint string) string {
		return gcloud.DescribeConstraint(project, constraint) +
			"   # an administrator can make an exception for the project"
	}
	for _, name := range []string{noAccounts, noAccountsManaged} {
		if _, ok := in[name]; ok {
			say(Broken, name, "forbids to create accounts here", describe(name))
		}
	}
	for _, name := range []string{noUploads, noUploadsManaged, keyHours} {
		c, ok := in[name]
		if !ok {
			continue
		}
		for _, at := range hosted {
			if health, says, fix := refusesKeys(subjects[at].Task, name, c); health != Healthy {
				say(health, name, says, append(fix, describe(name))...)
			}
		}
	}
	if _, ok := in[noKeys]; ok {
		say(Healthy, noKeys, "is in force, but does not matter: taskiam uploads keys and lets Google make none")
	}
	if c, ok := in[memberDomains]; ok {
		out = append(out, x.examineDomains(ctx, f, project, c, subjects)...)
	}
	if len(out) == 0 {
		return []Examined{f}
	}
	return out
}

// refusesKeys says what an organisation policy on keys means for a task.
func refusesKeys(t grants.Task, name string, c grants.Constraint) (health Health, says string, fix []string) {
	kinds := delivery.For(t)
	at := slices.IndexFunc(kinds, func(k delivery.Kind) bool { return k.MakesKey })
	if at < 0 {
		return Healthy, "", nil
	}
	says = "forbids to upload keys"
	if name == keyHours {
		longest := c.Longest()
		if t.TTL <= longest {
			return Healthy, "", nil
		}
		if longest > 0 {
			fix = []string{putTTL(grants.Span(longest)) + ", or less"}
		}
		says = "allows keys that are valid for " + strings.Join(c.Allowed, " or ") + ", and no longer"
	}
	if at < len(kinds)-1 {
		return Doubtful, fmt.Sprintf("%s: task %s is delivered by %s", says, t.Name, kinds[at+1].Name), nil
	}
	return Broken, fmt.Sprintf("%s: task %s takes nothing else", says, t.Name),
		append(fix, `put deliver = ["key", "token"] under [credentials] in the manifest`)
}

// examineDomains says whether accounts of the tasks' hosts may be members in a project in
// which an organisation policy lists who may: those of its own organisation pass.
func (x *examination) examineDomains(
	ctx context.Context, f Examined, project string, c grants.Constraint, subjects []Subject,
) []Examined {
	f.Says = "constraints/" + memberDomains + " allows members of " + strings.Join(c.Allowed, ", ") + " alone"
	root := func(project string) (string, bool) {
		above, err := x.Cloud.Ancestors(ctx, project)
		if err != nil || len(above) == 0 {
			return "", false
		}
		return above[len(above)-1].Full(), true
	}
	here, known := root(project)
	var out []Examined
	var done []string
	for _, p := range subjects {
		host := p.Task.Project
		touches := host == project ||
			slices.ContainsFunc(bindingNeeds(p.Task), func(n review.Need) bool { return n.On.Project() == project })
		if !touches || slices.Contains(done, host) {
			continue
		}
		done = append(done, host)
		g := f
		switch there, ok := root(host); {
		case host == project, ok && known && here == there:
			g.Says += ": accounts of project " + host + " are in the same organisation, and allowed"
		case !ok || !known:
			g.Health, g.Says = NotKnown, g.Says+": whether project "+host+" is in the same organisation cannot be read"
			g.Fix = []string{gcloud.BindOnProject(host, x.operator.Member, "roles/browser")}
		default:
			g.Health, g.Says = Broken, g.Says+": accounts of project "+host+" are in another organisation"
			g.Fix = []string{"choose a project of the organisation of " + project + " in the manifest"}
		}
		out = append(out, g)
	}
	return out
}

// maxNamed is how many accounts are named before the rest is counted.
const maxNamed = 3

// examineNeighbours says whom the operator can be beside the accounts of its tasks. What
// makes a fresh account usable is a permission on its project, and reaches all accounts
// that are in it.
func (x *examination) examineNeighbours(ctx context.Context, project string, s *survey) Examined {
	f := Examined{About: "project " + project, What: "other accounts", Health: Healthy}
	var by []string
	for _, p := range []string{mintPermission, "iam.serviceAccountKeys.create", letMintPermission} {
		if s != nil && slices.Contains(s.host, p) {
			by = append(by, p)
		}
	}
	if len(by) == 0 {
		return Examined{}
	}
	all, err := x.Cloud.Accounts(ctx, project)
	if err != nil {
		f.Health, f.Says, f.Fix = NotKnown, err.Error(), fault.Hints(err)
		if fault.Is(err, fault.Denied) {
			f.Says = "the operator lacks iam.serviceAccounts.list, and may act as every account in the project, by " +
				strings.Join(by, ", ")
			f.Fix = []string{gcloud.BindOnProject(project, x.operator.Member, "roles/iam.serviceAccountViewer")}
		}
		return f
	}
	var others []string
	for _, a := range all {
		if _, ours := markOf(a, project); !ours && a.Email != x.operator.Email {
			others = append(others, a.Email)
		}
	}
	if len(others) == 0 {
		f.Says = "none: the operator can act only as the accounts of tasks"
		return f
	}
	slices.Sort(others)
	f.Health = Doubtful
	named := strings.Join(others[:min(len(others), maxNamed)], ", ")
	if rest := len(others) - maxNamed; rest > 0 {
		named += fmt.Sprintf(" and %d more", rest)
	}
	f.Says = fmt.Sprintf("the operator can also act as %s, by %s: these reach every account of the project. "+
		"Use a project that holds only the accounts of tasks",
		named, strings.Join(by, ", "))
	f.Fix = []string{
		gcloud.CreateProject(project+"-tasks") + "   # any free name; in the same folder",
		`project = "` + project + `-tasks"   # in the manifest`,
	}
	return f
}
