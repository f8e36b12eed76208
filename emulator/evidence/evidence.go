// Package evidence has the form in which this repository keeps what is known of Google's answers, and in its
// folder what is known: one JSON file a service, with exchanges of one request and its answer.
//
// An exchange is told as facts. Of an answer stand the status, the keys at every depth, and for each value
// either the value itself, where a client depends on it, or its format: <time>, <uid>, <base64> (see [Formats]).
// Names are replaced by what they name, the same one by the same word: {project}, {account}, {account2}. No text
// that somebody wrote is kept: neither messages nor descriptions. What a message tells about the state in which
// the request met Google stands in the list Given.
//
// The package knows neither the emulator nor the program. [Describe] makes such an exchange of a real one.
package evidence

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Exchange is one request and what was answered.
type Exchange struct {
	// ID is by which the exchange is spoken of; it is unique in the folder.
	ID string `json:"id"`
	// Grade is A for an answer of Google's, B for one that is documented, C for one that somebody tests
	// against without saying whether it is Google's.
	Grade    string   `json:"grade"`
	About    string   `json:"about"`
	Source   string   `json:"source"`
	Recorded string   `json:"recorded,omitempty"`
	Inferred []string `json:"inferred,omitempty"` // what was not recorded, and is filled in
	Given    []string `json:"given,omitempty"`    // of the state before: see Given…

	Method  string            `json:"method"`
	Host    string            `json:"-"`
	Path    string            `json:"path"`
	Query   string            `json:"query,omitempty"`
	Form    map[string]string `json:"form,omitempty"`    // the request, if it is a form
	Request any               `json:"request,omitempty"` // or JSON; nil where nothing was sent, or recorded
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	Answer  any               `json:"answer"`
}

// What is known of the state before, as Given lists it; the first of them after a message. Those that end with a
// colon go on with what they are about.
const (
	GivenAccountDeleted = "the account was deleted"
	GivenAPIDisabled    = "the API is not enabled"
	GivenRoleDeleted    = "the role was deleted, and cannot come back"
	GivenMissing        = "missing: "
	GivenNotForResource = "not for this resource: "

	// These are told by whoever made the exchange; no message says them.
	GivenSelf         = "the caller is the account that is asked about"
	GivenSelfDisabled = "the caller is the account that is asked about, and disabled"
	GivenFirstVersion = "the caller may read versions/1 alone"
	GivenAccountsFull = "the project has as many accounts as it may"
)

// Formats are the words for values of which the format alone is kept, and the patterns that such values have.
var Formats = map[string]string{
	"any":         `.*`,
	"assertion":   `.+`,
	"base64":      `(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)`,
	"boundary":    `.+`,
	"certificate": `.+`,
	"digits":      `[0-9]+`, // in a string
	"etag":        `.+`,
	"hex20":       `[0-9a-f]{20}`,
	"id":          `.+`,
	"int":         ``, // a number that is no string
	"key":         `[0-9a-f]{40}`,
	// The eight bytes of an allow policy's etag begin with a 7. One that was never set has ACAB.
	"policy-etag": `(?:B[w-z][A-Za-z0-9+/]{9}=|ACAB)`,
	"set-etag":    `B[w-z][A-Za-z0-9+/]{9}=`,
	"seconds":     `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z`,
	"text":        `.+`,
	"time":        `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z`,
	"token":       `.+`,
	"uid":         `1[0-9]{20}`,
}

// file is what stands in one file.
type file struct {
	Service   string     `json:"service"`
	Exchanges []Exchange `json:"exchanges"`
}

// Files returns the files that hold the exchanges, by their names: one a service, in the order given.
func Files(exchanges []Exchange) (map[string][]byte, error) {
	services := map[string]*file{}
	for _, x := range exchanges {
		f := services[x.Host]
		if f == nil {
			f = &file{Service: x.Host}
			services[x.Host] = f
		}
		f.Exchanges = append(f.Exchanges, x)
	}
	out := map[string][]byte{}
	for host, f := range services {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(f); err != nil {
			return nil, fmt.Errorf("writing the evidence on %s: %w", host, err)
		}
		out[strings.TrimSuffix(host, ".googleapis.com")+".json"] = b.Bytes()
	}
	return out, nil
}

// Read returns the exchanges in the files of a folder, and of those in it. What it does not know is an error.
func Read(dir string) ([]Exchange, error) {
	var out []Exchange
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var f file
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&f); err != nil {
			return fmt.Errorf("reading the evidence in %s: %w", path, err)
		}
		for _, x := range f.Exchanges {
			if x.Host = f.Service; x.ID == "" {
				return fmt.Errorf("reading the evidence in %s: an exchange has no id (%s)", path, x.About)
			}
			out = append(out, x)
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b Exchange) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), strings.Compare(a.ID, b.ID))
	})
	for i := 1; i < len(out) && err == nil; i++ {
		if out[i].ID == out[i-1].ID {
			err = fmt.Errorf("reading the evidence in %s: the id %s is there twice", dir, out[i].ID)
		}
	}
	return out, err
}
