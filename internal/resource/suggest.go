package resource

import (
	"strings"

	"github.com/taskiam/taskiam/internal/spelling"
)

// accepted lists the forms of a name, for messages.
func accepted() string {
	var forms []string
	for _, t := range table {
		form := t.Pattern
		if len(t.Short) > 0 {
			form = t.Short[0]
		}
		forms = append(forms, form)
	}
	return "accepted are " + strings.Join(forms, ", ") + ", or a full name //service/..."
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
		return "//" + service + "/" + meant
	}
	if strings.Contains(s, "://") {
		// A wildcard behind a prefix says what the prefix says alone.
		return strings.TrimRight(s, "*?[]")
	}
	return nearest(s, table)
}

// nearest returns the name whose fixed parts are nearest to those of a path that fits
// no pattern, or "".
func nearest(path string, types []*Type) string {
	// Something inside a bucket, which takes no binding of its own.
	if rest, ok := strings.CutPrefix(path, "projects/_/buckets/"); ok {
		if bucket, object, ok := strings.Cut(rest, "/"); ok && check("bucket", bucket) == nil {
			return "gs://" + bucket + "/" + strings.TrimPrefix(object, "objects/")
		}
	}
	segments := strings.Split(strings.Trim(path, "/"), "/")
	best, cost := "", 3 // at most two letters wrong in each of the fixed parts
	for _, t := range types {
		pattern := strings.Split(t.Pattern, "/")
		if len(pattern) != len(segments) {
			continue
		}
		meant, worst := make([]string, len(pattern)), 0
		var values []value
		for i, p := range pattern {
			if v, ok := variableIn(p); ok {
				meant[i] = segments[i]
				values = append(values, value{v, segments[i]})
				continue
			}
			meant[i] = p
			worst = max(worst, spelling.Distance(p, segments[i]))
		}
		if worst < cost && checkAll(values) == nil {
			best, cost = strings.Join(meant, "/"), worst
		}
	}
	if best != "" {
		return best
	}
	if !strings.Contains(path, "/") {
		switch s := path; {
		case check("account", s) == nil && strings.Contains(s, "@"):
			_, host, _ := strings.Cut(s, "@")
			if project, ok := strings.CutSuffix(host, ".iam.gserviceaccount.com"); ok && check("project", project) == nil {
				return "projects/" + project + "/serviceAccounts/" + s
			}
		case check("bucket", s) == nil:
			return "gs://" + s
		}
	}
	return ""
}
