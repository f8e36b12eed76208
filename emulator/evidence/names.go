package evidence

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/lazy"
)

// kinds are the collections of resource names, and what is in each.
var kinds = map[string]string{
	"projects": "project", "folders": "folder", "organizations": "organization", "billingAccounts": "billing-account",
	"serviceAccounts": "account", "keys": "key", "roles": "role", "b": "bucket", "buckets": "bucket", "o": "object",
	"objects": "object", "topics": "topic", "subscriptions": "subscription", "secrets": "secret", "versions": "version",
	"datasets": "dataset", "tables": "table", "keyRings": "key-ring", "cryptoKeys": "crypto-key", "instances": "instance",
	"databases": "database", "repositories": "repository", "caPools": "pool", "namespaces": "namespace",
	"environments": "environment", "jobs": "job", "services": "service", "images": "image", "denypolicies": "deny-policy",
	"operations": "operation", "snapshots": "snapshot",
}

// fields hold a name of that kind, in a body or in a query.
var fields = map[string]string{
	"accountId": "account", "projectId": "project", "project": "project", "projectNumber": "project-number",
	"roleId": "role", "secretId": "secret", "datasetId": "dataset", "tableId": "table", "keyRingId": "key-ring",
	"cryptoKeyId": "crypto-key", "policyId": "deny-policy", "bucket": "bucket", "userProject": "project",
}

// names are what is named in an exchange, and the words that stand in their places.
type names struct {
	words    map[string]string // by the name
	counts   map[string]int    // by the kind
	operator string
}

func newNames(terms Terms) *names {
	n := &names{words: map[string]string{}, counts: map[string]int{}, operator: terms.Operator}
	if terms.Operator != "" {
		n.words[terms.Operator] = "{operator}"
	}
	for _, name := range slices.Sorted(maps.Keys(terms.Names)) {
		n.add(terms.Names[name], name)
	}
	return n
}

// add returns the word for a name of that kind.
func (n *names) add(kind, name string) string {
	if name == "" || name == "-" || name == "_" || name == "~" {
		return name
	}
	if kind == "project" && digits().MatchString(name) {
		kind = "project-number"
	}
	// A text may be the same as a name, and is another thing.
	known := name
	if kind == "text" || kind == "label" {
		known = kind + "\x00" + name
	}
	if w := n.words[known]; w != "" {
		return w
	}
	n.counts[kind]++
	word := "{" + kind + "}"
	if c := n.counts[kind]; c > 1 {
		word = "{" + kind + strconv.Itoa(c) + "}"
	}
	n.words[known] = word
	return word
}

var (
	digits       = lazy.Regexp(`^[0-9]+$`)
	accountEmail = lazy.Regexp(`([A-Za-z0-9_-]+)@([A-Za-z0-9_-]+)\.iam\.gserviceaccount\.com`)
	numbered     = lazy.Regexp(`^(service-|project-)?([0-9]{9,})(-compute)?$`)
	anyEmail     = lazy.Regexp(`[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
	convenience  = lazy.Regexp(`^project(?:Owner|Editor|Viewer):(.+)$`)
	uidOfMember  = lazy.Regexp(`\?uid=([0-9]+)`)
	// A word of a text: an escape of a URL is none, an address is one.
	word = lazy.Regexp(`%(?:25)*[0-9A-F]{2}|[A-Za-z0-9._+-]+@[A-Za-z0-9._-]+|[A-Za-z0-9_.-]+`)
)

// collect finds the names in all of an exchange.
func (d *describer) collect(path string, query url.Values, request, answer any) {
	d.names.path(path)
	for _, k := range slices.Sorted(maps.Keys(query)) {
		if kind := fields[k]; kind != "" {
			d.names.add(kind, query.Get(k))
		}
	}
	d.walk("", request, true)
	d.walk("", answer, false)
}

// walk finds the names in a body.
func (d *describer) walk(key string, v any, request bool) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if s, ok := v[k].(string); ok && v["keyType"] == "SYSTEM_MANAGED" && keyName().MatchString(s) {
				d.names.path(keyName().ReplaceAllString(s, "")) // Google names this key when it likes
				continue
			}
			d.walk(k, v[k], request)
		}
	case []any:
		for _, e := range v {
			d.walk(key, e, request)
		}
	case string:
		if !isText(key) {
			d.named(key, v)
		}
	}
}

// named finds the names in one string.
func (d *describer) named(key, s string) {
	switch {
	case fields[key] != "":
		d.names.add(fields[key], s)
	case key == "name" && d.storage && !strings.Contains(s, "/"):
		d.names.add("bucket", s)
	case d.made && keyName().MatchString(s):
		d.names.path(keyName().ReplaceAllString(s, ""))
	default:
		d.names.path(s)
	}
	if m := convenience().FindStringSubmatch(s); m != nil {
		d.names.add("project", m[1])
	}
	if m := uidOfMember().FindStringSubmatch(s); m != nil {
		d.names.add("uid", m[1])
	}
}

// path finds the names in the name of a resource, and the addresses in it.
func (n *names) path(s string) {
	for _, m := range accountEmail().FindAllStringSubmatch(s, -1) {
		if strings.HasPrefix(m[2], "gcp-sa-") {
			n.number(m[1])
			continue
		}
		n.add("account", m[1])
		n.add("project", m[2])
	}
	for _, address := range anyEmail().FindAllString(s, -1) {
		before, domain, _ := strings.Cut(address, "@")
		switch {
		case strings.HasSuffix(domain, ".iam.gserviceaccount.com"):
		case strings.HasSuffix(domain, "gserviceaccount.com"):
			n.number(before)
		default:
			n.add("user", address)
		}
	}
	segments := strings.Split(s, "/")
	for i := 1; i < len(segments); i++ {
		kind := kinds[segments[i-1]]
		switch name := segments[i]; {
		case kind == "", strings.ContainsAny(name, "@ "), kind == "role" && i < 3, kinds[name] != "":
		case kind == "service" && strings.HasSuffix(name, ".googleapis.com"), kind == "version" && name == "latest":
		case kind == "account" && digits().MatchString(name):
			n.add("uid", name)
		default:
			n.add(kind, name)
		}
	}
}

// number finds a project's number in the name of an account of Google's.
func (n *names) number(s string) {
	if m := numbered().FindStringSubmatch(s); m != nil {
		n.add("project-number", m[2])
	}
}

// replace puts the words in the place of the names.
func (n *names) replace(s string) string {
	return word().ReplaceAllStringFunc(s, func(token string) string {
		if w := n.words[token]; w != "" {
			return w
		}
		before, domain, address := strings.Cut(token, "@")
		if address {
			project, ours := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
			if w := n.words[project]; ours && w != "" {
				domain = w + ".iam.gserviceaccount.com"
			}
			return n.replace(before) + "@" + domain
		}
		if m := numbered().FindStringSubmatch(token); m != nil {
			if w := n.words[m[2]]; w != "" {
				return m[1] + w + m[3]
			}
		}
		return token
	})
}
