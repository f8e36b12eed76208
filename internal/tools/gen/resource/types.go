package main

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

const typesHead = `# The types of resource that have an allow policy, of Google's discovery documents in the
# best version of each API; made by go generate. Columns, separated by tabs:
#   id       the ids of the type's methods without the verb
#   kind     what it is called
#   service  the host of the API, which is the service of the full resource name
#   pattern  the relative name; {+v} spans segments
#   path     the same in URLs; - if it is the pattern
#   version  where a read asks for policy version 3: query, compact query, body; - nowhere
#   get      verb and path of getIamPolicy, {} standing for the name's path
#   set      the same of setIamPolicy, and "bare" if it takes the policy without a wrapping; - if there is none
#   test     the same of testIamPermissions, and "query" if it takes the permissions there; - if there is none
`

// nouns are what services are called where that is not their API's title.
var nouns = map[string]string{
	"aiplatform": "Vertex AI", "artifactregistry": "Artifact Registry", "backupdr": "Backup and DR", "biglake": "BigLake", "bigtableadmin": "Bigtable",
	"cloudbilling": "Billing", "cloudbuild": "Cloud Build", "clouddeploy": "Cloud Deploy", "cloudfunctions": "Cloud Functions",
	"cloudkms": "KMS", "cloudprivatecatalogproducer": "Private Catalog", "cloudtasks": "Cloud Tasks", "compute": "Compute",
	"datamigration": "Database Migration", "deploymentmanager": "Deployment Manager", "domains": "Cloud Domains", "iam": "IAM",
	"iap": "IAP", "managedidentities": "Managed Microsoft AD", "ml": "AI Platform", "privateca": "CA Service", "run": "Cloud Run",
	"runtimeconfig": "Runtime Configuration", "sourcerepo": "Source Repositories", "storage": "Storage",
}

// kinds are the words that people use for single types.
var kinds = map[string]string{
	"privateca.projects.locations.caPools.certificateAuthorities.certificateRevocationLists": "CA Service revocation list",
	"privateca.projects.locations.certificateAuthorities.certificateRevocationLists":         "CA Service revocation list outside a pool",
	"bigquery.tables":                                 "table",
	"cloudbilling.billingAccounts":                    "billing account",
	"cloudkms.projects.locations.keyRings.cryptoKeys": "KMS key",
	"cloudresourcemanager.folders":                    "folder",
	"cloudresourcemanager.organizations":              "organization",
	"cloudresourcemanager.projects":                   "project",
	"iam.projects.serviceAccounts":                    "service account",
	"iap":                                             "IAP resource",
	"logging.folders.locations.buckets.views":         "log view of a folder",
	"logging.organizations.locations.buckets.views":   "log view of an organization",
	"logging.locations.buckets.views":                 "log view of a billing account",
	"logging.projects.locations.buckets.views":        "log view",
	"run.projects.locations.workerpools":              "Cloud Run worker pool of API version 1",
	"pubsub.projects.subscriptions":                   "subscription",
	"pubsub.projects.topics":                          "topic",
	"secretmanager.projects.locations.secrets":        "regional secret",
	"secretmanager.projects.secrets":                  "secret",
	"servicebroker":                                   "Service Broker resource",
	"sourcerepo.projects.repos":                       "source repository",
	"storage.buckets":                                 "bucket",
	"storage.managedFolders":                          "managed folder",
	"storage.objects":                                 "storage object",
	"dataproc.projects.locations.autoscalingPolicies": "Dataproc autoscaling policy",
	"dataproc.projects.locations.workflowTemplates":   "Dataproc workflow template",
	"dataproc.projects.regions.autoscalingPolicies":   "Dataproc autoscaling policy of a region",
	"dataproc.projects.regions.workflowTemplates":     "Dataproc workflow template of a region",
}

// patterns are the names that no path shows: those of Cloud Storage, where a path has b
// for projects/_/buckets (iam/docs/full-resource-names), and those that the documents
// give as any text.
var patterns = map[string]string{
	"storage.buckets":        "projects/_/buckets/{bucket}",
	"storage.managedFolders": "projects/_/buckets/{bucket}/managedFolders/{+managedFolder}",
	// The one that is for any container, since all others have their own.
	"logging.locations.buckets.views": "billingAccounts/{billingAccount}/locations/{location}/buckets/{bucket}/views/{view}",
	"storage.objects":                 "projects/_/buckets/{bucket}/objects/{+object}",
	"iap":                             "projects/{project}/{+iap}",    // iap/docs/managing-access
	"servicebroker":                   "projects/{project}/{+broker}", // the API's own reference; it is retired
	"sourcerepo.projects.repos":       "projects/{project}/repos/{+repo}",
}

