package resource

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/visible"
)

// maxPrefix is how many bytes an object's name may have (storage/docs/objects#naming).
const maxPrefix = 1024

// Parse reads a resource's name in any form that people write: a full resource name
// (//service/…), a short form (gs://bucket, bq://project.dataset), a relative name
// (projects/p/secrets/s), or a link to it in its API, as gcloud prints it
// (https://compute.googleapis.com/compute/v1/projects/…). A relative name that several
// services have is refused with the full names that may be meant. What follows a bucket's short name comes back as
// prefix: gs://b/2026/ names the bucket b with the prefix "2026/".
//
// That a name is read does not say that roles can be bound there: see [Type.Bindable].
// An error says what is wrong, and which forms are accepted or were meant.
func Parse(s string) (name Name, prefix string, err error) {
	name, prefix, err = parse(s)
	if errors.Is(err, errForm) {
		if meant := Suggest(s); meant != "" {
			return Name{}, "", fmt.Errorf("%w; did you mean %q?", err, meant)
		}
		return Name{}, "", fmt.Errorf("%w; %s", err, accepted(s))
	}
	return name, prefix, err
}

// errForm says that a name has none of the forms that names have.
var errForm = errors.New("no resource has this form")

func parse(s string) (name Name, prefix string, err error) {
	switch {
	case s == "":
		return Name{}, "", errors.New("a resource is missing; " + accepted(""))
	case !utf8.ValidString(s):
		return Name{}, "", errors.New("a resource name must be UTF-8")
	case visible.First(s) >= 0 || strings.ContainsFunc(s, unicode.IsControl):
		return Name{}, "", errors.New("a resource name holds no control characters, and none that cannot be seen")
	case strings.HasPrefix(s, "//"):
		name, err = ParseFull(s)
		return name, "", err
	case strings.HasPrefix(s, "https://"), strings.HasPrefix(s, "http://"):
		name, err = parseLink(s)
		return name, "", err
	case strings.Contains(s, "://"), strings.Contains(s, dockerHost):
		return parseShort(s)
	}
	if name, err = match(s, table()); err != nil {
		return Name{}, "", fmt.Errorf("%q: %w", s, err)
	}
	return name, "", nil
}

// ParseFull reads a full resource name, the form that [Name.Full] gives.
func ParseFull(s string) (Name, error) {
	service, path, ok := strings.Cut(strings.TrimPrefix(s, "//"), "/")
	if !ok || !strings.HasPrefix(s, "//") {
		return Name{}, fmt.Errorf("%q is not a full resource name, such as "+
			"//storage.googleapis.com/projects/_/buckets/b", s)
	}
	candidates := ofService(service)
	if len(candidates) == 0 {
		return Name{}, fmt.Errorf("%q: nothing can be bound on resources of %s; %s", s, service, accepted(s))
	}
	name, err := match(path, candidates)
	if err != nil {
		return Name{}, fmt.Errorf("%q: %w", s, err)
	}
	return name, nil
}

// dockerHost ends the host of a name that is Docker's of a repository.
const dockerHost = "-docker.pkg.dev/"

// dockerDomain writes the project of a name that is Docker's as Google does: where a project lives in a
// domain, Docker allows no colon, and has HOST/example.com/project/repository
// (artifact-registry/docs/docker/names).
func dockerDomain(s string) string {
	parts := strings.Split(s, "/")
	if len(parts) < 4 || !strings.Contains(parts[1], ".") || strings.Contains(parts[1], ":") {
		return s
	}
	parts[1] += ":" + parts[2]
	return strings.Join(slices.Delete(parts, 2, 3), "/")
}

func ofService(service string) []*Type {
	var types []*Type
	for _, t := range table() {
		if t.Service == service || slices.Contains(t.aliases, service) {
			types = append(types, t)
		}
	}
	return types
}

// match finds the type whose pattern fits a relative name.
func match(path string, types []*Type) (Name, error) {
	segments := strings.Split(path, "/")
	var found []Name
	var invalid error
	for _, t := range types {
		values, ok := t.bind(segments)
		if !ok {
			continue
		}
		if err := checkAll(values); err != nil {
			invalid = cmp.Or(invalid, err)
			continue
		}
		found = append(found, Name{t, path})
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Name{}, &AmbiguousError{found}
	case invalid != nil:
		return Name{}, invalid
	}
	return Name{}, errForm
}

// AmbiguousError is a relative name that resources of several services have.
type AmbiguousError struct{ Names []Name }

// Error names all that may be meant.
func (a *AmbiguousError) Error() string {
	var full []string
	for _, n := range a.Names {
		full = append(full, n.Full())
	}
	return "the name fits more than one type; write one of " + strings.Join(full, ", ")
}

// value is what a name has in the place of a variable.
type value struct {
	segment
	text string
}

// bind lays the segments of a path on t's pattern.
func (t *Type) bind(segments []string) ([]value, bool) {
	return bind(t.segments, segments)
}

func bind(pattern []segment, segments []string) ([]value, bool) {
	var values []value
	for i, p := range pattern {
		switch {
		case i >= len(segments):
			return nil, false
		case p.rest:
			rest := strings.Join(segments[i:], "/")
			if p.rule != nil && p.rule.identifies && !p.rule.pattern().MatchString(rest) {
				return nil, false
			}
			return append(values, value{p, rest}), true
		case p.variable != "":
			values = append(values, value{p, segments[i]})
		case p.text != segments[i]:
			return nil, false
		}
	}
	return values, len(pattern) == len(segments)
}

