package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/lazy"
)

// errTwice is a document that has a key twice. Who reads it decides which one counts.
var errTwice = errors.New("a key is there twice")

// maxDepth is how deep a document may be nested.
const maxDepth = 64

// decode reads JSON as Google does: names of fields may be written in camel case or with
// underscores, so that the keys of objects are folded.
func decode(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	doc, err := value(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows it")
	}
	return doc, nil
}

func value(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("it is nested too deep")
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := value(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name := fold(key.(string)) // the decoder takes no other
			if _, twice := object[name]; twice {
				return nil, errTwice
			}
			if object[name], err = value(dec, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return object, err
	}
	return token, nil
}

// free are objects in which the client writes what it likes.
var free = map[string]bool{"metadata": true, "labels": true, "annotations": true, "tags": true}

var (
	inText     = lazy.Regexp(`gs://([^/\s"'*?]*)`)
	inProjects = lazy.Regexp(`^(?://([a-z0-9.-]+)/)?(projects/[^/]+(?:/[^/]+)*)$`)
)

// namesInside returns the resources that a document names, wherever in it that is. service is the
// one that it is sent to.
func namesInside(service string, doc any) []named {
	var out []named
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			out = append(out, namesInside(service, v)...)
		}
	case map[string]any:
		if project, ok := doc["projectid"].(string); ok {
			name := "projects/" + project
			if dataset, ok := doc["datasetid"].(string); ok {
				name += "/datasets/" + dataset
			}
			out = append(out, named{service, name})
		}
		for key, v := range doc {
			if !free[key] {
				out = append(out, namesInside(service, v)...)
			}
		}
	case string:
		out = namesInText(service, doc)
	}
	return out
}

// namesInText returns the resources that a string names.
func namesInText(service, text string) []named {
	var out []named
	for _, m := range inText().FindAllStringSubmatch(text, -1) {
		out = append(out, bucket(m[1]))
	}
	if m := inProjects().FindStringSubmatch(text); m != nil {
		of := service
		if m[1] != "" {
			of = m[1]
		} else if strings.HasPrefix(m[2], bucketPrefix) {
			of = storageHost
		}
		out = append(out, named{of, m[2]})
	}
	return out
}
