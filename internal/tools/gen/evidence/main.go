// Command evidence turns recorded exchanges into the facts in emulator/evidence.
//
// The recordings were collected from what other projects and Google's documents have published. They are not
// part of this repository, whose files hold no texts of others: -recordings names a file with one JSON object a
// line, each with n, grade (A, B, C; D is dropped), op, method, url, status, request, response and source. The
// same recordings give the same files. What they say about a service replaces its file; others are left alone.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/taskiam/taskiam/emulator/evidence"
)

func main() {
	recordings := flag.String("recordings", "", "`file` of recorded exchanges, one JSON object a line")
	dir := flag.String("dir", "emulator/evidence", "`folder` that the facts are written to")
	flag.Parse()
	if err := run(*recordings, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen/evidence:", err)
		os.Exit(1)
	}
}

func run(recordings, dir string) error {
	if recordings == "" {
		return errors.New("there are no recordings: name a file of them with -recordings; " +
			"the comment of this command says what is in it")
	}
	files, err := convert(recordings)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// convert returns the files that the recordings make.
func convert(recordings string) (map[string][]byte, error) {
	all, err := read(recordings)
	if err != nil {
		return nil, err
	}
	var out []evidence.Exchange
	for _, r := range all {
		if r.Grade == "D" { // proved to be the answer of a mock: no evidence
			continue
		}
		x, err := r.facts()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", r.N, err)
		}
		out = append(out, x)
	}
	return evidence.Files(out)
}
