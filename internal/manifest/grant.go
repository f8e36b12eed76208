package manifest

import (
	"errors"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/visible"
)

const (
	roleExample     = `role = "roles/storage.objectViewer"`
	resourceExample = `resource = "gs://acme-reports/2026/"`
	unboundedFix    = `unbounded = "accept"`
	basicFix        = `allow_basic = true`
)

// grants reads every [[grant]].
func (r *reader) grants(file *table, task *grants.Task) {
	tables := file.list("grant")
	if v, there := file.values["grant"]; !there || empty(v) {
		r.add(file.place.child("grant").key, "[[grant]]",
			"the manifest has no grant; a task that needs no access needs no account")
	}
	first := map[grantKey]*table{}
	whole := map[grantKey]*table{} // grants without prefix and condition
	var narrowed []int
	var kept []*table
	for _, t := range tables {
		g, ok := r.grant(t)
		accept := r.accept(t, len(task.Grants))
		if !ok {
			continue
		}
		key := keyOf(g)
		if before := first[key]; before != nil {
			line, _ := r.lines.position(before.place.key)
			r.add(t.place.key, "", "this grant is the same as the one in line %d", line)
			continue
		}
		first[key] = t
		if g.Prefix == "" && g.Condition == "" {
			whole[key] = t
		} else {
			narrowed = append(narrowed, len(task.Grants))
		}
		task.Grants = append(task.Grants, g)
		task.Accept = append(task.Accept, accept...)
		kept = append(kept, t)
	}
	for _, i := range narrowed {
		g := task.Grants[i]
		if t := whole[keyOf(g).onAll()]; t != nil {
			line, _ := r.lines.position(t.place.key)
			what := "role"
			if len(g.Permissions) > 0 {
				what = "permissions"
			}
			r.add(kept[i].place.key, "",
				"this grant adds nothing: the one in line %d gives the same %s on all of %s", line, what, g.Resource)
		}
	}
}

// grantKey identifies a grant: two with the same key are duplicates.
type grantKey struct {
	gives             string // the role, or the permissions
	resource          resource.Name
	prefix, condition string
}

func keyOf(g grants.Grant) grantKey {
	return grantKey{g.Role + strings.Join(g.Permissions, " "), g.Resource, g.Prefix, g.Condition}
}

// onAll is the key of the same grant without prefix and condition.
func (k grantKey) onAll() grantKey { return grantKey{gives: k.gives, resource: k.resource} }

// grant reads one [[grant]], and reports whether its role or permissions and its resource
// are valid, so that it can be compared with others.
func (r *reader) grant(t *table) (g grants.Grant, ok bool) {
	t.only(grantKeys...)
	roleOK, resourceOK := r.gives(t, &g), r.resource(t, &g)
	if roleOK && resourceOK {
		r.custom(t, g)
	}

	g.AllowBasic = t.flag("allow_basic")
	if roleOK {
		r.allowBasic(t, g)
	}

	// What cannot be seen in a condition is recorded with all else that is wrong with it.
	g.Condition, _ = get[string](t, "condition", `condition = 'request.time.getHours("Europe/Berlin") < 20'`)
	if _, there := t.values["condition"]; there {
		r.condition(t, g)
	}

	unbounded, there := t.text("unbounded", unboundedFix)
	g.AcceptUnbounded = unbounded == "accept"
	if !roleOK || !resourceOK {
		if there && !g.AcceptUnbounded {
			r.unknownUnbounded(t, unbounded)
		}
		return g, false
	}
	r.unbounded(t, g, unbounded, there)
	return g, true
}

// allowBasic reports a basic role that is not allowed, and an allowance for no basic role.
func (r *reader) allowBasic(t *table, g grants.Grant) {
	switch basic := grants.Basic(g.Role); {
	case basic && !g.AllowBasic:
		r.add(t.place.child("role").value, basicFix,
			"%s is a basic role and gives access to every service of a project; if you want that, say so", g.Role)
	case !basic && g.AllowBasic:
		r.add(t.place.child("allow_basic").key, "",
			"allow_basic is only for roles/owner, roles/editor and roles/viewer; remove the line")
	}
}

