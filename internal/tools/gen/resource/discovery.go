package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/tools/gen"
)

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
	doc *gen.Document
	all map[string]gen.Method
}

// types returns every distinct type that has getIamPolicy, by id. Only documents that are
// the best for some type are parsed: they are many, and of megabytes.
func types(module string) ([]found, error) {
	best := map[string]string{} // paths by id
	err := gen.Each(module, func(path string, data []byte) error {
		for _, id := range typesIn(data) {
			if before, there := best[id]; !there || rank(versionOf(path)) > rank(versionOf(before)) {
				best[id] = path
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	parsed := map[string]found{}
	out := make([]found, 0, len(best))
	for id, path := range best {
		f, there := parsed[path]
		if !there {
			d, err := gen.Read(path)
			if err != nil {
				return nil, err
			}
			f = found{doc: d, all: d.All()}
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
