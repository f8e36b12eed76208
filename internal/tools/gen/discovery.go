package gen

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Document is what is read of a discovery document.
type Document struct {
	Name, Title, Version, RootURL, ServicePath string
	Collection
	Schemas map[string]json.RawMessage // most are never looked at
}

// Collection is what a document nests its methods in.
type Collection struct {
	Methods   map[string]Method
	Resources map[string]Collection
}

// Method is one method of an API.
type Method struct {
	ID, HTTPMethod, Path, FlatPath string
	Parameters                     map[string]struct{ Location, Pattern string }
	Request                        *struct {
		Ref string `json:"$ref"`
	}
}

// Each calls visit with the bytes of every discovery document of the module, in the order
// of their paths. They are a hundred megabytes: parse those that matter.
func Each(module string, visit func(path string, data []byte) error) error {
	paths, err := filepath.Glob(filepath.Join(module, "*", "*", "*-api.json"))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := visit(path, data); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
	return nil
}

// Read reads one discovery document.
func Read(path string) (*Document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &Document{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return d, nil
}

// All returns every method of the document by its id.
func (d *Document) All() map[string]Method {
	all := map[string]Method{}
	var walk func(Collection)
	walk = func(c Collection) {
		for _, m := range c.Methods {
			all[m.ID] = m
		}
		for _, sub := range c.Resources {
			walk(sub)
		}
	}
	walk(d.Collection)
	return all
}

// URL is the path of the method on its host.
func (d *Document) URL(m Method) string {
	if m.FlatPath != "" {
		return d.ServicePath + m.FlatPath
	}
	return d.ServicePath + m.Path
}

// Properties returns the fields of a schema, each with the schema that it refers to.
func (d *Document) Properties(schema string) (map[string]string, error) {
	var s struct {
		Properties map[string]struct {
			Ref string `json:"$ref"`
		}
	}
	if err := json.Unmarshal(d.Schemas[schema], &s); err != nil {
		return nil, fmt.Errorf("reading schema %s: %w", schema, err)
	}
	out := map[string]string{}
	for name, p := range s.Properties {
		out[name] = p.Ref
	}
	return out, nil
}

var (
	// Version fits the segment of a path that names the API's version.
	Version = regexp.MustCompile(`^(v[0-9][a-z0-9]*|alpha|beta)$`)
	// Variable fits a variable of a path.
	Variable = regexp.MustCompile(`\{[^}]*\}`)
)

// SplitVersion splits a path behind the segment that names the version.
func SplitVersion(path string) (prefix, rest string, err error) {
	segments := strings.Split(path, "/")
	i := slices.IndexFunc(segments, Version.MatchString) // at times not Document.Version
	if i < 0 {
		return "", "", fmt.Errorf("path %s names no version", path)
	}
	return strings.Join(segments[:i+1], "/") + "/", strings.Join(segments[i+1:], "/"), nil
}

// CutVerb splits the path of getIamPolicy into that of the resource and what follows it.
func CutVerb(path string) (own, suffix string) {
	for _, suffix := range []string{":getIamPolicy", "/getIamPolicy", "/iam"} {
		if own, ok := strings.CutSuffix(path, suffix); ok {
			return own, suffix
		}
	}
	return path, ""
}
