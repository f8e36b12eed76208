package main

import (
	"archive/zip"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/taskiam/taskiam/internal/cli"
)

var update = flag.Bool("update", false, "name the pages of the manual where the cask has to list them")

// root is the repository, as the tests of this package see it.
const root = "../../.."

// Every module that a program links, on any system, has its licence among the notices, once.
func TestNotices(t *testing.T) {
	t.Parallel()
	there, err := existing(root, programs)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range there {
		there[i] = root + "/" + strings.TrimPrefix(p, "./")
	}
	text, err := notices(t.Context(), there)
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{
		"\nThe runtime and the standard library of Go\n", "Copyright 2009 The Go Authors.",
		"\ngithub.com/urfave/cli/v2 v", "\ngoogle.golang.org/grpc v",
		"\nCopyright (c) 2013 Joshua Tacoma", // a folder inside of a module has a licence of its own
	} {
		if !strings.Contains(text, words) {
			t.Errorf("the notices lack %q", words)
		}
	}
	if n := strings.Count(text, "END OF TERMS AND CONDITIONS"); n > 8 {
		t.Errorf("the same licence is there %d times", n)
	}
}

// A dependency under a licence that nobody has looked at is not released, nor is one without any.
func TestLicencesThatNobodyHasRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		fine bool
	}{
		{"MIT License\n\nPermission is hereby granted, free of\ncharge, to any person obtaining a copy of", true},
		{"                Apache License\n        Version 2.0, January 2004\n", true},
		{"Redistribution and use in source and binary forms, with or without\nmodification, are permitted provided", true},
		{"GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", false},
		{"All rights reserved. The Apache License does not hold.", false},
	} {
		if err := permitted(dependency{name: "x v1", texts: map[string]string{"LICENSE": c.text}}); (err == nil) != c.fine {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	if err := permitted(dependency{name: "x v1"}); err == nil || !strings.Contains(err.Error(), "no file") {
		t.Errorf("without a licence: %v", err)
	}
}

// configuration is what is read of .goreleaser.yaml.
type configuration struct {
	Builds []struct {
		ID, Main, MTime string
		Env, Goos       []string
		Goarch, Tags    []string
		Flags, Ldflags  []string
		ModTimestamp    string `yaml:"mod_timestamp"`
	}
	Archives []struct {
		ID         string
		BuildsInfo fileInfo `yaml:"builds_info"`
		Files      []struct {
			Src, Dst string
			Info     fileInfo
		}
	}
	Nfpms []struct {
		MTime    string
		Contents []struct {
			Src, Dst, Packager string
			FileInfo           fileInfo `yaml:"file_info"`
		}
	}
	Casks []struct {
		Manpages    []string
		SkipUpload  bool `yaml:"skip_upload"`
		Completions map[string]string
	} `yaml:"homebrew_casks"`
	Release struct{ Draft bool }
}

type fileInfo struct {
	MTime string
	Mode  int
}

func configured(t *testing.T) configuration {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c configuration
	if err := yaml.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Programs are built for the systems whose licences are named, the same way everywhere, and every time in a file is that
// of the commit.
func TestConfigurationIsReproducible(t *testing.T) {
	t.Parallel()
	c := configured(t)
	const ofCommit = "{{ .CommitDate }}"
	for _, b := range c.Builds {
		if !slices.Contains(programs, strings.TrimPrefix(b.Main, "./")) {
			t.Errorf("%s is none of the programs whose licences are named", b.Main)
		}
		if !slices.Equal(b.Env, []string{"CGO_ENABLED=0"}) || !slices.Equal(b.Tags, []string{buildTags}) ||
			!slices.Equal(b.Flags, []string{"-trimpath", "-buildvcs=true"}) || b.ModTimestamp != "{{ .CommitTimestamp }}" {
			t.Errorf("%s is not built reproducibly: %+v", b.ID, b)
		}
		// The linker says nothing of a variable that is not there.
		_, variable, _ := strings.Cut(strings.Join(b.Ldflags, " "), "-X "+modulePath+"/")
		at, value, _ := strings.Cut(variable, "=")
		dir, name, _ := strings.Cut(at, ".")
		files, _ := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if value != "release" || !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(text), "\nvar "+name+" = ")
		}) {
			t.Errorf("%s does not know that it is of a release: %q", b.ID, b.Ldflags)
		}
		for _, system := range b.Goos {
			for _, arch := range b.Goarch {
				if !slices.Contains(targets, system+"/"+arch) {
					t.Errorf("%s is built for %s/%s, whose licences are not named", b.ID, system, arch)
				}
			}
		}
	}
	times := map[string]string{}
	for _, a := range c.Archives {
		times["the program in "+a.ID] = a.BuildsInfo.MTime
		for _, f := range a.Files {
			times[a.ID+": "+f.Src] = f.Info.MTime
		}
	}
	for _, p := range c.Nfpms {
		times["packages"] = p.MTime
		for _, f := range p.Contents {
			times["packages: "+f.Dst] = f.FileInfo.MTime
		}
	}
	for what, mtime := range times {
		if mtime != ofCommit {
			t.Errorf("%s has the time %q", what, mtime)
		}
	}
	if len(c.Builds) < 2 || len(times) < 15 || !c.Release.Draft {
		t.Errorf("the configuration was not understood: %+v", c)
	}
}

