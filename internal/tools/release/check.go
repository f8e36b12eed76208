package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// checkOptions are those of `release check`.
type checkOptions struct {
	goreleaser string // the program
	version    string // of the release that is played, if the last commit has no tag
	keep       string // where the files go in the end
	cold       bool   // the second build compiles everything anew
}

// check builds the last commit twice as a release, from two clones in different folders, compares every file, and
// looks at what is in them. Nothing is published: the clones' remote is a repository beside them.
func check(ctx context.Context, args []string) (err error) {
	var o checkOptions
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.StringVar(&o.goreleaser, "goreleaser", "goreleaser", "the program")
	flags.StringVar(&o.version, "version", "v0.1.0", "the tag that is played")
	flags.StringVar(&o.keep, "keep", "", "copy the files of the first build into this new folder")
	flags.BoolVar(&o.cold, "cold", false, "compile everything twice")
	if err := flags.Parse(args); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "taskiam-release-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, removeAll(work)) }()
	builds, commit, err := clones(ctx, o, work)
	if err != nil {
		return err
	}
	for i, dir := range builds {
		env := os.Environ()
		if i > 0 {
			// Another home, clock zone, user and language leave no trace either.
			env = append(env, "TZ=Asia/Tokyo", "LC_ALL=C", "USER=somebody", "LOGNAME=somebody")
			if o.cold {
				env = append(env, "GOCACHE="+filepath.Join(work, "cache"))
			}
		}
		fmt.Printf("build %d of %d\n", i+1, len(builds))
		cmd := exec.CommandContext(ctx, o.goreleaser, "release", "--clean", "--skip=publish,announce")
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("building a release in %s: %w", dir, err)
		}
	}
	first, second := filepath.Join(builds[0], "dist"), filepath.Join(builds[1], "dist")
	if err := errors.Join(same(first, second), examine(ctx, builds[0], o.version, commit)); err != nil {
		return err
	}
	if o.keep != "" {
		if err := os.CopyFS(o.keep, os.DirFS(first)); err != nil {
			return fmt.Errorf("keeping the files: %w", err)
		}
	}
	fmt.Println("both builds are the same, and they have what a release has")
	return nil
}

// removeAll removes a folder with module caches in it, which are read-only.
func removeAll(dir string) error {
	walked := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(walked, os.RemoveAll(dir))
}

// clones makes a bare repository with the last commit, tagged, and two clones of it.
func clones(ctx context.Context, o checkOptions, work string) (dirs []string, commit string, err error) {
	origin := filepath.Join(work, "origin.git")
	commit, err = git(ctx, ".", "rev-parse", "HEAD")
	if err != nil {
		return nil, "", err
	}
	if changed, err := git(ctx, ".", "status", "--porcelain"); err != nil {
		return nil, "", err
	} else if changed != "" {
		fmt.Fprintln(os.Stderr, "release: what is not committed is left out")
	}
	if _, err := git(ctx, ".", "clone", "--quiet", "--bare", "--no-tags", ".", origin); err != nil {
		return nil, "", err
	}
	if _, err := git(ctx, origin, "tag", o.version, commit); err != nil {
		return nil, "", err
	}
	dirs = []string{filepath.Join(work, "one"), filepath.Join(work, "two", "in another", "folder")}
	for _, dir := range dirs {
		quiet := []string{"-c", "advice.detachedHead=false", "clone", "--quiet"}
		if _, err := git(ctx, ".", append(quiet, "--branch", o.version, origin, dir)...); err != nil {
			return nil, "", err
		}
	}
	return dirs, commit, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
