package emulator

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

const assetHost = "cloudasset.googleapis.com"

// supersededPolicy is what a policy said before a change, and until when the search
// over all policies goes by that: its index follows the changes
// (asset-inventory/docs/search-allow-policies).
type supersededPolicy struct {
	Bindings []binding `json:"bindings,omitempty"`
	Until    time.Time `json:"until"`
}

// supersede adds what is replaced now to what the search still knows.
func (l *lags) supersede(past []supersededPolicy, bindings []binding, now time.Time) []supersededPolicy {
	past = slices.DeleteFunc(slices.Clone(past), func(s supersededPolicy) bool { return !now.Before(s.Until) })
	if until := l.after(now, func(l Lag) Delay { return l.Search }); !until.IsZero() {
		past = append(past, supersededPolicy{bindings, until})
	}
	if len(past) == 0 {
		return nil
	}
	return past
}

// indexed returns the bindings that the search goes by at now.
func (p *policy) indexed(now time.Time) []binding {
	for _, s := range p.Superseded {
		if now.Before(s.Until) {
			return s.Bindings
		}
	}
	return p.Bindings
}

func assetMethods() []method {
	var ms []method
	for _, kind := range []string{"projects", "folders", "organizations"} {
		ms = append(ms, method{
			id: "cloudasset.searchAllIamPolicies", host: assetHost, pattern: "GET /v1/" + kind + "/{scope}:searchAllIamPolicies",
			serve: func(c *call) (any, error) { return searchAllPolicies(c, kind+"/"+c.vars["scope"]) },
		})
	}
	return ms
}

// asset is a resource as Cloud Asset Inventory names it, with the policy on it.
type asset struct {
	name   string // //storage.googleapis.com/b, not the name that conditions see
	typ    string
	node   node
	policy *policy
}

