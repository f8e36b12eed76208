// Package asset is the Cloud Asset Inventory of the emulator: the search over all allow
// policies.
package asset

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

const host = "cloudasset.googleapis.com"

// Service is Cloud Asset Inventory: the search over all policies.
func Service() *wire.Service {
	return &wire.Service{Name: host, Title: "Cloud Asset API", Methods: methods()}
}

func methods() []wire.Method {
	var ms []wire.Method
	for _, kind := range []string{"projects", "folders", "organizations"} {
		ms = append(ms, wire.Method{
			ID: "cloudasset.searchAllIamPolicies", Host: host,
			Pattern: "GET /v1/" + kind + "/{scope}:searchAllIamPolicies",
			Serve:   func(c *wire.Call) (any, error) { return searchAllPolicies(c, kind+"/"+c.Vars["scope"]) },
		})
	}
	return ms
}

func searchAllPolicies(c *wire.Call, name string) (any, error) {
	scope, err := c.Container(name)
	if err != nil {
		return nil, err
	}
	if err := c.Require("cloudasset.assets.searchAllIamPolicies", scope); err != nil {
		return nil, err
	}
	terms, err := parseAssetQuery(c.Query("query"))
	if err != nil {
		return nil, err
	}
	var found []map[string]any
	for _, a := range c.State().Assets() {
		if !slices.Contains(a.Node.Holders, scope.Full) {
			continue
		}
		if bindings := matching(a.Policy.Indexed(c.Now), terms); len(bindings) > 0 {
			found = append(found, assetResult(c.State(), a, bindings))
		}
	}
	asked, err := c.ListPage()
	if err != nil {
		return nil, err
	}
	part, next, err := wire.Paginate(found, asked, 100, 500)
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
var queryTerm = lazy.Regexp(`(?:([a-zA-Z]+)[:=])?(?:"([^"]*)"|(\S+))`)

// parseAssetQuery returns the texts that have to be in a policy. Of the fields of the
// query language there is policy alone; of its operators AND, which a space is too.
func parseAssetQuery(query string) ([]string, error) {
	var terms []string
	for _, m := range queryTerm().FindAllStringSubmatch(query, -1) {
		field, text := m[1], strings.ToLower(cmp.Or(m[2], m[3]))
		switch {
		case field == "" && text == "and":
		case field != "" && field != "policy", field == "" && (text == "or" || text == "not"),
			strings.ContainsAny(text, "()*"):
			return nil, wire.Fail(http.StatusNotImplemented, "UNIMPLEMENTED", "notImplemented",
				"The emulator searches for texts and for policy:TEXT, not for %s.", m[0])
		default:
			terms = append(terms, text)
		}
	}
	return terms, nil
}

// matching returns the parts of a policy that a query asks for: those bindings in which
// a member or the role has all of the texts.
func matching(bindings []iam.Binding, terms []string) []iam.Binding {
	var out []iam.Binding
	for _, b := range bindings {
		text := strings.ToLower(strings.Join(append([]string{b.Role}, b.Members...), "\n"))
		if !slices.ContainsFunc(terms, func(t string) bool { return !strings.Contains(text, t) }) {
			out = append(out, b)
		}
	}
	return out
}

// assetResult is one result of a search, with the part of the policy that matched.
func assetResult(s *wire.State, a wire.Asset, bindings []iam.Binding) map[string]any {
	m := map[string]any{"resource": a.Name, "policy": iam.PolicyJSON{Bindings: bindings}}
	if a.Type != "" {
		m["assetType"] = a.Type
	}
	var folders []string
	for _, holder := range a.Node.Holders {
		name, ours := strings.CutPrefix(holder, "//"+iam.ResourceManagerHost+"/")
		kind, id, _ := strings.Cut(name, "/")
		switch {
		case !ours:
		case kind == "projects":
			m["project"] = "projects/" + s.ProjectBy(id).Number
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
