package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/cli"
)

// notes are files of goreleaser's own, which name the folder and the time; they are published nowhere.
var notes = []string{"artifacts.json", "config.yaml", "metadata.json"}

// same compares two folders of goreleaser's, byte by byte. What a program links is described without a time, so that
// even these files are the same.
func same(first, second string) error {
	a, err := sums(first)
	if err != nil {
		return err
	}
	b, err := sums(second)
	if err != nil {
		return err
	}
	var errs []error
	for name := range a {
		if b[name] != a[name] {
			errs = append(errs, fmt.Errorf("%s is not the same in both builds", name))
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			errs = append(errs, fmt.Errorf("only the second build has %s", name))
		}
	}
	if len(a) == 0 {
		errs = append(errs, errors.New("nothing was built"))
	}
	return errors.Join(errs...)
}

// sums returns the hash of each file in a folder of goreleaser's.
func sums(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains(notes, name) {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		out[name] = hex.EncodeToString(sum[:])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was built: %w", err)
	}
	return out, nil
}

// examine looks at the files of a release that was built in a clone.
func examine(ctx context.Context, clone, version, commit string) error {
	dist := filepath.Join(clone, "dist")
	var errs []error
	for _, target := range targets {
		name := "taskiam_" + strings.TrimPrefix(version, "v") + "_" + strings.ReplaceAll(target, "/", "_")
		errs = append(errs, archived(filepath.Join(dist, name+".tar.gz"), name),
			described(filepath.Join(dist, name+".sbom.json")))
	}
	binaries, err := filepath.Glob(filepath.Join(dist, "taskiam*_*_*_*", "taskiam*"))
	if err != nil || len(binaries) < len(targets) {
		errs = append(errs, err, fmt.Errorf("there are %d programs, fewer than targets", len(binaries)))
	}
	for _, file := range binaries {
		errs = append(errs, linkedWell(file, filepath.Dir(clone), version, commit))
	}
	return errors.Join(append(errs, summed(dist), cask(clone, version),
		answers(ctx, dist, version, commit))...)
}

// archived looks at what an archive contains: the program, its manual, its completions and the licences, all of root.
func archived(file, inside string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("opening an archive: %w", err)
	}
	defer f.Close()
	packed, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", file, err)
	}
	want := map[string]bool{
		"taskiam": true, "LICENSE": true, "README.md": true, "CHANGELOG.md": true, noticesFile: true,
		"completions/taskiam.bash": true, "completions/taskiam.fish": true, "completions/taskiam.zsh": true,
	}
	for page := range cli.ManPages() {
		want["man/man1/"+page] = true
	}
	var errs []error
	for r := tar.NewReader(packed); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		name, _ := strings.CutPrefix(h.Name, inside+"/")
		if h.FileInfo().IsDir() {
			continue
		}
		if !want[name] {
			errs = append(errs, fmt.Errorf("%s has %s, which nobody expects", filepath.Base(file), h.Name))
		}
		delete(want, name)
		mode := h.FileInfo().Mode().Perm()
		if h.Uname != "root" || mode&0o022 != 0 || (name == "taskiam") != (mode&0o111 != 0) {
			errs = append(errs, fmt.Errorf("%s belongs to %q and has mode %o in %s", name, h.Uname, mode, inside))
		}
	}
	for name := range want {
		errs = append(errs, fmt.Errorf("%s has no %s", filepath.Base(file), name))
	}
	return errors.Join(errs...)
}

// described holds a description of what is linked against the conditions that we hand on.
func described(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading what is linked: %w", err)
	}
	var doc struct {
		Format     string `json:"bomFormat"`
		Components []struct{ Name, Version, Purl string }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	for _, wanted := range []string{"github.com/urfave/cli/v2", "google.golang.org/grpc", "std"} {
		if doc.Format != "CycloneDX" || !strings.Contains(string(raw), `"name": "`+wanted+`"`) {
			return fmt.Errorf("%s does not name %s", filepath.Base(file), wanted)
		}
	}
	return nil
}

