package resource

import (
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/spelling"
)

// accepted names some of the forms that a name may have, for messages: those that are most
// used, and where to find the others. For a name that has the word of a collection it says
// what resources of that kind are called.
func accepted(s string) string {
	const some = "accepted are projects/{project}, gs://{bucket}, bq://{project}.{dataset}, " +
		"projects/{project}/secrets/{secret}, "
	if word := collectionIn(s); word != "" {
		return some + "full names //service/... and others: see taskiam resources " + word
	}
	return some + "full names //service/... and others: see taskiam resources"
}

// collectionIn returns the last part of a name that is the word for what resources are in:
// queues, keyRings.
func collectionIn(s string) string {
	for _, part := range slices.Backward(strings.Split(s, "/")) {
		if containers[strings.TrimSuffix(part, "s")] || part == "locations" || part == "" {
			continue
		}
		for _, t := range table() {
			if slices.ContainsFunc(t.segments, func(s segment) bool {
				return s.variable == "" && s.text == part && part != "_"
			}) {
				return part
			}
		}
	}
	return ""
}

// Within returns the project, folder or organization that a name says it is in, if it is one of a
// service whose resources have no allow policies: its roles are bound there. service is as the name
// has it, "" for a relative name, which does not say its service.
func Within(s string) (in Name, service string, ok bool) {
	path := s
	switch full, isFull := strings.CutPrefix(s, "//"); {
	case isFull:
		service, path, _ = strings.Cut(full, "/")
	case strings.HasPrefix(s, "https://"), strings.HasPrefix(s, "http://"):
		_, full, _ = strings.Cut(s, "://")
		service, path, _ = strings.Cut(full, "/")
		version, rest, _ := strings.Cut(path, "/")
		if linkVersion().MatchString(version) {
			path = rest
		}
	}
	if service != "" && (!strings.HasSuffix(service, ".googleapis.com") ||
		slices.ContainsFunc(table(), func(t *Type) bool { return t.servedAt(service) })) {
		return Name{}, "", false
	}
	segments := strings.Split(path, "/")
	if len(segments) < 3 || !containers[strings.TrimSuffix(segments[0], "s")] {
		return Name{}, "", false
	}
	in, err := ParseFull("//cloudresourcemanager.googleapis.com/" + segments[0] + "/" + segments[1])
	return in, service, err == nil
}

// Suggest returns the name that was probably meant by one that [Parse] refuses, or "".
// Parse accepts it.
func Suggest(s string) string {
	meant := guess(s)
	if _, _, err := parse(meant); err != nil {
		return ""
	}
	return meant
}

func guess(s string) string {
	if full, ok := strings.CutPrefix(s, "//"); ok {
		service, path, _ := strings.Cut(full, "/")
		meant := nearest(path, ofService(service))
		if meant == "" || strings.Contains(meant, "://") {
			return meant
		}
		return "//" + service + "/" + strings.TrimPrefix(meant, "//"+service+"/")
	}
	if strings.Contains(s, "://") {
		// A prefix says what it covers up to the first wildcard.
		if i := firstWildcard(s); i >= 0 {
			return s[:i]
		}
		return s
	}
	if strings.Contains(s, dockerHost) { // an image is in its repository
		parts := strings.Split(dockerDomain(s), "/")
		return strings.Join(parts[:min(len(parts), 3)], "/")
	}
	return nearest(s, table())
}

// nearest returns the name whose fixed parts are nearest to those of a path that fits
// no pattern, or "" if there is none or no single one.
func nearest(path string, types []*Type) string {
	// Something inside a bucket, which takes no binding of its own.
	if rest, ok := strings.CutPrefix(path, "projects/_/buckets/"); ok {
		if bucket, object, ok := strings.Cut(rest, "/"); ok && valid("storage/bucket", bucket) &&
			!strings.HasPrefix(object, "managedFolders/") {
			return "gs://" + bucket + "/" + object
		}
	}
	if best := nearestPattern(path, types); best != "" {
		if name, err := ParseFull(best); err == nil && len(name.typ.Short) == 0 {
			return name.String()
		}
		_, relative, _ := strings.Cut(strings.TrimPrefix(best, "//"), "/")
		return relative
	}
	if !strings.Contains(path, "/") {
		return byForm(path)
	}
	return ""
}

