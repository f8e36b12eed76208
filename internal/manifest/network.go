package manifest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/resource"
)

// Messages of this file never repeat a value that may have a credential in it: it may have been
// written where only its place belongs.

var (
	// A name as DNS has it, of two labels or more. The last one begins with no digit, as that of an
	// address does, in whatever form.
	hostPattern = lazy.Regexp(
		`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	uploadPattern = lazy.Regexp(`^[1-9][0-9]{0,6}(B|KiB|MiB|GiB)$`)
	headerPattern = lazy.Regexp(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	schemePattern = lazy.Regexp(`^[A-Za-z][A-Za-z0-9-]{0,31}$`)
	// Words of a command are split at spaces, and nothing else has a meaning: what a shell would read
	// in another way is not written here.
	fromPattern = lazy.Regexp(`^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]*|` +
		`command:[A-Za-z0-9_./@%+=:,-]+( +[A-Za-z0-9_./@%+=:,-]+)*|` +
		`secret:projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255}(/versions/[A-Za-z0-9_-]{1,63})?)$`)
)

const (
	allowExample     = `allow = ["docs.acme.example"]`
	resourcesExample = `resources = ["gs://acme-public-data"]`
	uploadExample    = `max_upload = "10MiB"`
	hostExample      = `host = "git.acme.example"`
	headerExample    = `header = "x-api-key"`
	fromExample      = `from = "env:API_KEY"`
	addressesExample = `addresses = ["10.20.0.0/16"]`
	// maxHostname is how long a name can be in DNS.
	maxHostname = 253
)

// network reads what a task may reach in a closed network.
func (r *reader) network(t *table) *grants.Network {
	t.only(networkKeys...)
	n := &grants.Network{MaxUpload: r.maxUpload(t)}
	lines := map[string]int{} // of the hosts so far
	for _, word := range t.texts("allow", allowExample) {
		if r.host(word.text, word.place, lines) {
			n.Hosts = append(n.Hosts, grants.Host{Name: word.text, Port: httpsPort})
		}
	}
	for _, word := range t.texts("resources", resourcesExample) {
		if name, ok := r.added(word, n.Resources); ok {
			n.Resources = append(n.Resources, name)
		}
	}
	if v, there := t.values["host"]; there && empty(v) {
		r.add(t.place.child("host").value, "[[network.host]]", "host is an empty list")
	}
	for _, h := range t.list("host") {
		h.name = "[[network.host]]"
		if host, ok := r.networkHost(h, lines); ok {
			n.Hosts = append(n.Hosts, host)
		}
	}
	return n
}

const httpsPort = 443

// added reads a resource that requests may name although it is not granted.
func (r *reader) added(w word, before []resource.Name) (resource.Name, bool) {
	name, prefix, err := resource.Parse(w.text)
	switch {
	case err != nil:
		r.add(w.place.value, "", "%s%s", err, foreign(w.text))
	case prefix != "":
		r.add(w.place.value, strconv.Quote(name.String()),
			"what is reached is a whole bucket, and this names a part of it; IAM decides what can be read there")
	case slices.Contains(before, name):
		r.add(w.place.value, "", "%q is listed twice", w.text)
	default:
		return name, true
	}
	return resource.Name{}, false
}

// networkHost reads one [[network.host]].
func (r *reader) networkHost(t *table, lines map[string]int) (grants.Host, bool) {
	t.only(hostKeys...)
	h := grants.Host{Port: httpsPort, MaxUpload: r.maxUpload(t), Write: t.flag("write"), Tunnel: t.flag("tunnel")}
	name, ok := t.text("host", hostExample)
	switch _, there := t.values["host"]; {
	case !there:
		t.missing("host", hostExample)
	case ok:
		ok = r.host(name, t.place.child("host"), lines)
	}
	h.Name = name
	if port, there := get[int64](t, "port", "port = 8443"); there {
		if port < 1 || port > 65535 {
			r.add(t.place.child("port").value, "", "%d is not a port; those are 1 to 65535", port)
		} else {
			h.Port = uint16(port)
		}
	}
	for _, word := range t.texts("addresses", addressesExample) {
		if prefix, ok := r.addresses(word, h.Addresses); ok {
			h.Addresses = append(h.Addresses, prefix)
		}
	}
	r.injected(t, &h)
	if h.Write && h.Tunnel {
		r.add(t.place.child("tunnel").key, "", "either write or tunnel: of a tunnel nothing is seen but bytes, and so "+
			"everything passes")
	}
	return h, ok
}

// host reports whether a text is the name of a host that may be named, and notes its line.
func (r *reader) host(text string, p *place, lines map[string]int) bool {
	if fix, message := hostProblem(text); message != "" {
		r.add(p.value, fix, "%s", message)
		return false
	}
	if line := lines[text]; line != 0 {
		r.add(p.value, "", "%s is in line %d already", text, line)
		return false
	}
	lines[text], _ = r.lines.position(p.value)
	return true
}

// registries are the hosts from which tools fetch packages if they are configured for no other.
var registries = map[string]string{
	"npm": `"registry.npmjs.org"`, "pip": `"pypi.org", "files.pythonhosted.org"`,
	"go": `"proxy.golang.org", "sum.golang.org"`, "cargo": `"index.crates.io", "static.crates.io"`,
}

// hostProblem says why a text is not the name of a host that a manifest may open, and what to write
// instead.
func hostProblem(text string) (fix, message string) {
	lower := strings.ToLower(text)
	switch _, notAddress := netip.ParseAddr(strings.Trim(text, "[]")); {
	case registries[text] != "":
		return registries[text], text + " is the name of a tool: name the hosts of its registry"
	case strings.Contains(text, "@"):
		return "", "a host is named without a login; a credential is added with header and from"
	case strings.Contains(text, "/"):
		return "", "a host is a name, and neither an address with https:// nor a path: what is allowed is the host"
	case strings.Contains(text, "*"):
		return "", fmt.Sprintf("%q is a pattern; write each host by its name, so that it shows what can be "+
			"reached", text)
	case notAddress == nil, strings.HasPrefix(text, "["),
		text != "" && strings.Trim(text, "0123456789.") == "":
		return "", fmt.Sprintf("%q is an address; a host is known by its name and its certificate", text)
	case strings.Contains(text, ":"):
		return "", "a port is written in a table of its own: [[network.host]] with host and port"
	case lower != text && hostPattern().MatchString(lower):
		return strconv.Quote(lower), fmt.Sprintf("%q: write the name in lower case", text)
	case !hostPattern().MatchString(text) || len(text) > maxHostname:
		return "", fmt.Sprintf("%q is not the full name of a host, such as \"docs.acme.example\"; "+
			"other letters are written as DNS has them (xn--...)", text)
	case text == "googleapis.com" || strings.HasSuffix(text, ".googleapis.com"):
		return "", text + " is one of Google's APIs: they follow from the grants, and resources adds to what may be " +
			"named there"
	case text == "google.internal" || strings.HasSuffix(text, ".google.internal"):
		return "", text + " is where a machine of the cloud asks for its own login"
	}
	return "", ""
}

// maxUpload reads how many bytes may be sent; 0 if nothing is said.
func (r *reader) maxUpload(t *table) int64 {
	text, ok := t.text("max_upload", uploadExample)
	if !ok {
		return 0
	}
	if !uploadPattern().MatchString(text) {
		r.add(t.place.child("max_upload").value, uploadExample,
			"%q is not a number of bytes such as \"500KiB\", \"10MiB\" or \"2GiB\"", text)
		return 0
	}
	number := strings.TrimRight(text, "BKMGi")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic("[unexpected] seven digits are no number: " + err.Error())
	}
	return n << (10 * strings.Index("BKMG", text[len(number):][:1]))
}

// never are addresses that no host outside has. Clouds answer their machines there, with a login.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("::/128"), netip.MustParsePrefix("::ffff:0.0.0.0/96"), netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"), netip.MustParsePrefix("fd00:ec2::/32"), netip.MustParsePrefix("fd20:ce::/32"),
}

// addresses reads an address, or a range of them, that a host may have.
func (r *reader) addresses(w word, before []netip.Prefix) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(w.text)
	if addr, notOne := netip.ParseAddr(w.text); notOne == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	switch {
	case err != nil:
		r.add(w.place.value, addressesExample,
			"%q is no address and no range of them, such as \"10.20.0.0/16\"", w.text)
	case prefix != prefix.Masked():
		r.add(w.place.value, strconv.Quote(prefix.Masked().String()),
			"%q is not the beginning of its range", w.text)
	case slices.ContainsFunc(never, prefix.Overlaps):
		r.add(w.place.value, "", "%q has addresses in it that no host may have: nowhere, everybody, or where a "+
			"machine of a cloud asks for its login", w.text)
	case slices.Contains(before, prefix):
		r.add(w.place.value, "", "%q is listed twice", w.text)
	default:
		return prefix, true
	}
	return netip.Prefix{}, false
}

// notCredentials are fields that make a request what it is, or belong to one connection: a credential
// in their place would be no request any more, or would be lost.
var notCredentials = []string{
	"host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "range", "via",
	"forwarded", "http2-settings",
}

// injected reads which credential is added to what goes to a host.
func (r *reader) injected(t *table, h *grants.Host) {
	header, isHeader := t.text("header", headerExample)
	scheme, isScheme := t.text("scheme", `scheme = "Bearer"`)
	from, isFrom := t.text("from", fromExample)
	_, hasHeader := t.values["header"]
	_, hasScheme := t.values["scheme"]
	_, hasFrom := t.values["from"]
	switch {
	case hasFrom && !hasHeader:
		t.missing("header", headerExample)
	case hasHeader && !hasFrom:
		r.add(t.place.child("header").key, fromExample, "header is where a credential is added, and from is missing, "+
			"which says where that is read")
	case hasScheme && !hasHeader:
		r.add(t.place.child("scheme").key, "", "scheme stands before a credential, and there is none (header and from)")
	}
	if isHeader {
		if message := headerProblem(header); message != "" {
			r.add(t.place.child("header").value, headerExample, "%s", message)
		}
		h.Header = header
	}
	if isScheme {
		if !schemePattern().MatchString(scheme) {
			r.add(t.place.child("scheme").value, `scheme = "Bearer"`,
				"scheme is the word before the credential, such as Bearer, and never the credential itself")
		}
		h.Scheme = scheme
	}
	if isFrom {
		if message := fromProblem(from); message != "" {
			r.add(t.place.child("from").value, fromExample, "%s", message)
		}
		kind, name, _ := strings.Cut(from, ":")
		h.From = grants.Origin{Kind: grants.OriginKind(kind), Name: name}
	}
	if !hasFrom && !hasHeader {
		return
	}
	for _, key := range []string{"write", "tunnel"} {
		switch {
		case !t.flag(key):
		case key == "write":
			r.add(t.place.child(key).key, "", "a host to which a credential is added may be written to, with that one "+
				"and no other; remove write")
		default:
			r.add(t.place.child(key).key, "", "a tunnel is not opened, so that no credential can be added; remove "+
				"tunnel, or header and from")
		}
	}
}

// headerProblem says why a credential cannot be added in a field.
func headerProblem(name string) string {
	lower := strings.ToLower(name)
	switch {
	case !headerPattern().MatchString(name):
		return "header is the name of a field alone, of letters, digits and -, and never the credential: that is " +
			"read from elsewhere (from)"
	case slices.Contains(notCredentials, lower) || strings.HasPrefix(lower, "proxy-") ||
		strings.HasPrefix(lower, "content-") || strings.HasPrefix(lower, "accept") ||
		strings.HasPrefix(lower, "sec-") || strings.Contains(strings.ReplaceAll(lower, "-", ""), "methodoverride"):
		return name + " makes a request what it is, or is for one connection: no credential is added there"
	}
	return ""
}

// fromProblem says why a text does not say where a credential is.
func fromProblem(text string) string {
	const forms = `"env:NAME", "file:PATH", "command:PROGRAM ARGUMENT ..." or "secret:projects/P/secrets/S"`
	kind, rest, _ := strings.Cut(text, ":")
	if fromPattern().MatchString(text) {
		if kind == string(grants.FromSecret) {
			if err := resource.CheckProject(strings.Split(rest, "/")[1]); err != nil {
				return err.Error()
			}
		}
		return ""
	}
	switch grants.OriginKind(kind) {
	case grants.FromEnv:
		return "after env: comes the name of a variable, of letters, digits and _, and not its value"
	case grants.FromFile:
		return "after file: comes the path of a file, from the manifest's folder or from / on, not from ~"
	case grants.FromCommand:
		return "after command: comes a program with its arguments, which run without a shell: spaces separate them, " +
			"and quotes, $, ; and the like have no meaning; what needs them belongs into a script"
	case grants.FromSecret:
		return "after secret: comes projects/PROJECT/secrets/SECRET, and /versions/VERSION if not the latest is meant"
	}
	return "from says where a credential is, and never is the credential: " + forms
}
