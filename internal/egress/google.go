package egress

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// googleDomain has the hosts of Google's APIs.
const googleDomain = "googleapis.com"

func isGoogle(host string) bool {
	return host == googleDomain || strings.HasSuffix(host, "."+googleDomain)
}

// same compares in constant time.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// named is a resource that a request names.
type named struct {
	service string // such as storage.googleapis.com
	name    string // relative: projects/p/topics/t, projects/_/buckets/b
}

const bucketPrefix = "projects/_/buckets/"

// bucket names a bucket.
func bucket(name string) named { return named{storageHost, bucketPrefix + name} }

// String writes it as people do.
func (n named) String() string {
	if name, ok := strings.CutPrefix(n.name, bucketPrefix); ok {
		return "gs://" + name
	}
	return n.name
}

// project returns the project that the name says it is in; "" for a bucket.
func (n named) project() string {
	parts := strings.SplitN(n.name, "/", 3)
	if len(parts) < 2 || parts[0] != "projects" || parts[1] == "_" {
		return ""
	}
	return parts[1]
}

// reach is what requests may name.
type reach struct{ all []named }

func newReach(resources []resource.Name) reach {
	var r reach
	for _, n := range resources {
		if t := n.Type(); t != nil {
			r.all = append(r.all, named{t.Service, n.Relative()})
		}
	}
	return r
}

// has reports whether a resource is one of those, or in one. A project has what is in it of every
// service.
func (r reach) has(n named) bool {
	return slices.ContainsFunc(r.all, func(a named) bool { return a.covers(n) })
}

// covers reports whether n is this resource, or in it.
func (a named) covers(n named) bool {
	if n.name != a.name && !strings.HasPrefix(n.name, a.name+"/") {
		return false
	}
	return a.service == n.service || a.project() != "" && a.name == "projects/"+a.project()
}

// under returns the full names of those in which resources lie.
func (r reach) under(names []named) []string {
	var full []string
	for _, a := range r.all {
		if slices.ContainsFunc(names, a.covers) {
			full = append(full, "//"+a.service+"/"+a.name)
		}
	}
	return full
}

// bills reports whether a project is one in which something was granted: calls may be billed to it,
// which moves no data there.
func (r reach) bills(project string) bool {
	return slices.ContainsFunc(r.all, func(a named) bool { return a.project() == project })
}

// question is a request to Google as its readers see it.
type question struct {
	*http.Request
	host  string
	path  []string // the segments of the path, decoded
	query url.Values
}

// reader returns the resources that a request to a service names, or why it cannot be read. A
// request that names none passes only if the reader says so, by the empty and not nil list.
type reader func(q *question) ([]named, *refusal)

// readerFor returns the reader of the service at a host; nil is that its requests cannot be read.
// Those that hand out credentials are here too, to be refused with the reason.
func readerFor(host string) reader {
	switch host {
	case storageHost:
		return readStorage
	case bigqueryHost:
		return readBigQuery
	case pubsub.host:
		return pubsub.read
	case secretManager.host:
		return secretManager.read
	case kms.host:
		return kms.read
	case resourceManager.host:
		return resourceManager.read
	case serviceUsage.host:
		return serviceUsage.read
	case accounts.host:
		return readIAM
	case "iamcredentials.googleapis.com":
		return handsOut("tokens and signatures of accounts")
	case "sts.googleapis.com", "oauth2.googleapis.com", "securetoken.googleapis.com",
		"identitytoolkit.googleapis.com", "accounts.googleapis.com":
		return handsOut("tokens in exchange for other credentials")
	case "apikeys.googleapis.com":
		return handsOut("API keys")
	}
	return nil
}

func handsOut(what string) reader {
	return func(q *question) ([]named, *refusal) {
		return nil, forbid("%s hands out %s, which could be used outside of this sandbox", q.host, what)
	}
}

// readerOf returns the reader of the service that a request is for, and the host that has it alone.
func readerOf(host, path string) (reader, string) {
	if host == "www."+googleDomain {
		for _, at := range []struct{ prefix, host string }{
			{"/storage/v1/", storageHost}, {"/upload/storage/v1/", storageHost}, {"/download/storage/v1/", storageHost},
			{"/bigquery/v2/", bigqueryHost}, {"/upload/bigquery/v2/", bigqueryHost},
		} {
			if strings.HasPrefix(path, at.prefix) {
				return readerFor(at.host), at.host
			}
		}
		return nil, host
	}
	if strings.HasSuffix(host, "."+storageHost) {
		return readStorage, storageHost
	}
	// Services have hosts of regions: europe-west1-pubsub.googleapis.com.
	name := strings.TrimSuffix(host, "."+googleDomain)
	if at := strings.LastIndexByte(name, '-'); at > 0 && name[at+1:] == "pubsub" {
		return pubsub.read, pubsub.host
	}
	return readerFor(host), host
}

