package cli

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
const propagation = "a change of access takes typically 2 minutes and potentially 7 or longer, one by way of a group longer still (iam/docs/access-change-propagation); a new account may take 60 seconds or more to be seen (iam/docs/service-accounts-create)"

// truthView is what of a plan document is judged and forecast, and not only planned.
type truthView struct {
	Roles       []roleView      `json:"roles"` // of the plan and of what the account has without being named, by name
	Findings    []findingView   `json:"findings"`
	Effective   []effectiveView `json:"effective"`
	Forecast    forecastView    `json:"forecast"`
	Propagation string          `json:"propagation"` // what Google states, with its pages
}

// roleView is a role with its permissions in groups, each sorted.
type roleView struct {
	Role         string   `json:"role"`
	GrantsAccess []string `json:"grants_access"`
	RunsCode     []string `json:"runs_code"`
	Deletes      []string `json:"deletes"`
	Writes       []string `json:"writes"`
	Reads        []string `json:"reads"`
}

// group returns the permissions of one group.
func (v *roleView) group(g review.Group) *[]string {
	return map[review.Group]*[]string{
		review.GrantsAccess: &v.GrantsAccess, review.RunsCode: &v.RunsCode, review.Deletes: &v.Deletes, review.Writes: &v.Writes, review.Reads: &v.Reads,
	}[g]
}

type findingView struct {
	Name     string `json:"name"`
	Grade    string `json:"grade"` // "stop", "warn" or "note"
	Grant    int    `json:"grant"` // index in the manifest, from 0
	Why      string `json:"why"`
	Instead  string `json:"instead"`
	Accepted string `json:"accepted"` // the reason for which the manifest accepts it; empty if it does not
}

// effectiveView is what the account could do on one resource while the run is up.
type effectiveView struct {
	Resource    string       `json:"resource"`
	Permissions []string     `json:"permissions"` // on the resource itself, sorted
	Sources     []sourceView `json:"sources"`
	Unknown     []string     `json:"unknown"` // what there may be beside, in words
}

// sourceView is a binding from which access comes.
type sourceView struct {
	On        string         `json:"on"`
	Grant     *int           `json:"grant"` // null for what the account has without being named
	Role      string         `json:"role"`
	Member    string         `json:"member"`
	Condition *conditionView `json:"condition"`
	Holds     bool           `json:"holds"` // false where the condition is not true of the resource itself now
}

// forecastView is how much room there is.
type forecastView struct {
	Accounts     *int       `json:"accounts"`      // in the project now; null if that cannot be read
	AccountsOf   int        `json:"accounts_of"`   // the default quota: the true one cannot be read
	AccountsLeft *int       `json:"accounts_left"` // of the default
	CustomRoles  *int       `json:"custom_roles"`
	CustomOf     int        `json:"custom_roles_of"`
	CustomLeft   *int       `json:"custom_roles_left"`
	Members      []roomView `json:"members"`
}

type roomView struct {
	Resource string `json:"resource"`
	Left     int    `json:"left"` // principals that the policy can name beside, once the run is up
}

func viewTruth(p *lifecycle.Preview) truthView {
	v := truthView{Roles: []roleView{}, Findings: []findingView{}, Effective: []effectiveView{}, Propagation: propagation}
	for _, name := range slices.Sorted(maps.Keys(p.Roles)) {
		groups := review.GroupPermissions(p.Roles[name].Permissions)
		role := roleView{Role: name}
		for _, g := range review.Groups {
			*role.group(g) = append([]string{}, groups[g]...)
		}
		v.Roles = append(v.Roles, role)
	}
	for _, f := range p.Findings {
		v.Findings = append(v.Findings, findingView{f.Name, string(f.Grade), f.Grant, f.Why, f.Instead, f.Accepted})
	}
	for _, e := range p.Effective {
		view := effectiveView{Resource: e.Resource.String(), Permissions: e.Permissions, Sources: []sourceView{}, Unknown: append([]string{}, e.Unknown...)}
		for _, s := range e.Sources {
			source := sourceView{On: s.On.String(), Role: s.Binding.Role, Member: s.Binding.Member, Condition: viewBinding(s.Binding).Condition, Holds: s.Holds}
			if s.Grant >= 0 {
				source.Grant = &s.Grant
			}
			view.Sources = append(view.Sources, source)
		}
		v.Effective = append(v.Effective, view)
	}
	v.Forecast = viewForecast(p)
	return v
}