func checkAll(values []value) error {
	for _, v := range values {
		if err := v.check(v.text); err != nil {
			return err
		}
	}
	return nil
}

// short is one short form, ready to be matched.
type short struct {
	typ       *Type
	scheme    string                // "" where there is none
	pattern   func() *regexp.Regexp // over what follows, without a prefix; compiled when it is first asked for
	variables []segment
}

var shorts = sync.OnceValue(func() []short {
	var out []short
	for _, t := range table() {
		for _, template := range slices.Concat(t.Short, t.Also) {
			scheme, rest := cutScheme(template)
			sh := short{typ: t, scheme: scheme}
			var re strings.Builder
			for rest != "" {
				before, after, ok := strings.Cut(rest, "{")
				re.WriteString(regexp.QuoteMeta(before))
				if !ok {
					break
				}
				v, tail, _ := strings.Cut(after, "}")
				i := slices.IndexFunc(t.segments, func(s segment) bool { return s.variable == v })
				sh.variables = append(sh.variables, t.segments[i])
				re.WriteString("([^/]*)")
				rest = tail
			}
			sh.pattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("^" + re.String() + "$") })
			out = append(out, sh)
		}
	}
	return out
})

func cutScheme(s string) (scheme, rest string) {
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		return scheme, rest
	}
	return "", s
}

func parseShort(s string) (Name, string, error) {
	scheme, rest := cutScheme(s)
	if scheme == "" {
		rest = dockerDomain(rest)
	}
	var forms []string
	var invalid, also error
	for _, sh := range shorts() {
		if sh.scheme != scheme {
			continue
		}
		form := slices.Concat(sh.typ.Short, sh.typ.Also)[0]
		forms = append(forms, form)
		text, prefix := rest, ""
		if sh.typ.Prefixes {
			text, prefix, _ = strings.Cut(rest, "/")
		}
		texts := sh.pattern().FindStringSubmatch(text)
		if texts == nil {
			if strings.Contains(text, "/") && len(sh.typ.Short) > 0 {
				invalid = cmp.Or(invalid, fmt.Errorf("%s takes no prefix; write %s", sh.typ.A(), form))
			}
			continue
		}
		values := make([]value, len(sh.variables))
		for i, v := range sh.variables {
			values[i] = value{v, texts[i+1]}
		}
		err := checkAll(values)
		if err == nil && prefix != "" {
			err = checkPrefix(sh.typ, text, prefix)
		}
		if err != nil {
			if len(sh.typ.Short) > 0 {
				invalid = cmp.Or(invalid, err)
			}
			also = cmp.Or(also, err)
			continue
		}
		return Name{sh.typ, sh.typ.path(values)}, prefix, nil
	}
	switch invalid = cmp.Or(invalid, also); {
	case invalid != nil:
		return Name{}, "", fmt.Errorf("%q: %w", s, invalid)
	case forms != nil:
		return Name{}, "", fmt.Errorf("%q: write it as %s", s, forms[0])
	}
	return Name{}, "", fmt.Errorf("%q: %s:// is not the name of a resource; %s", s, scheme, accepted(s))
}

// path fills t's pattern with values.
func (t *Type) path(values []value) string {
	parts := make([]string, len(t.segments))
	for i, s := range t.segments {
		parts[i] = s.text
		for _, v := range values {
			if s.variable != "" && s.variable == v.variable {
				parts[i] = v.text
			}
		}
	}
	return strings.Join(parts, "/")
}

// WildcardError is a prefix with a character that stands for others in commands and globs.
type WildcardError struct {
	Bucket string
	// Before is what stands before the first wildcard, and After what stands behind it if it is
	// a star and the only one.
	Before, After string
}

// Error says what a prefix is.
func (w *WildcardError) Error() string {
	return fmt.Sprintf("a prefix has no wildcard, it covers every name that begins with it; write \"gs://%s/%s\"",
		w.Bucket, w.Before)
}

// firstWildcard returns where in a prefix the first wildcard is, -1 if it has none: a star, a class
// such as [0-9], or a question mark at the end. Elsewhere, names that come from addresses have one.
func firstWildcard(prefix string) int {
	if i := wildcard().FindStringIndex(prefix); i != nil {
		return i[0]
	}
	return -1
}

var wildcard = lazy.Regexp(`\*|\[[^\]]+\]|[?\[\]]+/?$`)

// checkPrefix returns an error if a short name cannot narrow to prefix.
func checkPrefix(t *Type, text, prefix string) error {
	if i := firstWildcard(prefix); i >= 0 {
		w := WildcardError{Bucket: text, Before: prefix[:i]}
		if after := strings.TrimLeft(prefix[i:], "*"); prefix[i] == '*' && !strings.ContainsAny(after, "*?[{}") {
			w.After = after
		}
		return &w
	}
	if len(prefix) > maxPrefix {
		return fmt.Errorf("a prefix has at most %d bytes, as object names do", maxPrefix)
	}
	return nil
}
