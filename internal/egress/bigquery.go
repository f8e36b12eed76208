package egress

import (
	"net/http"
	"strings"

	"github.com/taskiam/taskiam/internal/lazy"
)

const bigqueryHost = "bigquery.googleapis.com"

var bigqueryID = lazy.Regexp(`^[A-Za-z0-9_][A-Za-z0-9_.$:-]*$`)

// readBigQuery reads a request to BigQuery: the project that a job runs in, the datasets of the
// path, and what the body names: sources, destinations, and the tables in the text of a query.
func readBigQuery(q *question) ([]named, *refusal) {
	path := q.path
	if path[0] == "resumable" {
		path = path[1:]
	}
	upload := len(path) > 0 && path[0] == "upload"
	if upload {
		path = path[1:]
	}
	if len(path) < 3 || path[0] != "bigquery" || path[1] != "v2" || path[2] != "projects" {
		return nil, forbid("what this request to BigQuery is for cannot be read by this proxy")
	}
	path = path[3:]
	if len(path) == 0 { // the projects that the caller knows
		if q.Method != http.MethodGet {
			return nil, forbid("what this request to BigQuery is for cannot be read by this proxy")
		}
		return []named{}, nil
	}
	names, why := bigqueryPath(path, upload)
	if why != nil {
		return nil, why
	}
	if q.Method == http.MethodGet || q.Method == http.MethodDelete || isData(path[len(path)-1]) {
		return names, nil
	}
	doc, why := q.document()
	if why != nil {
		return nil, why
	}
	if upload && doc == nil {
		return nil, forbid("an upload to BigQuery begins with what it is: use a resumable one")
	}
	if key := hasKey(doc, []string{"remotefunctionoptions", "sparkoptions"}); key != "" {
		return nil, forbid("%s runs what cannot be read by this proxy", key)
	}
	if at := leadsElsewhere(doc, false); at != "" {
		return nil, forbid("BigQuery is to use %.80q, which is not in Cloud Storage", at)
	}
	more, why := bigqueryDocument(doc)
	return append(names, more...), why
}

// leadsElsewhere returns an address in a document, below a key that has addresses, that is not one
// of Cloud Storage.
func leadsElsewhere(doc any, isAddress bool) string {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			if at := leadsElsewhere(v, isAddress); at != "" {
				return at
			}
		}
	case map[string]any:
		for key, v := range doc {
			if at := leadsElsewhere(v, strings.HasSuffix(key, "uri") || strings.HasSuffix(key, "uris")); at != "" {
				return at
			}
		}
	case string:
		if isAddress && !strings.HasPrefix(doc, "gs://") {
			return doc
		}
	}
	return ""
}

// isData reports whether the body of a POST is rows, or a policy, and names nothing.
func isData(last string) bool {
	return last == "insertAll" || strings.HasSuffix(last, "IamPolicy") || strings.HasSuffix(last, ":testIamPermissions")
}

// bigqueryPath returns what the path names, after projects/.
func bigqueryPath(path []string, upload bool) ([]named, *refusal) {
	for _, segment := range path {
		if id, _, _ := strings.Cut(segment, ":"); !bigqueryID().MatchString(id) {
			return nil, refuse(http.StatusBadRequest, "%q is no id of BigQuery's", segment)
		}
	}
	project := named{bigqueryHost, "projects/" + path[0]}
	if len(path) == 1 {
		return []named{project}, nil
	}
	switch kind := path[1]; {
	case upload && kind != "jobs":
	case kind == "jobs", kind == "queries", kind == "serviceAccount" && len(path) == 2:
		return []named{project}, nil
	case kind == "datasets" && len(path) == 2:
		return []named{project}, nil
	case kind == "datasets":
		id, _, _ := strings.Cut(path[2], ":")
		return []named{{bigqueryHost, project.name + "/datasets/" + id}}, nil
	}
	return nil, forbid("what this request to BigQuery is for cannot be read by this proxy")
}

// bigqueryDocument returns what a body names, queries in it included.
func bigqueryDocument(doc any) ([]named, *refusal) {
	names := namesInside(bigqueryHost, doc)
	why := queries(doc, &names)
	return names, why
}

// queries reads the queries of a document, wherever they are.
func queries(doc any, names *[]named) *refusal {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			if why := queries(v, names); why != nil {
				return why
			}
		}
	case map[string]any:
		for key, v := range doc {
			text, isText := v.(string)
			switch {
			case free[key]:
				continue
			case isText && (key == "query" || key == "definitionbody" || strings.HasSuffix(key, "query")):
				if legacy, said := doc["uselegacysql"].(bool); key == "query" && (!said || legacy) {
					return forbid("only GoogleSQL can be read by this proxy: say useLegacySql = false")
				}
				more, why := tablesIn(text)
				if why != nil {
					return why
				}
				*names = append(*names, more...)
			}
			if why := queries(v, names); why != nil {
				return why
			}
		}
	}
	return nil
}
