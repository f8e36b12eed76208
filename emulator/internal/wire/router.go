package wire

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// route is a method's pattern, taken apart.
type route struct {
	Method   *Method
	Verb     string
	segments []segment
	weight   int // more literal text first
}

type segment struct {
	literal string // for a literal
	name    string // for a variable
	suffix  string // custom verb: ":publish"
	rest    bool   // takes the rest of the path
}

// router finds the method for a request. Paths are matched as they were escaped,
// because object names contain slashes.
type router struct {
	Routes []route
	hosts  map[string]bool
	remote bool            // other names than Google's and this machine's mean the emulator too
	roots  map[string]bool // what paths of the APIs begin with: "v1", "storage"
}

func (rt *router) add(m *Method) {
	verb, path, _ := strings.Cut(m.Pattern, " ")
	r := route{Method: m, Verb: verb}
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		var s segment
		if rest, ok := strings.CutPrefix(part, "{"); ok {
			s.name, s.suffix, _ = strings.Cut(rest, "}")
			s.name, s.rest = strings.CutSuffix(s.name, "...")
			r.weight += len(s.suffix)
			if s.rest {
				r.weight -= 100
			}
		} else {
			if len(r.segments) == 0 {
				rt.roots[part] = true
			}
			s.literal = part
			r.weight += len(part) + 10
		}
		r.segments = append(r.segments, s)
	}
	i, _ := slices.BinarySearchFunc(rt.Routes, r, func(a, b route) int {
		if a.weight >= b.weight { // equal weights keep the order of registration
			return -1
		}
		return 1
	})
	rt.Routes = slices.Insert(rt.Routes, i, r)
	rt.hosts[m.Host] = true
}

// Find returns the method for a verb and an escaped path, and the path variables.
// An empty host matches the methods of all services.
func (rt *router) Find(host, verb, path string) (*Method, map[string]string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, r := range rt.Routes {
		if r.Verb != verb || host != "" && r.Method.Host != host {
			continue
		}
		// Where services share the root, no bucket is named like an API.
		if host == "" && r.segments[0].name != "" && rt.roots[parts[0]] {
			continue
		}
		if vars, ok := r.match(parts); ok {
			return r.Method, vars
		}
	}
	return nil, nil
}

func (r route) match(parts []string) (map[string]string, bool) {
	vars := map[string]string{}
	for i, s := range r.segments {
		if i >= len(parts) {
			return nil, false
		}
		value := parts[i]
		last := i == len(r.segments)-1
		switch {
		case s.rest:
			value = strings.Join(parts[i:], "/")
		case s.name == "":
			if value != s.literal {
				return nil, false
			}
			continue
		case s.suffix != "":
			var ok bool
			if value, ok = strings.CutSuffix(value, s.suffix); !ok {
				return nil, false
			}
		case last && i == len(parts)-1 && strings.Contains(value, ":") && !r.Method.Colons:
			// A custom verb that no method has is not part of a name.
			return nil, false
		}
		value, err := url.PathUnescape(value)
		if err != nil || value == "" {
			return nil, false
		}
		vars[s.name] = value
		if s.rest {
			return vars, true
		}
	}
	return vars, len(parts) == len(r.segments)
}

// requestHost is the host that a request is for, with its port. A request that
// was not sent over a network has it in its URL alone.
func requestHost(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// service maps the host of a request to the host that methods are registered
// under: "" for a loopback address, where all services share the root.
func (rt *router) service(hostport string) (string, bool) {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || host == "" {
		return "", true
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
		return "", ip.IsLoopback() || rt.remote
	}
	host = strings.Replace(host, ".mtls.googleapis.com", ".googleapis.com", 1)
	switch {
	case host == "www.googleapis.com":
		return "", true // the older host of storage, BigQuery and oauth2
	case rt.hosts[host]:
		return host, true
	}
	if rt.remote && !strings.HasSuffix(host, ".googleapis.com") {
		return "", true
	}
	return host, strings.HasSuffix(host, ".googleapis.com")
}