// typeTable makes types.txt.
func typeTable() ([]byte, error) {
	module, err := gen.Module()
	if err != nil {
		return nil, err
	}
	all, err := types(module)
	if err != nil {
		return nil, err
	}
	names, err := nameAll(all)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(typesHead)
	for i, f := range all {
		row, err := f.row()
		if err != nil {
			return nil, fmt.Errorf("%s of %s %s: %w", f.id, f.doc.Name, f.doc.Version, err)
		}
		fmt.Fprintln(&b, strings.Join(slices.Concat([]string{f.id, names[i]}, row), "\t"))
	}
	return b.Bytes(), nil
}

// row returns the columns of a type from its service on.
func (f found) row() ([]string, error) {
	get := f.all[f.id+".getIamPolicy"]
	path, err := f.path(get)
	if err != nil {
		return nil, err
	}
	prefix, rest, err := gen.SplitVersion(path)
	if err != nil {
		return nil, err
	}
	own, suffix := gen.CutVerb(rest)
	if own == rest {
		return nil, fmt.Errorf("its path is %s", path)
	}
	pattern := patterns[f.id]
	if pattern == "" {
		pattern = own
	} else if strings.Contains(get.Path, "{+") {
		own = pattern
	}
	at := "-"
	if own != pattern {
		at = own
	}

	version, err := f.version(get)
	if err != nil {
		return nil, err
	}
	set, test := "-", "-"
	if m, ok := f.all[f.id+".setIamPolicy"]; ok {
		var wrapping string
		if wrapping, err = f.wrapping(m); err != nil {
			return nil, err
		}
		if set, err = f.call(m, prefix, rest, suffix); err != nil {
			return nil, err
		}
		set += wrapping
	}
	if m, ok := f.all[f.id+".testIamPermissions"]; ok {
		if test, err = f.call(m, prefix, rest, suffix); err != nil {
			return nil, err
		}
		if m.Request == nil {
			if m.Parameters["permissions"].Location != "query" {
				return nil, fmt.Errorf("testIamPermissions takes no permissions")
			}
			test += " query"
		}
	}
	host := strings.TrimSuffix(strings.TrimPrefix(f.doc.RootURL, "https://"), "/")
	return []string{host, pattern, at, version, get.HTTPMethod + " " + prefix + "{}" + suffix, set, test}, nil
}

// path is where the method is called, its variables named after the collections that
// they are of.
func (f found) path(m gen.Method) (string, error) {
	segments := strings.Split(f.doc.URL(m), "/")
	for i, s := range segments {
		v := gen.Variable.FindString(s)
		if v == "" {
			continue
		}
		name := strings.Trim(v, "{}")
		switch {
		case i > 0 && isCollection(segments[i-1]):
			name = singular(segments[i-1])
		case strings.HasSuffix(name, "Id"): // v1Id, which stands for a whole name
			name = "name"
		}
		segments[i] = strings.Replace(s, v, "{"+name+"}", 1)
	}
	return strings.Join(segments, "/"), nil
}

// isCollection reports whether a segment is the word for what the next one is of. Cloud
// Storage's b and o are too short to say.
func isCollection(segment string) bool {
	return !strings.ContainsAny(segment, "{}") && !gen.Version.MatchString(segment) && len(segment) > 1
}

// call is the verb and the path of a method beside getIamPolicy.
func (f found) call(m gen.Method, prefix, rest, suffix string) (string, error) {
	path, err := f.path(m)
	if err != nil {
		return "", err
	}
	own, _ := gen.CutVerb(rest)
	end, ok := strings.CutPrefix(path, prefix+own)
	if !ok {
		return "", fmt.Errorf("%s is at %s, and getIamPolicy at %s%s", m.ID, path, prefix, own)
	}
	return m.HTTPMethod + " " + prefix + "{}" + end, nil
}

