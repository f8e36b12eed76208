package egress

import (
	"net/http"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/lazy"
)

// restService is a service whose paths are names of resources: VERSION/NAME, or VERSION/NAME:VERB.
type restService struct {
	host     string
	versions []string
	// collections are those that names in it have beside projects and locations; nil is that
	// nothing is below a project.
	collections []string
	// content are verbs whose bodies are data and name nothing.
	content []string
	// outside are keys, folded, of bodies that say where else something goes: to an address.
	outside []string
	// refused are verbs that are not passed on, with the reason.
	refused map[string]string
	// unnamed are paths, after the version, that are read with GET and name nothing of anybody's.
	unnamed []string
}

// policyVerbs are about a resource's policy. Their bodies are policies.
var policyVerbs = []string{"getIamPolicy", "setIamPolicy", "testIamPermissions"}

var (
	pubsub = restService{
		host: "pubsub.googleapis.com", versions: []string{"v1"},
		collections: []string{"topics", "subscriptions", "snapshots", "schemas"},
		content:     []string{"publish", "pull", "acknowledge", "modifyAckDeadline", "validateMessage", "validate"},
		// BigQuery and Cloud Storage are named there in ways of their own.
		outside: []string{"pushendpoint", "bigqueryconfig", "cloudstorageconfig", "bigtableconfig"},
	}
	secretManager = restService{
		host: "secretmanager.googleapis.com", versions: []string{"v1"},
		collections: []string{"secrets", "versions"},
		content:     []string{"access", "addVersion", "enable", "disable", "destroy"},
	}
	kms = restService{
		host: "cloudkms.googleapis.com", versions: []string{"v1"},
		collections: []string{"keyRings", "cryptoKeys", "cryptoKeyVersions", "importJobs", "publicKey"},
		content: []string{
			"encrypt", "decrypt", "asymmetricSign", "asymmetricDecrypt", "macSign", "macVerify", "rawEncrypt",
			"rawDecrypt", "generateRandomBytes",
		},
	}
	resourceManager = restService{
		host: "cloudresourcemanager.googleapis.com", versions: []string{"v1", "v3"},
		outside: []string{"parent", "destinationparent"},
	}
	serviceUsage = restService{
		host: "serviceusage.googleapis.com", versions: []string{"v1"}, collections: []string{"services"},
	}
	accounts = restService{
		host: "iam.googleapis.com", versions: []string{"v1"},
		collections: []string{"serviceAccounts", "roles", "keys"},
		content:     []string{"enable", "disable", "undelete"},
		refused: map[string]string{
			"signBlob": "a signature of an account could be used outside of this sandbox",
			"signJwt":  "a signature of an account could be used outside of this sandbox",
			"upload":   "a key of an account could be used outside of this sandbox",
		},
		unnamed: []string{"roles"},
	}
)

// resourceSegment is one segment of a resource's name.
var resourceSegment = lazy.Regexp(`^[A-Za-z0-9@][A-Za-z0-9@._~+%-]*$`)

// unreadable says that a request is of no known form.
func (s *restService) unreadable() *refusal {
	return forbid("what this request to %s is for cannot be read by this proxy", s.host)
}

// read returns the resource of the path, and what the body names.
func (s *restService) read(q *question) ([]named, *refusal) {
	if len(q.path) < 2 || !slices.Contains(s.versions, q.path[0]) {
		return nil, s.unreadable()
	}
	path := slices.Clone(q.path[1:])
	last, verb, _ := strings.Cut(path[len(path)-1], ":")
	path[len(path)-1] = last
	if why, refused := s.refused[verb]; refused {
		return nil, forbid("%s", why)
	}
	if q.Method == http.MethodGet && verb == "" && slices.Contains(s.unnamed, path[0]) && len(path) <= 2 {
		return []named{}, nil
	}
	name, why := s.name(path)
	if why != nil {
		return nil, why
	}
	names := []named{{s.host, name}}
	if slices.Contains(s.content, verb) || slices.Contains(policyVerbs, verb) ||
		q.Method == http.MethodGet || q.Method == http.MethodDelete {
		return names, s.bodiless(q)
	}
	doc, why := q.document()
	if why != nil {
		return nil, why
	}
	if key := hasKey(doc, s.outside); key != "" {
		return nil, forbid("%s says where else something is to go, which cannot be read by this proxy", key)
	}
	return append(names, namesInside(s.host, doc)...), nil
}

// bodiless refuses the body of a request that has none.
func (s *restService) bodiless(q *question) *refusal {
	if q.Method == http.MethodGet && q.ContentLength != 0 {
		return s.unreadable()
	}
	return nil
}

// name returns the name that a path has. The last collection of a list is not part of it.
func (s *restService) name(path []string) (string, *refusal) {
	if path[0] != "projects" || len(path) < 2 {
		return "", s.unreadable()
	}
	for i, segment := range path {
		switch {
		case !resourceSegment().MatchString(segment):
			return "", s.unreadable()
		case i > 0 && i%2 == 0 && segment != "locations" && !slices.Contains(s.collections, segment):
			return "", s.unreadable()
		}
	}
	if len(path)%2 == 1 {
		path = path[:len(path)-1]
	}
	return strings.Join(path, "/"), nil
}

// hasKey returns a key of those that is in a document.
func hasKey(doc any, keys []string) string {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			if key := hasKey(v, keys); key != "" {
				return key
			}
		}
	case map[string]any:
		for key, v := range doc {
			if slices.Contains(keys, key) {
				return key
			}
			if key := hasKey(v, keys); key != "" {
				return key
			}
		}
	}
	return ""
}

// readIAM reads a request about accounts. Their names may leave the project out, which the email has.
func readIAM(q *question) ([]named, *refusal) {
	if len(q.path) > 4 && q.path[3] == "serviceAccounts" && len(q.path) > 5 && q.Method != http.MethodGet {
		return nil, forbid("a key of an account could be used outside of this sandbox")
	}
	if len(q.path) > 4 && q.path[1] == "projects" && q.path[2] == "-" && q.path[3] == "serviceAccounts" {
		email, _, _ := strings.Cut(q.path[4], ":")
		_, domain, _ := strings.Cut(email, "@")
		project, ok := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
		if !ok || strings.Contains(project, ".") {
			return nil, forbid("%q does not say which project the account is of", email)
		}
		q.path = slices.Clone(q.path)
		q.path[2] = project
	}
	return accounts.read(q)
}
