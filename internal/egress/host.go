package egress

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/taskiam/taskiam/internal/secret"
)

// Host is a host outside of Google's APIs that may be reached. By itself it may be read from, with
// GET, HEAD and git's fetch, without a login.
type Host struct {
	// Name is its full name; Port is 443 if it is 0.
	Name string
	Port uint16
	// Write lets requests of every method and with every login pass, which the proxy still sees.
	Write bool
	// Tunnel passes the connection on unopened: the proxy sees bytes.
	Tunnel bool
	// Header is a credential that is put into each request, with Value. The client may send
	// Placeholder there, or nothing. Every other credential is refused.
	Header      string
	Value       secret.String
	Placeholder string
	// Addresses are those that the name may have beside those of the internet.
	Addresses []netip.Prefix
	// MaxUpload is how many bytes may be sent to it; 0 is no limit but that of [Config].
	MaxUpload int64
}

// rule is a host of the operator's in use.
type rule struct {
	Host
	sent atomic.Int64
}

func (h *rule) port() uint16 {
	if h.Port == 0 {
		return 443
	}
	return h.Port
}

// injects reports whether the proxy adds a credential.
func (h Host) injects() bool { return h.Header != "" }

// hostTable returns the hosts by their names.
func hostTable(hosts []Host) (map[string]*rule, error) {
	out := map[string]*rule{}
	for _, h := range hosts {
		switch {
		case !isHostname(h.Name):
			return nil, fmt.Errorf("making the proxy: %q is not the full name of a host, in lower case", h.Name)
		case isGoogle(h.Name):
			return nil, fmt.Errorf("making the proxy: %s is one of Google's APIs, which follow from the grants", h.Name)
		case out[h.Name] != nil:
			return nil, fmt.Errorf("making the proxy: %s is there twice", h.Name)
		case h.Tunnel && (h.injects() || h.Write):
			return nil, fmt.Errorf("making the proxy: %s is passed on unopened, and nothing can be added to it", h.Name)
		case h.injects() && (h.Value.IsZero() || http.CanonicalHeaderKey(h.Header) == "Host"):
			return nil, fmt.Errorf("making the proxy: %s has no credential to be added as %s", h.Name, h.Header)
		}
		h.Header = http.CanonicalHeaderKey(h.Header)
		out[h.Name] = &rule{Host: h}
	}
	return out, nil
}

// openedDomains are the names that the proxy's CA may certify.
func openedDomains(hosts map[string]*rule) []string {
	domains := []string{googleDomain}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if !hosts[name].Tunnel {
			domains = append(domains, name)
		}
	}
	return domains
}

// What a request for reading may have in its header, beside nothing else. A login in another
// field does not get through; those that are well known are refused, so that it shows.
var readHeaders = headerSet(
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Encoding",
	"Content-Length", "Content-Type", "Git-Protocol", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Pragma", "Range", "Te", "User-Agent",
)

func headerSet(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[http.CanonicalHeaderKey(n)] = true
	}
	return set
}

// judgeHost judges a request to a host of the operator's.
func (p *Proxy) judgeHost(t target, r *http.Request) (*pass, *refusal) {
	upgrade := r.Header.Get("Upgrade") != ""
	switch {
	case t.rule.injects():
		if why := t.rule.onlyOurs(r); why != nil {
			return nil, why
		}
		return &pass{
			header: func(name string) bool { return name != t.rule.Header },
			set:    map[string]secret.String{t.rule.Header: t.rule.Value}, plain: true, upgrade: true,
		}, nil
	case t.rule.Write:
		return &pass{header: func(string) bool { return true }, upgrade: true}, nil
	case upgrade:
		return nil, forbid("%s may be read from: a connection for both directions (Upgrade) is no reading", t.host)
	}
	for name := range r.Header {
		if carriesLogin(name) && !readHeaders[name] {
			return nil, forbid("%s may be read from without a login, and the request has one (%s)", t.host, name)
		}
	}
	for name := range r.URL.Query() {
		if queryLogins[fold(name)] {
			return nil, forbid("%s may be read from without a login, and the address has one (%q)", t.host, name)
		}
	}
	if !reads(r) {
		return nil, forbid("%s may be read from (GET, HEAD, git fetch), and this is %s", t.host, r.Method)
	}
	return &pass{header: func(name string) bool { return readHeaders[name] }}, nil
}

// reads reports whether a request sends nothing but what it asks for.
func reads(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if r.ContentLength != 0 {
			return false
		}
		service, asks := r.URL.Query()["service"]
		return !asks || !strings.HasSuffix(r.URL.Path, "/info/refs") ||
			len(service) == 1 && service[0] == "git-upload-pack"
	case http.MethodPost:
		return strings.HasSuffix(r.URL.Path, "/git-upload-pack") && r.URL.RawQuery == "" &&
			r.Header.Get("Content-Type") == "application/x-git-upload-pack-request"
	}
	return false
}

// queryLogins are parameters that log a request in, at many hosts. Addresses that are signed are
// not among them: packages are fetched by such.
var queryLogins = map[string]bool{
	"accesstoken": true, "privatetoken": true, "oauthtoken": true, "jobtoken": true, "apikey": true,
	"authtoken": true, "bearertoken": true,
}

// fold makes names alike that are meant to be the same: privateToken, private-token, PRIVATE_TOKEN.
func fold(name string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(name))
}

// loginWords are what names of fields are made of that log a request in.
var loginWords = []string{
	"auth", "cookie", "token", "apikey", "accesskey", "secret", "password", "credential", "signature", "session",
	"assertion", "passport", "privatekey", "subscriptionkey",
}

// harmlessFields have such a word in them and log nobody in. npm sends them with every request.
var harmlessFields = headerSet("Npm-Auth-Type", "Npm-Session", "X-Npm-Session")

// carriesLogin reports whether a field of a header is one that may log a request in.
func carriesLogin(name string) bool {
	folded := fold(name)
	for _, word := range loginWords {
		if strings.Contains(folded, word) && !harmlessFields[name] {
			return true
		}
	}
	return false
}

// onlyOurs refuses a request with a credential other than the one that the proxy adds.
func (h *rule) onlyOurs(r *http.Request) *refusal {
	for name, values := range r.Header {
		switch {
		case name == h.Header:
			if len(values) != 1 || h.Placeholder == "" || values[0] != h.Placeholder {
				return forbid("a credential is added to what goes to %s: leave %s out, or give it the placeholder",
					h.Name, name)
			}
		case carriesLogin(name):
			return forbid("a credential is added to what goes to %s, and no other may go there (%s)", h.Name, name)
		}
	}
	for name := range r.URL.Query() {
		for _, word := range append(slices.Clone(loginWords), "key", "sig") {
			if strings.Contains(fold(name), word) && fold(name) != "pagetoken" {
				return forbid("a credential is added to what goes to %s, and no other may go there (%q)", h.Name, name)
			}
		}
	}
	return nil
}
