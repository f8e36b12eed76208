package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// document is what is read of a discovery document.
type document struct {
	Name, Title, Version, RootURL, ServicePath string
	collection
	Schemas map[string]json.RawMessage // most are never looked at
}

// properties returns the fields of a schema, each with the schema that it is of.
func (d *document) properties(schema string) (map[string]string, error) {
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

type collection struct {
	Methods   map[string]method
	Resources map[string]collection
}

type method struct {
	ID, HTTPMethod, Path, FlatPath string
	Parameters                     map[string]struct{ Location, Pattern string }
	Request                        *struct {
		Ref string `json:"$ref"`
	}
}

// url is the path of the method on its host.
func (d *document) url(m method) string {
	if m.FlatPath != "" {
		return d.ServicePath + m.FlatPath
	}
	return d.ServicePath + m.Path
}

func readDocument(path string) (*document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &document{}
	return d, json.Unmarshal(data, d)
}

// methods returns every method of the document by its id.
func (d *document) methods() map[string]method {
	all := map[string]method{}
	var walk func(collection)
	walk = func(c collection) {
		for _, m := range c.Methods {
			all[m.ID] = m
		}
		for _, sub := range c.Resources {
			walk(sub)
		}
	}
	walk(d.collection)
	return all
}

var versionForm = regexp.MustCompile(`^v([0-9]+)(?:p[0-9]+)?(alpha|beta)?([0-9]*)$`)

// rank orders the versions of an API: a stable one is better than any beta, that than
// any alpha, and of two alike the higher.
func rank(version string) string {
	stage := map[string]string{"": "3", "beta": "2", "alpha": "1"}
	if m := versionForm.FindStringSubmatch(version); m != nil {
		return fmt.Sprintf("%s %3s %3s", stage[m[2]], m[1], m[3])
	}
	return stage[version] // "alpha" and "beta" alone; a preview is worse
}

// found is a type of resource in the best version of its API that has it.
type found struct {
	id  string // the ids of its methods without the verb
	doc *document
	all map[string]method
}

// types returns every distinct type that has getIamPolicy, by id. Only documents that are
// the best for some type are parsed: they are many, and of megabytes.
func types(module string) ([]found, error) {
	paths, err := filepath.Glob(filepath.Join(module, "*", "*", "*-api.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	best := map[string]string{} // paths by id
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, id := range typesIn(data) {
			if before, there := best[id]; !there || rank(versionOf(path)) > rank(versionOf(before)) {
				best[id] = path
			}
		}
	}
	parsed := map[string]found{}
	out := make([]found, 0, len(best))
	for id, path := range best {
		f, there := parsed[path]
		if !there {
			d, err := readDocument(path)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", path, err)
			}
			f = found{doc: d, all: d.methods()}
			parsed[path] = f
		}
		f.id = id
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b found) int { return strings.Compare(a.id, b.id) })
	return out, nil
}

// typesIn returns what the ids of getIamPolicy methods in a document begin with.
func typesIn(data []byte) []string {
	var ids []string
	for end := []byte(`.getIamPolicy"`); ; {
		i := bytes.Index(data, end)
		if i < 0 {
			return ids
		}
		id := string(data[bytes.LastIndexByte(data[:i], '"')+1 : i])
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		data = data[i+len(end):]
	}
}

// versionOf returns the version of a document by its folder, where v0. stands before what
// is no number.
func versionOf(path string) string {
	return strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "v0.")
}