// judgeGoogle judges a request to one of Google's APIs.
func (p *Proxy) judgeGoogle(t target, r *http.Request) (*pass, *refusal) {
	if r.Header.Get("Upgrade") != "" {
		return nil, forbid("no API of Google's has connections for both directions (Upgrade)")
	}
	ours, why := p.identity(r)
	if why != nil {
		return nil, why
	}
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && publicPath(t.host, r.URL.Path) {
		return &pass{header: func(name string) bool { return name != "Authorization" && passesToGoogle(name) }}, nil
	}
	how := &pass{header: passesToGoogle}
	if ours {
		token, err := p.cfg.Token(r.Context())
		if err != nil || token.IsZero() {
			return how, refuse(http.StatusServiceUnavailable, "there is no token of the run's at present")
		}
		how.set = map[string]secret.String{"Authorization": secret.New("Bearer " + token.Reveal())}
	}
	s, why := p.resume(t, r)
	if why != nil {
		return how, why
	}
	if s != nil {
		if r.Method == http.MethodPatch || r.Method == http.MethodOptions {
			return how, forbid("an upload goes on with PUT")
		}
		at := *s.url
		how.url, how.session, how.names = &at, s, s.names
		return how, nil
	}
	if how.names, why = p.namesIn(t, r); why != nil {
		return how, why
	}
	if !ours {
		if r.Method != http.MethodGet && r.Method != http.MethodHead || len(how.names) == 0 {
			return how, refuse(http.StatusUnauthorized, "the request carries no identity; "+
				"that of the run comes from the metadata server")
		}
	}
	return how, nil
}

func passesToGoogle(name string) bool {
	return googleHeaders[name] || googHeaders[name] || strings.HasPrefix(name, "X-Goog-Meta-")
}

// namesIn returns the resources that a request names, and refuses one that may not be named.
func (p *Proxy) namesIn(t target, r *http.Request) ([]named, *refusal) {
	read, host := readerOf(t.host, r.URL.Path)
	if read == nil {
		return nil, forbid("requests to %s cannot be read by this proxy, so that nobody knows what they are for", host)
	}
	content := r.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(content, "application/grpc"):
		return nil, forbid("gRPC to %s cannot be read by this proxy yet: use its JSON API (REST)", host)
	case strings.HasPrefix(content, "application/x-www-form-urlencoded"),
		strings.HasPrefix(content, "multipart/form-data"):
		return nil, forbid("a form may carry an identity of its own, and is not passed on to %s", host)
	case strings.HasPrefix(content, "multipart/mixed"):
		return nil, forbid("a batch may carry identities and resources of its own, and is not passed on to %s", host)
	}
	path, why := segments(r.URL)
	if why != nil {
		return nil, why
	}
	q := &question{Request: r, host: t.host, path: path, query: r.URL.Query()}
	select {
	case p.reading <- struct{}{}:
	case <-r.Context().Done():
		return nil, refuse(http.StatusBadGateway, "the client ended the request")
	}
	names, why := read(q)
	<-p.reading
	if why != nil {
		return names, why
	}
	if names == nil {
		return nil, forbid("what this request to %s is for cannot be read by this proxy", host)
	}
	for _, n := range names {
		if !p.reach.has(n) {
			return names, forbid("%s is neither granted to this run nor in [network] resources", n)
		}
	}
	return names, p.mayBill(q)
}

// mayBill refuses a request that is to be billed to a project of somebody else's.
func (p *Proxy) mayBill(q *question) *refusal {
	projects := slices.Concat(q.Header["X-Goog-User-Project"], onlyQuery(q.query, "userProject"),
		onlyQuery(q.query, "$userProject"), q.Header["X-Goog-Project-Id"])
	for _, project := range projects {
		if !p.reach.bills(project) {
			return forbid("the request is to be billed to the project %s, in which nothing is granted", project)
		}
	}
	return nil
}

// segments splits a path. One that a server may read as another path is refused.
func segments(u *url.URL) ([]string, *refusal) {
	ambiguous := refuse(http.StatusBadRequest, "the path can be read in more than one way")
	if u.RawPath != "" && u.EscapedPath() != u.RawPath {
		return nil, ambiguous
	}
	var out []string
	for part := range strings.SplitSeq(strings.TrimPrefix(u.EscapedPath(), "/"), "/") {
		segment, err := url.PathUnescape(part)
		if err != nil || segment == "." || segment == ".." || strings.ContainsAny(segment, "\x00\r\n") {
			return nil, ambiguous
		}
		out = append(out, segment)
	}
	return out, nil
}

// maxRead is how much of a body is read to find out what it names.
const maxRead = 4 << 20

// document reads the body of a request that names resources. The body can be read again.
func (q *question) document() (any, *refusal) {
	if q.Body == nil || q.Body == http.NoBody {
		return nil, nil
	}
	if q.Header.Get("Content-Encoding") != "" {
		return nil, forbid("the body is compressed, and names what cannot be read")
	}
	if kind := q.Header.Get("Content-Type"); kind != "" && !strings.HasPrefix(kind, "application/json") {
		return nil, forbid("the body is not JSON, and names what cannot be read")
	}
	b, err := io.ReadAll(io.LimitReader(q.Body, maxRead+1))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body does not arrive")
	}
	if len(b) > maxRead {
		return nil, forbid("the body is too large to be read")
	}
	q.Body, q.ContentLength, q.TransferEncoding = io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	doc, err := decode(b)
	if errors.Is(err, errTwice) {
		return nil, refuse(http.StatusBadRequest, "the body can be read in more than one way")
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not JSON")
	}
	return doc, nil
}
