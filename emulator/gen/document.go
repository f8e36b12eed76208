package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// document is what is read of a discovery document.
type document struct {
	Name        string               `json:"name"`
	Version     string               `json:"version"`
	ServicePath string               `json:"servicePath"`
	Methods     map[string]apiMethod `json:"methods"`
	Resources   map[string]resources `json:"resources"`
}

type resources struct {
	Methods   map[string]apiMethod `json:"methods"`
	Resources map[string]resources `json:"resources"`
}

type apiMethod struct {
	ID         string                  `json:"id"`
	HTTPMethod string                  `json:"httpMethod"`
	Path       string                  `json:"path"`
	FlatPath   string                  `json:"flatPath"`
	Parameters map[string]apiParameter `json:"parameters"`
	Request    *struct {
		Ref string `json:"$ref"`
	} `json:"request"`
}

type apiParameter struct {
	Location string `json:"location"`
	Pattern  string `json:"pattern"`
}

// documents reads the discovery documents of the module that know allow policies, in
// the order of their paths.
func documents(module string) ([]document, error) {
	paths, err := filepath.Glob(filepath.Join(module, "*", "*", "*-api.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var out []document
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(data, []byte("getIamPolicy")) {
			continue // most of a hundred megabytes
		}
		var d document
		if err := json.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		out = append(out, d)
	}
	return out, nil
}

// methods calls visit for every method of the document.
func (d document) methods(visit func(apiMethod)) {
	var walk func(resources)
	walk = func(r resources) {
		for _, m := range r.Methods {
			visit(m)
		}
		for _, sub := range r.Resources {
			walk(sub)
		}
	}
	walk(resources{d.Methods, d.Resources})
}
