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
	Schemas map[string]struct {
		Properties map[string]struct {
			Ref string `json:"$ref"`
		}
	}
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

// documents reads the discovery documents of the module that know allow policies.
func documents(module string) ([]*document, error) {
	paths, err := filepath.Glob(filepath.Join(module, "*", "*", "*-api.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var out []*document
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(data, []byte("getIamPolicy")) {
			continue // most of a hundred megabytes
		}
		d := &document{}
		if err := json.Unmarshal(data, d); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		out = append(out, d)
	}
	return out, nil
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

// types returns every distinct type that has getIamPolicy, by id.
func types(module string) ([]found, error) {
	docs, err := documents(module)
	if err != nil {
		return nil, err
	}
	best := map[string]found{}
	for _, d := range docs {
		all := d.methods()
		for id := range all {
			id, ok := strings.CutSuffix(id, ".getIamPolicy")
			if before, there := best[id]; ok && (!there || rank(d.Version) > rank(before.doc.Version)) {
				best[id] = found{id, d, all}
			}
		}
	}
	out := make([]found, 0, len(best))
	for _, f := range best {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b found) int { return strings.Compare(a.id, b.id) })
	return out, nil
}