// version is where a read asks for policy version 3.
func (f found) version(get gen.Method) (string, error) {
	switch {
	case get.Parameters["options.requestedPolicyVersion"].Location == "query":
		return "query", nil
	case get.Parameters["optionsRequestedPolicyVersion"].Location == "query":
		return "compact query", nil
	case get.Request == nil:
		return "-", nil
	}
	body, err := f.doc.Properties(get.Request.Ref)
	if err != nil {
		return "", err
	}
	options, err := f.doc.Properties(body["options"])
	if err != nil {
		return "", err
	}
	if _, ok := options["requestedPolicyVersion"]; !ok {
		return "", fmt.Errorf("%s asks for no version", get.Request.Ref)
	}
	return "body", nil
}

// wrapping is how a method takes the policy.
func (f found) wrapping(set gen.Method) (string, error) {
	if set.Request == nil {
		return "", fmt.Errorf("%s takes no body", set.ID)
	}
	body, err := f.doc.Properties(set.Request.Ref)
	if err != nil {
		return "", err
	}
	if _, ok := body["policy"]; ok {
		return "", nil
	}
	if _, ok := body["bindings"]; ok && set.HTTPMethod == http.MethodPut {
		return " bare", nil
	}
	return "", fmt.Errorf("%s takes no policy", set.Request.Ref)
}

// nameAll names the types: their service and what the last collection holds, with as many
// of the collections before it as tell the types of a service apart.
func nameAll(all []found) ([]string, error) {
	names := make([]string, len(all))
	chains := make([][]string, len(all))
	for i, f := range all {
		chains[i] = slices.DeleteFunc(strings.Split(f.id, ".")[1:], func(s string) bool { return s == "locations" })
	}
	name := func(i, n int) string {
		words := []string{noun(all[i].doc)}
		for j, f := range all {
			// The same both with and without a location: the one without was first.
			if f.doc.Name == all[i].doc.Name && len(f.id) < len(all[i].id) && slices.Equal(chains[i], chains[j]) {
				words = append(words, "regional")
			}
		}
		for _, c := range chains[i][max(0, len(chains[i])-n):] {
			words = append(words, split(singular(c)))
		}
		return strings.Join(words, " ")
	}
	for i, f := range all {
		if names[i] = kinds[f.id]; names[i] != "" {
			continue
		}
		shared := func(n int) bool {
			for j, o := range all {
				if j != i && o.doc.Name == f.doc.Name && kinds[o.id] == "" && name(j, n) == name(i, n) {
					return true
				}
			}
			return false
		}
		n := 1
		for n < len(chains[i]) && shared(n) {
			n++
		}
		names[i] = name(i, n)
	}
	for i, n := range names {
		if j := slices.Index(names[:i], n); j >= 0 {
			return nil, fmt.Errorf("%s and %s are both called %q", all[j].id, all[i].id, n)
		}
	}
	return names, nil
}

func noun(d *gen.Document) string {
	if n := nouns[d.Name]; n != "" {
		return n
	}
	n := strings.TrimSuffix(d.Title, " API")
	return strings.TrimPrefix(strings.TrimPrefix(n, "Google "), "Cloud ")
}

// singular is one of what a collection holds: policy for policies.
func singular(collection string) string {
	s := collection
	for _, end := range []struct{ plural, one string }{{"indexes", "index"}, {"ies", "y"}, {"sses", "ss"},
		{"Buses", "Bus"}, {"ss", "ss"}, {"us", "us"}, {"s", ""}} {
		if stem, ok := strings.CutSuffix(s, end.plural); ok {
			return stem + end.one
		}
	}
	return s
}

// acronyms are words that are written otherwise than others.
var acronyms = map[string]string{
	"ai": "AI", "api": "API", "apis": "APIs", "ca": "CA", "dicom": "DICOM", "ekm": "EKM", "fhir": "FHIR", "hcx": "HCX", "hl7": "HL7",
	"scim": "SCIM", "ssl": "SSL", "tls": "TLS", "vmware": "VMware",
}

// split makes words of what is written in one: crypto key of cryptoKey.
func split(s string) string {
	var b strings.Builder
	for i, r := range s {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	words := strings.Fields(b.String())
	for i, w := range words {
		if a := acronyms[w]; a != "" {
			words[i] = a
		}
	}
	return strings.Join(words, " ")
}
