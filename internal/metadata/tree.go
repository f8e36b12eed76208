package metadata

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// node is one path of the metadata: a folder, a value, or something made on request. Only
// tokens change, so all other answers are made in advance.
type node struct {
	text, json string // of a value, or the names in a folder
	lines      string // a folder with all that is in it, as text
	folder     bool
	serve      func(w http.ResponseWriter, r *http.Request)
}

// entry describes a node. Its name in the JSON of its folder is key; what is made on
// request is not in that JSON.
type entry struct {
	name, key string
	value     any // string, json.Number or []string
	inside    []entry
	serve     func(w http.ResponseWriter, r *http.Request)
}

// grow returns the nodes of everything that this server knows. Facts that only a virtual
// machine has, such as a zone or an id, are missing, which clients accept.
func (s *Server) grow() map[string]*node {
	account := []entry{
		{name: "aliases", key: "aliases", value: []string{"default"}},
		{name: "email", key: "email", value: s.cfg.Account.Email},
		{name: "identity", serve: s.serveIdentity},
		{name: "scopes", key: "scopes", value: s.cfg.Scopes},
		{name: "token", serve: s.serveToken},
	}
	tree := map[string]*node{}
	layOut(tree, root, []entry{
		{name: "instance", key: "instance", inside: []entry{
			{name: "service-accounts", key: "serviceAccounts", inside: []entry{
				{name: "default", key: "default", inside: account},
				{name: s.cfg.Account.Email, key: s.cfg.Account.Email, inside: account},
			}},
		}},
		{name: "project", key: "project", inside: []entry{
			{name: "numeric-project-id", key: "numericProjectId", value: json.Number(s.cfg.ProjectNumber)},
			{name: "project-id", key: "projectId", value: s.cfg.Account.Project},
		}},
		{name: "universe", key: "universe", inside: []entry{
			{name: "universe-domain", key: "universeDomain", value: "googleapis.com"},
		}},
	})
	v1 := tree[root]
	tree["/computeMetadata"] = &node{folder: true, text: "v1/\n", json: `{"v1":` + v1.json + "}", lines: v1.lines}
	return tree
}

// layOut adds a folder and everything in it to the tree.
func layOut(tree map[string]*node, path string, entries []entry) *node {
	folder := &node{folder: true}
	var names, lines strings.Builder
	values := map[string]json.RawMessage{}
	for _, e := range entries {
		n := &node{serve: e.serve}
		at := path + "/" + e.name
		switch v := e.value.(type) {
		case string:
			n.text = v
		case json.Number:
			n.text = string(v)
		case []string:
			n.text = strings.Join(v, "\n") + "\n"
		}
		switch {
		case e.inside != nil:
			n = layOut(tree, at, e.inside)
			names.WriteString(e.name + "/\n")
			for line := range strings.Lines(n.lines) {
				lines.WriteString(e.name + "/" + line)
			}
		default:
			names.WriteString(e.name + "\n")
			for line := range strings.Lines(n.text) {
				lines.WriteString(e.name + " " + strings.TrimSuffix(line, "\n") + "\n")
			}
		}
		if e.serve == nil {
			if e.inside == nil {
				n.json = encode(e.value)
			}
			values[e.key] = json.RawMessage(n.json)
		}
		tree[at] = n
	}
	folder.text, folder.lines, folder.json = names.String(), lines.String(), encode(values)
	tree[path] = folder
	return folder
}

// encode returns JSON of values for which that cannot fail: strings, numbers, and maps of
// them.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("[unexpected] metadata is not JSON: %v", err))
	}
	return string(b)
}

// serveTree answers requests below /computeMetadata. A folder is answered with and without
// a slash at its end; Google redirects from the one to the other.
func (s *Server) serveTree(w http.ResponseWriter, r *http.Request) {
	path, slash := strings.CutSuffix(r.URL.Path, "/")
	n := s.tree[path]
	if n == nil || slash && !n.folder {
		s.refuse(w, r, notFound)
		return
	}
	if r.URL.RawQuery == "" && n.serve == nil {
		writeText(w, n.text)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		s.refuse(w, r, refusal{code: http.StatusBadRequest, text: "the query cannot be read"})
		return
	}
	if strings.EqualFold(query.Get("wait_for_change"), "true") {
		// Nothing here changes: waiting for a change would only occupy a connection.
		s.refuse(w, r, refusal{
			code: http.StatusBadRequest, text: "wait_for_change is not served: nothing here changes",
		})
		return
	}
	alt := query.Get("alt")
	if !slices.Contains([]string{"", "json", "text"}, alt) {
		s.refuse(w, r, refusal{code: http.StatusBadRequest, text: "alt must be json or text"})
		return
	}
	if n.serve != nil {
		n.serve(w, r)
		return
	}
	recursive := strings.EqualFold(query.Get("recursive"), "true")
	switch {
	case n.folder && !recursive:
		writeText(w, n.text)
	case n.folder && alt == "text":
		writeText(w, n.lines)
	case n.folder, alt == "json":
		writeJSON(w, []byte(n.json))
	default:
		writeText(w, n.text)
	}
}