// Place stands in the names that [Called] returns for a location, which no bare word says.
const Place = "LOCATION"

// Called returns what a bare word may be the last part of the name of, among some types: in a project, and in a
// [Place] where there is no such type without one.
func Called(word, project string, of func(*Type) bool) []Name {
	var out []Name
	placeless := map[string]bool{}
	for _, located := range []bool{false, true} {
		for _, t := range table() {
			name, placed, ok := t.called(word, project)
			collection := t.Service + "/" + t.collection()
			if !ok || placed != located || placed && placeless[collection] || !t.Bindable() || !of(t) {
				continue
			}
			placeless[collection] = true
			out = append(out, name)
		}
	}
	return out
}

// collection returns the last fixed part of the type's names: secrets.
func (t *Type) collection() (last string) {
	for _, s := range t.segments {
		if s.variable == "" {
			last = s.text
		}
	}
	return last
}

// called returns the resource of the type that is called so in a project, and whether its name has a [Place]. It
// reports false where the name has other parts.
func (t *Type) called(word, project string) (name Name, placed, ok bool) {
	parts := make([]string, len(t.segments))
	for i, s := range t.segments {
		switch {
		case s.variable == "":
			parts[i] = s.text
		case i == len(t.segments)-1:
			parts[i] = word
			if s.variable == "serviceAccount" && !strings.Contains(word, "@") {
				parts[i] = word + "@" + project + ".iam.gserviceaccount.com"
			}
		case s.variable == "project":
			parts[i] = project
		case s.variable == "location" || s.variable == "region" || s.variable == "zone":
			parts[i], placed = Place, true
		default:
			return Name{}, false, false
		}
	}
	if len(parts) < 2 || t.segments[len(parts)-1].variable == "" || t.segments[len(parts)-1].rest {
		return Name{}, false, false
	}
	name, err := ParseFull("//" + t.Service + "/" + strings.Join(parts, "/"))
	return name, placed, err == nil && name.typ == t
}

// byForm returns the resource that a name without a path looks like: a service account's
// email or a bucket; "" for neither.
func byForm(s string) string {
	switch {
	case valid("iam/serviceAccount", s) && strings.Contains(s, "@"):
		_, host, _ := strings.Cut(s, "@")
		project, ok := strings.CutSuffix(host, ".iam.gserviceaccount.com")
		if id, domain, dotted := strings.Cut(project, "."); dotted { // a project that lives in a domain
			project = domain + ":" + id
		}
		if ok && CheckProject(project) == nil {
			return "projects/" + project + "/serviceAccounts/" + s
		}
	case valid("storage/bucket", s):
		return "gs://" + s
	}
	return ""
}

// nearestPattern returns the full name that path would be if its fixed parts were spelled as
// the nearest of the types has them; "" if none is near, or two are equally near.
func nearestPattern(path string, types []*Type) string {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	best, cost := "", 3 // at most two letters wrong in each of the fixed parts
	for _, t := range types {
		if len(t.segments) != len(segments) || slices.ContainsFunc(t.segments, func(s segment) bool { return s.rest }) {
			continue
		}
		meant, worst := make([]string, len(segments)), 0
		var values []value
		for i, s := range t.segments {
			if s.variable != "" {
				meant[i] = segments[i]
				values = append(values, value{s, segments[i]})
				continue
			}
			meant[i] = s.text
			worst = max(worst, spelling.Distance(s.text, segments[i]))
		}
		if worst > cost || checkAll(values) != nil {
			continue
		}
		name := Name{t, strings.Join(meant, "/")}.Full()
		switch {
		case worst < cost:
			best, cost = name, worst
		case best != name:
			best = "" // two are as near
		}
	}
	return best
}
