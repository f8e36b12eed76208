package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// modulePath is what `go install` is told.
const modulePath = "github.com/taskiam/taskiam"

// writeModule lays a commit into a folder as the files of a module proxy, under a version.
func writeModule(ctx context.Context, repository, commit, version, dir string) error {
	at := filepath.Join(dir, filepath.FromSlash(modulePath), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return fmt.Errorf("making the folder of the module: %w", err)
	}
	// A clone, because a linked work tree is no repository to package zip.
	clone := filepath.Join(dir, "clone")
	if _, err := git(ctx, repository, "clone", "--quiet", "--no-checkout", ".", clone); err != nil {
		return err
	}
	packed, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		return fmt.Errorf("making the module: %w", err)
	}
	err = zip.CreateFromVCS(packed, module.Version{Path: modulePath, Version: version}, clone, commit, "")
	if err := errors.Join(err, packed.Close()); err != nil {
		return fmt.Errorf("packing the module: %w", err)
	}
	mod, err := git(ctx, clone, "show", commit+":go.mod")
	if err != nil {
		return err
	}
	// Go's own date of a commit, which is not asked for here.
	info, err := json.Marshal(map[string]string{"Version": version, "Time": "2026-01-01T00:00:00Z"})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(at, version+".mod"), []byte(mod+"\n"), 0o644),
		os.WriteFile(filepath.Join(at, version+".info"), info, 0o644),
		os.WriteFile(filepath.Join(at, "list"), []byte(version+"\n"), 0o644))
}

// install installs the tagged module by `go install`, from a folder that stands for the proxy, as somebody does who has
// no checkout; the modules that it needs come from this machine's cache, and from no network.
func install(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("module", flag.ContinueOnError)
	version := flags.String("version", "v0.1.0", "the tag that is played")
	if err := flags.Parse(args); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "taskiam-module-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, removeAll(work)) }()
	proxy := filepath.Join(work, "proxy")
	if err := writeModule(ctx, ".", "HEAD", *version, proxy); err != nil {
		return err
	}
	cache, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("asking for the cache of modules: %w", err)
	}
	downloads := filepath.Join(strings.TrimSpace(string(cache)), "cache", "download")
	bin := filepath.Join(work, "bin")
	program := modulePath + "/cmd/taskiam@" + *version
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", "-tags", buildTags, program)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOBIN="+bin,
		"GOMODCACHE="+filepath.Join(work, "modules"), "GOPROXY=file://"+proxy+",file://"+downloads, "GONOSUMDB=*")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go install: %w", err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "taskiam"), "version", "--json").Output()
	if err != nil {
		return fmt.Errorf("asking for the version: %w", err)
	}
	var doc struct{ Version, Build string }
	if err := json.Unmarshal(out, &doc); err != nil || doc.Version != *version || doc.Build != "module" {
		return fmt.Errorf("the program says that it is %s: %w", out, err)
	}
	fmt.Printf("go install %s works\n", program)
	return nil
}
