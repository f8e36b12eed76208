package emulator

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const assetHost = "cloudasset.googleapis.com"

// assetService is Cloud Asset Inventory: the search over all policies.
func assetService() *service {
	return &service{Name: assetHost, Title: "Cloud Asset API", Methods: assetMethods()}
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
	for _, a := range c.state().assets() {
		if !slices.Contains(a.Node.holders, scope.full) {
			continue
		}
		if bindings := matching(a.Policy.indexed(c.now), terms); len(bindings) > 0 {
			found = append(found, assetResult(c.state(), a, bindings))
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
func assetResult(s *state, a asset, bindings []binding) map[string]any {
	m := map[string]any{"resource": a.Name, "policy": wirePolicy{Bindings: bindings}}
	if a.Type != "" {
		m["assetType"] = a.Type
	}
	var folders []string
	for _, holder := range a.Node.holders {
		name, ours := strings.CutPrefix(holder, "//"+resourceManagerHost+"/")
		kind, id, _ := strings.Cut(name, "/")
		switch {
		case !ours:
		case kind == "projects":
			m["project"] = "projects/" + s.projectBy(id).Number
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