func searchAllPolicies(c *call, name string) (any, error) {
	scope, err := c.container(name)
	if err != nil {
		return nil, err
	}
	if err := c.require("cloudasset.assets.searchAllIamPolicies", scope); err != nil {
		return nil, err
	}
	terms, err := parseAssetQuery(c.query("query"))
	if err != nil {
		return nil, err
	}
	var found []map[string]any
	for _, a := range c.server.assets() {
		if !slices.Contains(a.node.holders, scope.full) {
			continue
		}
		if bindings := matching(a.policy.indexed(c.now), terms); len(bindings) > 0 {
			found = append(found, c.server.assetResult(a, bindings))
		}
	}
	asked, err := c.listPage()
	if err != nil {
		return nil, err
	}
	part, next, err := paginate(found, asked, 100, 500)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if len(part) > 0 {
		answer["results"] = part
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// queryTerm is one condition of a query: a word, or words in quotes, alone or behind
// the name of a field.
var queryTerm = regexp.MustCompile(`(?:([a-zA-Z]+)[:=])?(?:"([^"]*)"|(\S+))`)

// parseAssetQuery returns the texts that have to be in a policy. Of the fields of the
// query language there is policy alone; of its operators AND, which a space is too.
func parseAssetQuery(query string) ([]string, error) {
	var terms []string
	for _, m := range queryTerm.FindAllStringSubmatch(query, -1) {
		field, text := m[1], strings.ToLower(cmp.Or(m[2], m[3]))
		switch {
		case field == "" && text == "and":
		case field != "" && field != "policy", field == "" && (text == "or" || text == "not"), strings.ContainsAny(text, "()*"):
			return nil, fail(http.StatusNotImplemented, "UNIMPLEMENTED", "notImplemented",
				"The emulator searches for texts and for policy:TEXT, not for %s.", m[0])
		default:
			terms = append(terms, text)
		}
	}
	return terms, nil
}

// matching returns the parts of a policy that a query asks for: those bindings in which
// a member or the role has all of the texts.
func matching(bindings []binding, terms []string) []binding {
	var out []binding
	for _, b := range bindings {
		text := strings.ToLower(strings.Join(append([]string{b.Role}, b.Members...), "\n"))
		if !slices.ContainsFunc(terms, func(t string) bool { return !strings.Contains(text, t) }) {
			out = append(out, b)
		}
	}
	return out
}

// assetResult is one result of a search, with the part of the policy that matched.
func (s *Server) assetResult(a asset, bindings []binding) map[string]any {
	m := map[string]any{"resource": a.name, "policy": wirePolicy{Bindings: bindings}}
	if a.typ != "" {
		m["assetType"] = a.typ
	}
	var folders []string
	for _, holder := range a.node.holders {
		name, ours := strings.CutPrefix(holder, "//"+resourceManagerHost+"/")
		kind, id, _ := strings.Cut(name, "/")
		switch {
		case !ours:
		case kind == "projects":
			m["project"] = "projects/" + s.state.projectBy(id).Number
		case kind == "folders":
			folders = append(folders, name)
		case kind == "organizations":
			m["organization"] = name
		}
	}
	if len(folders) > 0 {
		m["folders"] = folders
	}
	return m
}

// assets returns everything that has a policy, sorted by name.
func (s *Server) assets() []asset {
	st := &s.state
	var all []asset
	add := func(name, typ string, n node, p *policy) {
		if p != nil {
			all = append(all, asset{name, typ, n, p})
		}
	}
	addBelow := func(project, full, typ string, p *policy) {
		if parent, _, err := s.projectNode(project); err == nil {
			add(full, typ, parent.child(full, "", typ, p), p)
		}
	}
	container := func(name, typ string, p *policy) {
		n := st.containerNode(name)
		add(n.full, resourceManagerHost+"/"+typ, n, p)
	}
	for number, o := range st.Organizations {
		container("organizations/"+number, "Organization", &o.Policy)
	}
	for number, f := range st.Folders {
		container("folders/"+number, "Folder", &f.Policy)
	}
	for _, p := range st.Projects {
		container("projects/"+p.Number, "Project", &p.Policy)
	}
	for _, a := range st.Accounts {
		if !a.deleted() {
			addBelow(a.ProjectID, "//"+iamHost+"/projects/"+a.ProjectID+"/serviceAccounts/"+a.UniqueID, iamHost+"/ServiceAccount", &a.Policy)
		}
	}
	for _, b := range st.Storage.Buckets {
		addBelow(b.Project, "//"+storageHost+"/"+b.Name, storageHost+"/Bucket", b.Policy)
	}
	for _, t := range st.PubSub.Topics {
		addBelow(strings.Split(t.Name, "/")[1], "//"+pubsubHost+"/"+t.Name, pubsubHost+"/Topic", t.Policy)
	}
	for _, b := range st.PubSub.Subscriptions {
		addBelow(strings.Split(b.Name, "/")[1], "//"+pubsubHost+"/"+b.Name, pubsubHost+"/Subscription", b.Policy)
	}
	for _, m := range st.Secrets.Secrets {
		addBelow(m.Project, "//"+secretHost+"/projects/"+m.Project+"/secrets/"+m.ID, secretHost+"/Secret", m.Policy)
	}
	for _, d := range st.BigQuery.Datasets {
		full := "//" + bigqueryHost + "/projects/" + d.Project + "/datasets/" + d.ID
		p := d.policy()
		p.Superseded = d.Superseded
		addBelow(d.Project, full, bigqueryHost+"/Dataset", p)
		for _, t := range d.Tables {
			addBelow(d.Project, full+"/tables/"+t.ID, bigqueryHost+"/Table", t.Policy)
		}
	}
	for name, r := range st.KMS.Rings {
		project := strings.Split(name, "/")[1]
		addBelow(project, "//"+kmsHost+"/"+name, kmsHost+"/KeyRing", r.Policy)
		for id, k := range r.Keys {
			addBelow(project, "//"+kmsHost+"/"+name+"/cryptoKeys/"+id, kmsHost+"/CryptoKey", k.Policy)
		}
	}
	for full := range st.Resources {
		if r, n, err := s.findNamed(full); err == nil {
			add(full, n.typ, n, r.Policy)
		}
	}
	slices.SortFunc(all, func(a, b asset) int { return strings.Compare(a.name, b.name) })
	return all
}
