package named

import (
	"net/http"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// findNamedGet returns the method that reads a resource of the table, if the path is
// one's, and the relative name of the resource as a path variable. It needs the host:
// by their paths alone services are not told apart.
func findNamedGet(host, httpVerb, path string) (*wire.Method, map[string]string) {
	if httpVerb != http.MethodGet || host == "" {
		return nil, nil
	}
	segments, err := unescape(strings.Split(strings.TrimPrefix(path, "/"), "/"))
	if err != nil || strings.Contains(segments[len(segments)-1], ":") {
		return nil, nil
	}
	for _, t := range ResourceTypes() {
		if !t.servedAt(host) {
			continue
		}
		if below, ok := t.below(segments); ok {
			return &wire.Method{ID: t.Name + ".get", Host: t.Host, Serve: t.read},
				map[string]string{"resource": strings.Join(below, "/")}
		}
	}
	return nil, nil
}

// read answers 404 for a resource that does not exist, to a caller that may read it. Of one that exists
// the emulator knows nothing to show.
func (t *ResourceType) read(c *wire.Call) (any, error) {
	_, n, err := t.find(c)
	if err := c.RequireFound(t.Permission+".get", n, err); err != nil {
		return nil, err
	}
	return nil, wire.Fail(http.StatusNotImplemented, "UNIMPLEMENTED", "notImplemented",
		"The emulator knows nothing of %s but its name and its policy.", n.Relative())
}

// missingNamed is the answer to the name of a resource that is not there, in the words
// of its service where those are known.
func missingNamed(host, relative string) error {
	segments := strings.Split(relative, "/")
	kind := strings.TrimSuffix(segments[max(0, len(segments)-2)], "s")
	switch {
	case host == "artifactregistry.googleapis.com":
		return wire.NotFound("Requested entity was not found.")
	case host == "spanner.googleapis.com" && kind == "instance":
		return wire.NotFound("Instance not found: %s", relative)
	case host == "spanner.googleapis.com", host == "run.googleapis.com":
		return wire.NotFound("%s %q not found", kind, relative)
	}
	return wire.NotFound("Resource '%s' was not found.", relative)
}
