package resource

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/lazy"
)

// linkVersion is the segment of an API's path that is its version.
var linkVersion = lazy.Regexp(`^(v[0-9][a-z0-9]*|alpha|beta)$`)

// parseLink reads a link to a resource in its API: a self link.
func parseLink(s string) (Name, error) {
	_, rest, _ := strings.Cut(s, "://")
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		var err error
		if segments[i], err = url.PathUnescape(segment); err != nil {
			return Name{}, fmt.Errorf("%q: %w", s, err)
		}
	}
	switch {
	case host == "console.cloud.google.com":
		return Name{}, fmt.Errorf("%q is a page of the console and not a resource; %s", s, accepted(""))
	case host == "www.googleapis.com": // the API is the first segment of the path
		host = segments[0] + ".googleapis.com"
	}
	var candidates []*Type
	for _, t := range table() {
		if t.servedAt(host) {
			candidates = append(candidates, t)
		}
	}
	if len(candidates) == 0 {
		return Name{}, fmt.Errorf("%q: nothing can be bound on resources of %s; %s", s, host, accepted(""))
	}
	if i := slices.IndexFunc(segments, linkVersion().MatchString); i >= 0 {
		segments = segments[i+1:]
	}
	var invalid error
	for _, t := range candidates {
		values, ok := bind(t.urlSegments(), segments)
		if !ok {
			continue
		}
		if err := checkAll(values); err != nil {
			invalid = err
			continue
		}
		return Name{t, t.path(values)}, nil
	}
	if invalid != nil {
		return Name{}, fmt.Errorf("%q: %w", s, invalid)
	}
	return Name{}, fmt.Errorf("%q: %w", s, errForm)
}

// urlSegments is t's pattern as it is in URLs, where a variable that spans segments of the
// name may be a single one, escaped.
func (t *Type) urlSegments() []segment {
	if t.urlPath == t.Pattern {
		return t.segments
	}
	var out []segment
	for part := range strings.SplitSeq(t.urlPath, "/") {
		s := segment{text: part}
		if name, ok := variableIn(part); ok {
			i := slices.IndexFunc(t.segments, func(s segment) bool { return s.variable == name })
			s = t.segments[i]
			s.rest = false
		}
		out = append(out, s)
	}
	return out
}

// servedAt reports whether the type's API answers at a host: its own, or that of a region
// (europe-west3-run.googleapis.com, run.europe-west3.rep.googleapis.com).
func (t *Type) servedAt(host string) bool {
	api, _ := strings.CutSuffix(t.Service, "googleapis.com") // with its dot
	return host == t.Service || slices.Contains(t.aliases, host) || strings.HasSuffix(host, "-"+t.Service) ||
		strings.HasPrefix(host, api) && strings.HasSuffix(host, ".rep.googleapis.com")
}