// unbounded records a problem if a grant cannot expire and does not accept that, or if it
// accepts that and does expire. said is the key's value, if it is there.
func (r *reader) unbounded(t *table, g grants.Grant, said string, there bool) {
	switch why := takesNoCondition(g); {
	case why != "" && g.Prefix != "":
		r.add(t.place.child("resource").value, "resource = "+strconv.Quote(g.Resource.String()),
			"a prefix becomes a condition, and %s", why)
	case why != "" && there && !g.AcceptUnbounded:
		r.unknownUnbounded(t, said)
	case why != "" && !there && t.values["unbounded"] == nil:
		r.add(t.place.key, unboundedFix,
			"this grant cannot expire, because %s; if down alone may end it, write so", why)
		if o, ok := review.OfferFor(g); ok {
			r.problems[len(r.problems)-1].Or = orOffer(o)
		}
	case why == "" && there:
		r.add(t.place.child("unbounded").key, "", "this grant expires, since %s takes conditions; "+
			"leave unbounded out here, so that it keeps its meaning elsewhere", g.Resource.Type().A())
	}
}

// orOffer says what to write instead for a grant that expires, and which access that adds.
func orOffer(o review.Offer) string {
	lines := "resource = " + quote(o.Grant.Resource.String())
	if o.Grant.Condition != "" {
		lines += " with condition = " + quote(o.Grant.Condition)
	}
	return "or let it expire: " + lines + "; " + o.Widens
}

func (r *reader) unknownUnbounded(t *table, value string) {
	r.add(t.place.child("unbounded").value, unboundedFix, `%q is not known here; unbounded takes only "accept"`, value)
}

func empty(list any) bool {
	elements, ok := list.([]any)
	return ok && len(elements) == 0
}

// takesNoCondition says why a grant cannot carry a condition, or returns "".
func takesNoCondition(g grants.Grant) string {
	switch {
	case grants.Basic(g.Role):
		return "basic roles take no conditions"
	case !g.Resource.Type().Conditions:
		return g.Resource.Type().A() + " takes no conditions"
	case !g.Bounded():
		return "legacy bucket roles take no conditions"
	}
	return ""
}

func (r *reader) role(t *table, g *grants.Grant) bool {
	role, ok := t.text("role", roleExample)
	if !ok {
		return false
	}
	g.Role = role
	if rolePattern().MatchString(role) {
		return true
	}
	fix := ""
	if grants.IsPermission(role) {
		fix = "permissions = " + quoteList([]string{role})
	} else {
		meant := "roles/" + strings.TrimPrefix(role, "role/")
		if rolePattern().MatchString(meant) && (strings.Contains(role, ".") || grants.Basic(meant)) {
			fix = "role = " + strconv.Quote(meant)
		}
	}
	r.add(t.place.child("role").value, fix,
		"%+q is not a role%s; write roles/SERVICE.NAME, projects/PROJECT/roles/ID or organizations/NUMBER/roles/ID",
		role, foreign(role))
	return false
}

// foreign says of a name which character in it only looks like the one that it should be; "" if there is none.
func foreign(name string) string {
	if what := visible.Foreign(name); what != "" {
		return ": " + what
	}
	return ""
}

func (r *reader) resource(t *table, g *grants.Grant) bool {
	text, ok := t.text("resource", resourceExample)
	if !ok {
		if _, there := t.values["resource"]; !there {
			t.missing("resource", resourceExample)
		}
		return false
	}
	name, prefix, err := resource.Parse(text)
	if wild := (*resource.WildcardError)(nil); errors.As(err, &wild) {
		r.add(t.place.child("resource").value, withoutWildcard(*wild), "%s", err)
		return false
	}
	if several := (*resource.AmbiguousError)(nil); errors.As(err, &several) {
		fix := ""
		if meant, ok := review.NamedByRole(*g, several.Names); ok {
			fix = "resource = " + strconv.Quote(meant.String())
		}
		r.add(t.place.child("resource").value, fix, "%s", err)
		return false
	}
	if err != nil && r.bare(t, *g, text) {
		return false
	}
	if err != nil {
		fix := ""
		if meant := resource.Suggest(text); meant != "" {
			fix = "resource = " + strconv.Quote(meant)
		} else if in, ok := review.BoundAbove(*g, text); ok {
			r.add(t.place.child("resource").value, "resource = "+strconv.Quote(in.String()),
				"%q: resources of this service have no allow policies, and conditions do not see their names: bind "+
					"the "+
					"role on %s instead; it then applies to everything there that the role covers, until the run ends",
				text, in)
			return false
		}
		r.add(t.place.child("resource").value, fix, "%s%s", err, foreign(text))
		return false
	}
	g.Resource, g.Prefix = name, prefix
	if !name.Type().Bindable() {
		r.withoutPolicy(t, *g)
		return false
	}
	return true
}