func viewForecast(p *lifecycle.Preview) forecastView {
	f := forecastView{AccountsOf: grants.DefaultAccounts, CustomOf: grants.MaxCustomRoles, Members: []roomView{}}
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
		f.Members = append(f.Members, roomView{name.String(), left})
	}
	slices.SortFunc(f.Members, func(a, b roomView) int { return strings.Compare(a.Resource, b.Resource) })
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

// showRole adds what a role holds: how many permissions of each group, and the names of
// those that matter most.
func (v truthView) showRole(r *report, name string, verbose bool) {
	i := slices.IndexFunc(v.Roles, func(role roleView) bool { return role.Role == name })
	if i < 0 {
		return
	}
	role := v.Roles[i]
	var counts []string
	for _, g := range slices.Backward(review.Groups) {
		switch n := len(*role.group(g)); n {
		case 0:
		case 1:
			counts = append(counts, "1 "+groupVerbs[g][0])
		default:
			counts = append(counts, fmt.Sprintf("%d %s", n, groupVerbs[g][1]))
		}
	}
	switch all := strings.Join(counts, ", "); {
	case len(counts) > 1:
		r.line("    of these %s", all)
	case len(counts) == 1:
		_, verb, _ := strings.Cut(all, " ")
		if strings.HasPrefix(all, "1 ") {
			r.line("    it %s", verb)
		} else {
			r.line("    all of them %s", verb)
		}
	}
	for _, g := range review.Groups {
		names := *role.group(g)
		named := g == review.GrantsAccess || g == review.RunsCode || g == review.Deletes
		if len(names) == 0 || !verbose && !named {
			continue
		}
		const most = 8
		if !verbose && len(names) > most {
			r.line("      what %s: %s and %d more (--%s)", groupVerbs[g][0], strings.Join(names[:most], ", "), len(names)-most, flagVerbose)
		} else {
			r.line("      what %s: %s", groupVerbs[g][0], strings.Join(names, ", "))
		}
	}
}

// showFindings adds what is to be said of a grant.
func (v truthView) showFindings(r *report, grant int) {
	for _, f := range v.Findings {
		if f.Grant != grant {
			continue
		}
		switch {
		case f.Name == review.DoesNotEnd && f.Accepted != "": // a note says that, and until when it works
		case f.Accepted != "":
			r.line("    %s %s: %s", f.Grade, f.Name, f.Why)
			r.line("      accepted: %s", f.Accepted)
		default:
			r.line("    %s %s: %s", f.Grade, f.Name, f.Why)
			r.line("      instead: %s", f.Instead)
		}
	}
}

// showForecast adds what there is room for once the plan is carried out, and when it takes
// effect: of the policies the fullest, or all of them.
func (v truthView) showForecast(r *report, verbose bool) {
	f := v.Forecast
	accounts := "not known how many service accounts, since they cannot be listed"
	if f.AccountsLeft != nil {
		accounts = fmt.Sprintf("%d of the default %d service accounts (the true quota cannot be read)", max(0, *f.AccountsLeft-1), f.AccountsOf)
	}
	roles := "not known how many custom roles, since they cannot be listed"
	if f.CustomLeft != nil {
		roles = fmt.Sprintf("%d of %d custom roles", *f.CustomLeft, f.CustomOf)
	}
	r.line("\nleft, once it is up\n  in the project: %s, %s", accounts, roles)
	members := slices.SortedStableFunc(slices.Values(f.Members), func(a, b roomView) int { return cmp.Compare(a.Left, b.Left) })
	if !verbose {
		members = members[:min(1, len(members))]
	}
	for i, m := range members {
		fullest := ""
		if i == 0 && len(f.Members) > 1 {
			fullest = ", the fullest"
		}
		r.line("  in the policy of %s%s: %d more principals", m.Resource, fullest, m.Left)
	}
	r.line("\nas Google states it, %s", v.Propagation)
}
