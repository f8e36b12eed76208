package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/review"
)

// propagation is what Google states of how long a change of access takes.
const propagation = "a change of access typically takes 2 minutes and can take 7 or longer, and through a group " +
	"longer still (iam/docs/access-change-propagation); a new account can take 60 seconds or more to be visible " +
	"(iam/docs/service-accounts-create)"

// Outlook is the part of a plan's document that is judged or forecast.
type Outlook struct {
	Roles       []Role      `json:"roles"` // of the plan and of what the account has without being named, by name
	Findings    []Finding   `json:"findings"`
	Effective   []Effective `json:"effective"`
	Forecast    Forecast    `json:"forecast"`
	Propagation string      `json:"propagation"` // what Google states, with its pages
}

// Role is a role with its permissions in groups, each sorted.
type Role struct {
	Role         string   `json:"role"`
	GrantsAccess []string `json:"grants_access"`
	RunsCode     []string `json:"runs_code"`
	Deletes      []string `json:"deletes"`
	Writes       []string `json:"writes"`
	Reads        []string `json:"reads"`
}

// group returns the permissions of one group.
func (v *Role) group(g review.Group) *[]string {
	return map[review.Group]*[]string{
		review.GrantsAccess: &v.GrantsAccess, review.RunsCode: &v.RunsCode, review.Deletes: &v.Deletes,
		review.Writes: &v.Writes, review.Reads: &v.Reads,
	}[g]
}

// Finding is something to be said of a grant.
type Finding struct {
	Name     string `json:"name"`
	Grade    string `json:"grade"` // "stop", "warn" or "note"
	Grant    int    `json:"grant"` // index in the manifest, from 0
	Why      string `json:"why"`
	Instead  string `json:"instead"`
	Accepted string `json:"accepted"` // the reason for which the manifest accepts it; empty if it does not
}

// Effective is what the account could do on one resource while the run is up.
type Effective struct {
	Resource    string   `json:"resource"`
	Permissions []string `json:"permissions"` // on the resource itself, sorted
	Sources     []Source `json:"sources"`
	Unknown     []string `json:"unknown"` // what else there may be, in words
}

// Source is a binding from which access comes.
type Source struct {
	On        string     `json:"on"`
	Grant     *int       `json:"grant"` // null for what the account has without being named
	Role      string     `json:"role"`
	Member    string     `json:"member"`
	Condition *Condition `json:"condition"`
	Holds     bool       `json:"holds"` // false where the condition is not true of the resource itself now
}

// Forecast is how much room there is.
type Forecast struct {
	Accounts     *int   `json:"accounts"`      // in the project now; null if that cannot be read
	AccountsOf   int    `json:"accounts_of"`   // the default quota: the true one cannot be read
	AccountsLeft *int   `json:"accounts_left"` // of the default
	CustomRoles  *int   `json:"custom_roles"`
	CustomOf     int    `json:"custom_roles_of"`
	CustomLeft   *int   `json:"custom_roles_left"`
	Members      []Room `json:"members"`
}

// Room is how many more principals a policy can name once the run is up.
type Room struct {
	Resource string `json:"resource"`
	Left     int    `json:"left"`
	Deleted  int    `json:"deleted"` // how many of its members are deleted, and give nobody anything
	// drop is the command that takes those out; "" if there is none.
	drop string
}

// fewLeft is from how few on the room in a policy is short.
const fewLeft = 100

func newOutlook(p *lifecycle.Preview) Outlook {
	v := Outlook{
		Roles: []Role{}, Findings: []Finding{}, Effective: []Effective{}, Forecast: newForecast(p),
		Propagation: propagation,
	}
	for _, name := range slices.Sorted(maps.Keys(p.Roles)) {
		groups := review.GroupPermissions(p.Roles[name].Permissions)
		role := Role{Role: name}
		for _, g := range review.Groups {
			*role.group(g) = list(groups[g])
		}
		v.Roles = append(v.Roles, role)
	}
	for _, f := range p.Findings {
		v.Findings = append(v.Findings, Finding{f.Name, string(f.Grade), f.Grant, f.Why, f.Instead, f.Accepted})
	}
	for _, e := range p.Effective {
		effective := Effective{
			Resource: e.Resource.String(), Permissions: e.Permissions, Sources: []Source{}, Unknown: list(e.Unknown),
		}
		for _, s := range e.Sources {
			source := Source{
				On: s.On.String(), Role: s.Binding.Role, Member: s.Binding.Member,
				Condition: newCondition(s.Binding.Condition), Holds: s.Holds,
			}
			if s.Grant >= 0 {
				source.Grant = &s.Grant
			}
			effective.Sources = append(effective.Sources, source)
		}
		v.Effective = append(v.Effective, effective)
	}
	return v
}

func newForecast(p *lifecycle.Preview) Forecast {
	f := Forecast{AccountsOf: grants.DefaultAccounts, CustomOf: grants.MaxCustomRoles, Members: []Room{}}
	count := func(n, of int) (have, left *int) {
		if n < 0 {
			return nil, nil
		}
		rest := max(0, of-n)
		return &n, &rest
	}
	f.Accounts, f.AccountsLeft = count(p.Forecast.Accounts, f.AccountsOf)
	f.CustomRoles, f.CustomLeft = count(p.Forecast.CustomRoles, f.CustomOf)
	for name, left := range p.Forecast.Members {
		f.Members = append(f.Members, Room{
			Resource: name.String(), Left: left, Deleted: p.Forecast.Deleted[name].Members,
			drop: p.Forecast.Deleted[name].Drop,
		})
	}
	slices.SortFunc(f.Members, func(a, b Room) int { return strings.Compare(a.Resource, b.Resource) })
	return f
}

