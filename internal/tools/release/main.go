// Command release makes what the files of a release contain beside the program, and examines finished releases.
//
//	release assets DIR                manual pages and the licences of what is linked
//	release check -goreleaser FILE    builds the last commit twice, in different folders, and compares all files
//	release module                    installs the module by go install, from a folder as a proxy
//	release serve -dir DIST           stands for the server of releases, in packaging/install-check.sh
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/taskiam/taskiam/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, []string) error{
		"assets": assets, "check": check, "module": install, "serve": serve,
	}
	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			return command(ctx, args[1:])
		}
	}
	return errors.New("the first word is assets, check, module or serve")
}

// noticesFile is the name of the licences of what is linked.
const noticesFile = "THIRD_PARTY_NOTICES.txt"

// assets writes the files that goreleaser puts beside the program into a folder, which is made anew.
func assets(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("assets", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return errors.Join(err, errors.New("assets takes a folder"))
	}
	dir := flags.Arg(0)
	man := filepath.Join(dir, "man")
	if err := errors.Join(os.RemoveAll(man), os.MkdirAll(man, 0o755)); err != nil {
		return fmt.Errorf("making the folder of the manual: %w", err)
	}
	for name, text := range cli.ManPages() {
		if err := os.WriteFile(filepath.Join(man, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing the manual: %w", err)
		}
	}
	there, err := existing(".", programs)
	if err != nil {
		return err
	}
	text, err := notices(ctx, there)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, noticesFile), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the licences: %w", err)
	}
	return nil
}

// programs are what a release contains. One that is not written yet has no licences to name.
var programs = []string{"cmd/taskiam", "cmd/taskiam-inside"}

// existing returns those programs that there are, as the go command names them.
func existing(root string, programs []string) ([]string, error) {
	var there []string
	for _, p := range programs {
		_, err := os.Stat(filepath.Join(root, p, "main.go"))
		switch {
		case err == nil:
			there = append(there, "./"+p)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("looking for the programs: %w", err)
		}
	}
	if len(there) == 0 {
		return nil, errors.New("there is no program here; run this from the root of the repository")
	}
	return there, nil
}