// Archives, packages and the cask have the same manual, completions and licences, and name files that there are.
func TestConfigurationNamesFiles(t *testing.T) {
	t.Parallel()
	c := configured(t)
	made := []string{"bin/release/" + noticesFile, "bin/release/man/*.1"}
	entries, err := os.ReadDir(filepath.Join(root, "internal/cli/completion"))
	if err != nil {
		t.Fatal(err)
	}
	var completions []string
	for _, e := range entries {
		completions = append(completions, "internal/cli/completion/"+e.Name())
	}
	needed := append(slices.Clone(made), "LICENSE", "CHANGELOG.md")
	var inArchive, inDeb, inRPM []string
	for _, f := range c.Archives[0].Files {
		inArchive = append(inArchive, f.Src)
	}
	for _, f := range c.Nfpms[0].Contents {
		if f.Packager != "rpm" {
			inDeb = append(inDeb, f.Src)
		}
		if f.Packager != "deb" {
			inRPM = append(inRPM, f.Src)
		}
	}
	for kind, has := range map[string][]string{"archive": inArchive, "deb": inDeb, "rpm": inRPM} {
		for _, src := range slices.Concat(needed, completions) {
			whole := slices.Contains(has, filepath.Dir(src)+"/*")
			if !slices.Contains(has, src) && !whole {
				t.Errorf("no %s has %s", kind, src)
			}
		}
		for _, src := range has {
			found, err := filepath.Glob(filepath.Join(root, src))
			if (err != nil || len(found) == 0) && !slices.Contains(made, src) {
				t.Errorf("a %s has %s, which is not there", kind, src)
			}
		}
	}
	for _, file := range completions {
		shell := strings.TrimPrefix(filepath.Ext(file), ".")
		if c.Casks[0].Completions[shell] != "completions/"+filepath.Base(file) {
			t.Errorf("the cask has no completion of %s", shell)
		}
	}
	if !c.Casks[0].SkipUpload {
		t.Error("goreleaser would send the cask to a tap")
	}
}