// linkedWell looks at a program: it is of the commit, needs no C library, has nothing for debuggers, and no path of
// the machine that built it.
func linkedWell(file, folder, version, commit string) error {
	name := filepath.Base(filepath.Dir(file))
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading how %s was built: %w", name, err)
	}
	var errs []error
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	for key, want := range map[string]string{
		"CGO_ENABLED": "0", "-trimpath": "true", "vcs.revision": commit, "vcs.modified": "false", "-tags": buildTags,
	} {
		if settings[key] != want {
			errs = append(errs, fmt.Errorf("%s was built with %s=%q, not %q", name, key, settings[key], want))
		}
	}
	if info.Main.Version != version {
		errs = append(errs, fmt.Errorf("%s says that it is %s", name, info.Main.Version))
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	for _, path := range []string{folder, "/pkg/mod"} {
		if bytes.Contains(content, []byte(path+"/")) {
			errs = append(errs, fmt.Errorf("%s contains the path %s", name, path))
		}
	}
	if program, err := elf.NewFile(bytes.NewReader(content)); err == nil {
		for _, p := range program.Progs {
			if p.Type == elf.PT_INTERP {
				errs = append(errs, fmt.Errorf("%s needs a loader of the system's", name))
			}
		}
		if program.Section(".symtab") != nil || program.Section(".debug_info") != nil {
			errs = append(errs, fmt.Errorf("%s has what debuggers read", name))
		}
	}
	return errors.Join(errs...)
}

// summed holds checksums.txt against the files: every file that is published is in it, with its hash.
func summed(dist string) error {
	text, err := os.ReadFile(filepath.Join(dist, "checksums.txt"))
	if err != nil {
		return fmt.Errorf("reading the checksums: %w", err)
	}
	found, err := sums(dist)
	if err != nil {
		return err
	}
	var errs []error
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed[name] = true
		if found[name] != sum {
			errs = append(errs, fmt.Errorf("checksums.txt has another hash of %s", name))
		}
	}
	for name := range found {
		if !strings.Contains(name, "/") && name != "checksums.txt" && !listed[name] {
			errs = append(errs, fmt.Errorf("checksums.txt does not have %s", name))
		}
	}
	return errors.Join(errs...)
}

// anySum is what stands in the place of a hash in the cask that is kept.
var anySum = regexp.MustCompile(`sha256 "[0-9a-f]{64}"`)

// caskFile is the cask that is kept.
const caskFile = "packaging/taskiam.rb"

// cask compares the Homebrew cask with the one that is kept. Hashes and the version are those of a build.
func cask(clone, version string) error {
	made, err := os.ReadFile(filepath.Join(clone, "dist", "homebrew", "Casks", "taskiam.rb"))
	if err != nil {
		return fmt.Errorf("reading the cask: %w", err)
	}
	kept, err := os.ReadFile(filepath.Join(clone, caskFile))
	if err != nil {
		return fmt.Errorf("reading the kept cask: %w", err)
	}
	text := anySum.ReplaceAllString(string(made), `sha256 "HASH"`)
	text = strings.ReplaceAll(text, `version "`+strings.TrimPrefix(version, "v")+`"`, `version "VERSION"`)
	if text != string(kept) {
		return fmt.Errorf("the cask is not %s; it is now:\n%s", caskFile, text)
	}
	return nil
}

// answers asks the program that runs on this machine for its version.
func answers(ctx context.Context, dist, version, commit string) error {
	found, err := filepath.Glob(filepath.Join(dist, "taskiam_"+runtime.GOOS+"_"+runtime.GOARCH+"*", "taskiam"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("there is not one program for this machine, but %q: %w", found, err)
	}
	out, err := exec.CommandContext(ctx, found[0], "version", "--json").Output()
	if err != nil {
		return fmt.Errorf("asking for the version: %w", err)
	}
	var doc struct{ Version, Revision, Time, Build string }
	if err := json.Unmarshal(out, &doc); err != nil {
		return fmt.Errorf("reading the version: %w", err)
	}
	if doc.Version != version || doc.Revision != commit || doc.Time == "" || doc.Build != "release" {
		return fmt.Errorf("the program says that it is %s", out)
	}
	return nil
}