// groupVerbs says what one permission of a group does, and what several do.
var groupVerbs = map[review.Group][2]string{
	review.GrantsAccess: {"grants access", "grant access"},
	review.RunsCode:     {"runs code", "run code"},
	review.Deletes:      {"deletes", "delete"},
	review.Writes:       {"writes", "write"},
	review.Reads:        {"reads", "read"},
}

// showRole adds what a role holds: how many permissions of each group, and the names of those that
// matter most. Those of no use where it is bound are in no group.
func (v Outlook) showRole(r *Report, name string, ofNoUse []string, verbose bool) {
	i := slices.IndexFunc(v.Roles, func(role Role) bool { return role.Role == name })
	if i < 0 {
		return
	}
	role := v.Roles[i]
	for _, g := range review.Groups {
		names := role.group(g)
		*names = slices.DeleteFunc(slices.Clone(*names), func(p string) bool { return slices.Contains(ofNoUse, p) })
	}
	role.showCounts(r, len(ofNoUse))
	if len(ofNoUse) > 0 && verbose {
		r.Line("      what nobody asks for here: %s", strings.Join(ofNoUse, ", "))
	}
	for _, g := range review.Groups {
		names := *role.group(g)
		named := g == review.GrantsAccess || g == review.RunsCode || g == review.Deletes
		if len(names) == 0 || !verbose && !named {
			continue
		}
		const most = 8
		if !verbose && len(names) > most {
			r.Line("      what %s: %s and %d more (--verbose)", groupVerbs[g][0], strings.Join(names[:most], ", "),
				len(names)-most)
		} else {
			r.Line("      what %s: %s", groupVerbs[g][0], strings.Join(names, ", "))
		}
	}
}

func (v Role) showCounts(r *Report, ofNoUse int) {
	var counts []string
	for _, g := range slices.Backward(review.Groups) {
		switch n := len(*v.group(g)); n {
		case 0:
		case 1:
			counts = append(counts, "1 "+groupVerbs[g][0])
		default:
			counts = append(counts, fmt.Sprintf("%d %s", n, groupVerbs[g][1]))
		}
	}
	switch ofNoUse {
	case 0:
	case 1:
		counts = append(counts, "1 is of no use here")
	default:
		counts = append(counts, fmt.Sprintf("%d are of no use here", ofNoUse))
	}
	switch all := strings.Join(counts, ", "); {
	case len(counts) > 1:
		r.Line("    of these %s", all)
	case len(counts) == 1:
		_, verb, _ := strings.Cut(all, " ")
		if strings.HasPrefix(all, "1 ") {
			r.Line("    it %s", verb)
		} else {
			r.Line("    all of them %s", verb)
		}
	}
}

// maxFindings is how many findings of a grant people see unless they ask for all. They are in the order of their
// gravity.
const maxFindings = 3

// showFindings adds the findings of a grant: unless verbose, the gravest.
func (v Outlook) showFindings(r *Report, grant int, verbose bool) {
	shown, left := 0, 0
	for _, f := range v.Findings {
		if f.Grant != grant || f.Name == review.DoesNotEnd && f.Accepted != "" { // a note says that, and until when
			continue
		}
		if shown >= maxFindings && !verbose {
			left++
			continue
		}
		shown++
		r.Line("    %s %s: %s", f.Grade, f.Name, f.Why)
		if f.Accepted != "" {
			r.Line("      accepted: %s", f.Accepted)
		} else {
			r.Line("      instead: %s", f.Instead)
		}
	}
	if left > 0 {
		r.Line("    and %d more, none graver (--verbose)", left)
	}
}

// showForecast adds the room that is left after the plan, and when the plan takes effect. Unless
// verbose, it shows only the fullest policy.
func (v Outlook) showForecast(r *Report, verbose bool) {
	f := v.Forecast
	accounts := "service accounts not known, because they cannot be listed"
	if f.AccountsLeft != nil {
		accounts = fmt.Sprintf("%d of the default %d service accounts (the true quota cannot be read)",
			max(0, *f.AccountsLeft-1), f.AccountsOf)
	}
	roles := "custom roles not known, because they cannot be listed"
	if f.CustomLeft != nil {
		roles = fmt.Sprintf("%d of %d custom roles", *f.CustomLeft, f.CustomOf)
	}
	r.Line("\nroom that is left when the run is up\n  in the project: %s, %s", accounts, roles)
	members := slices.SortedStableFunc(slices.Values(f.Members), func(a, b Room) int {
		return cmp.Compare(a.Left, b.Left)
	})
	if !verbose {
		members = members[:min(1, len(members))]
	}
	for i, m := range members {
		fullest := ""
		if i == 0 && len(f.Members) > 1 {
			fullest = " (the fullest)"
		}
		r.Line("  in the policy of %s%s: %d more principals", m.Resource, fullest, m.Left)
		if m.Left >= fewLeft || m.Deleted == 0 {
			continue
		}
		r.Line("    %d of its members are deleted, and give nobody anything", m.Deleted)
		if m.drop != "" {
			r.Line("    to take them out: %s", m.drop)
		}
	}
	r.Line("\nGoogle says: %s", v.Propagation)
}