// bare refuses a word that may be the last part of the name of what the role is about, and says how that is written.
// It reports false if that is not known.
func (r *reader) bare(t *table, g grants.Grant, word string) bool {
	if strings.ContainsAny(word, "/@:") || r.home == "" {
		return false
	}
	const most = 4
	meant := review.CalledFor(g, word, r.home)
	var names []string
	for _, n := range meant[:min(len(meant), most)] {
		names = append(names, n.String())
	}
	fix, place := "", ""
	if strings.Contains(strings.Join(names, " "), resource.Place) {
		place = ", with its location for " + resource.Place
	}
	what := g.Role
	if len(g.Permissions) > 0 {
		what = g.Permissions[0]
	}
	switch {
	case len(meant) == 0:
		return false
	case len(meant) == 1:
		fix = "resource = " + strconv.Quote(names[0])
		place = strconv.Quote(names[0]) + place
	default:
		if len(meant) > most {
			place += ", or another that `taskiam resources` names"
		}
		place = "one of " + strings.Join(names, ", ") + place
	}
	r.add(t.place.child("resource").value, fix, "%q: no resource has this form; for %s write %s", word, what, place)
	return true
}

// withoutWildcard returns the lines for a prefix and a condition that together say what a prefix with
// one star says; where there are more, those for what stands before the first.
func withoutWildcard(w resource.WildcardError) string {
	on := "gs://" + w.Bucket
	if w.Before != "" {
		on += "/" + w.Before
	}
	fix := "resource = " + quote(on)
	switch {
	case w.After == "":
	case strings.HasSuffix(w.After, "/"):
		fix += "\ncondition = " + quote("resource.name.extract("+strconv.Quote("/objects/"+w.Before+"{any}"+w.After)+
			`) != ""`)
	default:
		fix += "\ncondition = " + quote("resource.name.endsWith("+strconv.Quote(w.After)+")")
	}
	return fix
}

// withoutPolicy refuses a grant on a resource that has no policy, and says which resource to
// use instead.
func (r *reader) withoutPolicy(t *table, g grants.Grant) {
	what := "has no allow policy of its own"
	if g.Resource.Type().API.GetPath != "" {
		what = "has an allow policy that cannot be written"
	}
	o, ok := review.OfferFor(g)
	if !ok {
		r.add(t.place.child("resource").value, "", "%s %s, so no role can be bound on it", g.Resource.Type().A(), what)
		return
	}
	fix := "resource = " + quote(o.Grant.Resource.String())
	if o.Grant.Condition != "" {
		fix += "\ncondition = " + quote(o.Grant.Condition)
	}
	r.add(t.place.child("resource").value, fix, "%s %s: bind the role on %s instead; %s",
		g.Resource.Type().A(), what, o.Grant.Resource, o.Widens)
}

// custom refuses a project's custom role on resources where it cannot be granted: such a
// role exists in its own project alone (iam/docs/roles-overview). A list of permissions
// becomes one.
func (r *reader) custom(t *table, g grants.Grant) {
	typ := g.Resource.Type()
	outside := typ.Kind == "folder" || typ.Kind == "organization" || typ.Kind == "billing account"
	if len(g.Permissions) > 0 && outside {
		r.add(t.place.child("permissions").value, "",
			"permissions are granted through a custom role of a project, and that cannot be granted on %s; name a role",
			typ.A())
		return
	}
	rest, ok := strings.CutPrefix(g.Role, "projects/")
	if !ok {
		return
	}
	project, _, _ := strings.Cut(rest, "/")
	if err := resource.CheckProject(project); err != nil {
		r.add(t.place.child("role").value, "", "%s%s", err, foreign(project))
		return
	}
	switch on := g.Resource.Project(); {
	case outside:
		r.add(t.place.child("role").value, "", "a project's custom role cannot be granted on %s", typ.A())
	// A number may be that of the same project.
	case on != "" && on != project && strings.Trim(on, "0123456789") != "" && strings.Trim(project, "0123456789") != "":
		r.add(t.place.child("role").value, "", "a custom role of %s cannot be granted in %s", project, on)
	}
}

// condition records everything that is wrong with a grant's condition, each at its place
// inside the string.
func (r *reader) condition(t *table, g grants.Grant) {
	p := t.place.child("condition")
	if _, ok := t.values["condition"].(string); !ok {
		return
	}
	if strings.TrimSpace(g.Condition) == "" {
		r.add(p.value, "", "the condition is empty; remove the line")
		return
	}
	for _, e := range review.CheckCondition(g, r.limits.window()) {
		fix := ""
		if e.Fix != "" {
			fix = "condition = " + quote(e.Fix)
		}
		r.add(r.inside(p, e.Offset), fix, "%s", e.Message)
	}
}
