package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// buildTags are those of releases, as the Makefile and .goreleaser.yaml have them.
const buildTags = "urfave_cli_no_docs"

// targets are the systems that programs are linked for: not all link the same modules.
var targets = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}

// dependency is something that is linked into our programs, and under which conditions it may be.
type dependency struct {
	name  string // a module with its version
	texts map[string]string
}

// licenceFile is what files with conditions are called.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|copyright|unlicense)(\.(txt|md))?$`)

// notices returns the licences of everything that is linked into programs, each text once.
func notices(ctx context.Context, programs []string) (string, error) {
	dependencies, err := linked(ctx, programs)
	if err != nil {
		return "", err
	}
	users := map[string][]string{} // of each text
	for _, d := range dependencies {
		if err := permitted(d); err != nil {
			return "", err
		}
		for _, text := range d.texts {
			users[text] = append(users[text], d.name)
		}
	}
	texts := slices.Collect(maps.Keys(users))
	slices.SortFunc(texts, func(a, b string) int {
		return strings.Compare(strings.Join(users[a], "\n")+a, strings.Join(users[b], "\n")+b)
	})
	var b strings.Builder
	b.WriteString("taskiam itself has the Apache License 2.0, in the file LICENSE. What follows are the\n" +
		"licences and notices of the software of others that is linked into it.\n\n" +
		"The table of Google's predefined roles was made of published facts as github.com/iann0036/iam-dataset\n" +
		"(MIT License) gathers them.\n")
	for _, text := range texts {
		b.WriteString("\n" + strings.Repeat("=", 78) + "\n")
		for _, name := range slices.Compact(slices.Sorted(slices.Values(users[text]))) {
			b.WriteString(name + "\n")
		}
		b.WriteString(strings.Repeat("-", 78) + "\n" + text + "\n")
	}
	return b.String(), nil
}

// linked returns what the programs link on any of the targets, sorted by name.
func linked(ctx context.Context, programs []string) ([]dependency, error) {
	all := map[string]dependency{}
	for _, target := range targets {
		if err := linkedOn(ctx, target, programs, all); err != nil {
			return nil, err
		}
	}
	names := slices.Sorted(maps.Keys(all))
	var out []dependency
	for _, name := range names {
		out = append(out, all[name])
	}
	return out, nil
}

// linkedOn adds what the programs link on a target.
func linkedOn(ctx context.Context, target string, programs []string, all map[string]dependency) error {
	system, arch, _ := strings.Cut(target, "/")
	cmd := exec.CommandContext(ctx, "go", append([]string{
		"list", "-deps", "-json=Dir,Standard,Module", "-tags", buildTags,
	}, programs...)...)
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return fmt.Errorf("listing what is linked for %s: %w", target, err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir      string
			Standard bool
			Module   *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading what is linked: %w", err)
		}
		switch {
		case p.Standard:
			err = add(all, "Go", "The runtime and the standard library of Go", goroot(p.Dir), goroot(p.Dir))
		case p.Module != nil && !p.Module.Main:
			err = add(all, p.Module.Path, p.Module.Path+" "+p.Module.Version, p.Module.Dir, p.Dir)
		}
		if err != nil {
			return err
		}
	}
}

// goroot returns the folder of Go itself, of that of a package of the standard library.
func goroot(dir string) string {
	root, _, _ := strings.Cut(filepath.ToSlash(dir), "/src/")
	return root
}

// add reads the licences that hold for a package: those in its folder, and in each up to the root of its module.
func add(all map[string]dependency, key, name, root, dir string) error {
	d, ok := all[key]
	if !ok {
		d = dependency{name: name, texts: map[string]string{}}
		all[key] = d
	}
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("looking for the licence of %s: %w", name, err)
		}
		for _, e := range entries {
			file := filepath.Join(dir, e.Name())
			if _, read := d.texts[file]; read || e.IsDir() || !licenceFile.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("reading the licence of %s: %w", name, err)
			}
			d.texts[file] = strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
		}
		if dir == root || len(dir) <= len(root) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// permits are words of the licences that allow what we do: to link, and to hand on with the text.
var permits = []string{
	"Apache License Version 2.0, January 2004",
	"Permission is hereby granted, free of charge, to any person obtaining a copy",
	"Redistribution and use in source and binary forms, with or without modification, are permitted",
}

// permitted refuses a dependency without a licence, and one with a licence that nobody has looked at.
func permitted(d dependency) error {
	for _, text := range d.texts {
		words := strings.Join(strings.Fields(text), " ")
		if slices.ContainsFunc(permits, func(some string) bool { return strings.Contains(words, some) }) {
			return nil
		}
	}
	if len(d.texts) == 0 {
		return fmt.Errorf("%s has no file with a licence", d.name)
	}
	return fmt.Errorf("%s has a licence that is none of the known ones (Apache 2.0, MIT, BSD): read it, and add it to "+
		"those that are permitted, or do without", d.name)
}