// A cask has to name every page of the manual: in the configuration, and in the cask that is kept, which has one hash
// for each program.
func TestCaskNamesThePages(t *testing.T) {
	t.Parallel()
	var pages []string
	for page := range cli.ManPages() {
		pages = append(pages, "man/man1/"+page)
	}
	slices.Sort(pages)
	for file, form := range map[string]string{".goreleaser.yaml": "      - %s\n", caskFile: "  manpage %q\n"} {
		at := filepath.Join(root, file)
		raw, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		for _, page := range pages {
			fmt.Fprintf(&want, form, page)
		}
		list := regexp.MustCompile(`(?m)(^ +(- |manpage ")man/man1/.*\n)+`)
		if *update {
			raw = list.ReplaceAllLiteral(raw, []byte(want.String()))
			if err := os.WriteFile(at, raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(list.Find(raw)); got != want.String() {
			t.Errorf("%s names the pages\n%snot\n%s-update corrects that", file, got, want.String())
		}
	}
	kept, err := os.ReadFile(filepath.Join(root, caskFile))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(kept), `sha256 "HASH"`); n != len(targets) {
		t.Errorf("the kept cask has %d hashes", n)
	}
}

// One byte that differs is found, whatever the file; what goreleaser notes for itself is left out.
func TestSame(t *testing.T) {
	t.Parallel()
	write := func(dir string, files map[string]string) string {
		for name, text := range files {
			at := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	one := write(t.TempDir(), map[string]string{"a.deb": "1", "taskiam_linux_amd64/taskiam": "x", "metadata.json": "1"})
	same1 := write(t.TempDir(), map[string]string{"a.deb": "1", "taskiam_linux_amd64/taskiam": "x", "metadata.json": "2"})
	if err := same(one, same1); err != nil {
		t.Error(err)
	}
	for want, files := range map[string]map[string]string{
		"taskiam_linux_amd64/taskiam is not the same": {"a.deb": "1", "taskiam_linux_amd64/taskiam": "y"},
		"a.deb is not the same":                       {"taskiam_linux_amd64/taskiam": "x"},
		"only the second build has b":                 {"a.deb": "1", "taskiam_linux_amd64/taskiam": "x", "b": ""},
	} {
		if err := same(one, write(t.TempDir(), files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := same(t.TempDir(), t.TempDir()); err == nil {
		t.Error("two empty folders are a release")
	}
}

// checksums.txt is held against every file that is published.
func TestSummed(t *testing.T) {
	t.Parallel()
	const hashOfX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	for want, files := range map[string]map[string]string{
		"":                              {"a.deb": "x", "checksums.txt": hashOfX + "  a.deb\n"},
		"another hash of a.deb":         {"a.deb": "y", "checksums.txt": hashOfX + "  a.deb\n"},
		"checksums.txt does not have b": {"a.deb": "x", "b": "x", "checksums.txt": hashOfX + "  a.deb\n"},
		"another hash of c.deb":         {"checksums.txt": hashOfX + "  c.deb\n"},
		"reading the checksums: open":   {"a.deb": "x"},
	} {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := summed(dir); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The module can be installed by `go install MODULE@VERSION`: nothing in it has a name that the module format refuses,
// it is small, its own modules for tests are left out, and go.mod replaces nothing.
func TestModule(t *testing.T) {
	t.Parallel()
	if _, err := git(t.Context(), root, "rev-parse", "HEAD"); err != nil {
		t.Skipf("this is no checkout: %v", err)
	}
	dir := t.TempDir()
	if err := writeModule(t.Context(), root, "HEAD", "v0.1.0", dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "github.com/taskiam/taskiam/@v/v0.1.0.zip")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 10<<20 {
		t.Errorf("the module has %d bytes", len(raw))
	}
	packed, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range packed.File {
		names = append(names, strings.TrimPrefix(f.Name, "github.com/taskiam/taskiam@v0.1.0/"))
	}
	for _, name := range []string{"LICENSE", "go.mod", "cmd/taskiam/main.go", "emulator/internal/iam/roles.txt"} {
		if !slices.Contains(names, name) {
			t.Errorf("the module has no %s", name)
		}
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^(replace|exclude)\b`).Match(mod) {
		t.Error("go install refuses a module whose go.mod replaces or excludes others")
	}
}

// workflow is what is read of a workflow.
type workflow struct {
	On          map[string]any
	Permissions map[string]string
	Jobs        map[string]struct {
		Permissions map[string]string
		Steps       []struct {
			Uses, Run string
			With      map[string]any
		}
	}
}

// The workflow of releases: every action is named by its commit, no job has rights that it does not use, the job that
// runs the repository's code may only read, and what is made first is a draft.
func TestReleaseWorkflow(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, ".github/workflows/release.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Permissions) > 0 || len(w.Jobs) != 3 {
		t.Errorf("the workflow as a whole may %v, and has %d jobs", w.Permissions, len(w.Jobs))
	}
	want := map[string]string{
		"build":  "map[contents:read]",
		"images": "map[attestations:write contents:read id-token:write packages:write]",
		"draft":  "map[attestations:write contents:write id-token:write]",
	}
	pinned := regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+@[0-9a-f]{40}$`)
	for name, job := range w.Jobs {
		if got := fmt.Sprint(job.Permissions); got != want[name] {
			t.Errorf("the job %s may %s, not %s", name, got, want[name])
		}
		for _, step := range job.Steps {
			if step.Uses != "" && !pinned.MatchString(step.Uses) {
				t.Errorf("%s is not named by its commit", step.Uses)
			}
			checkout := strings.HasPrefix(step.Uses, "actions/checkout@")
			if checkout && (name == "draft" || step.With["persist-credentials"] != false) {
				t.Errorf("the job %s has a checkout with a login, or at all", name)
			}
			if strings.HasPrefix(step.Uses, "actions/setup-go@") && step.With["cache"] != false {
				t.Errorf("the job %s builds with what another job has left", name)
			}
			if strings.Contains(step.Run, "${{") {
				t.Errorf("the job %s writes an expression into a script: %s", name, step.Run)
			}
			if strings.Contains(step.Run, "gh release create") && !strings.Contains(step.Run, " --draft ") {
				t.Error("what is made first is no draft")
			}
		}
	}
}

// A mistake in the command line is said, and nothing is done.
func TestWrongArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"everything"}, {"assets"}, {"assets", "a", "b"}} {
		if err := run(context.Background(), args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
