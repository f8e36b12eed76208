package cli

import (
	"context"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/view"
)

// The scripts are thin: they ask `taskiam __complete` for candidates, so that all
// three shells offer the same.
//
//go:embed completion
var completionScripts embed.FS

var shells = []string{"bash", "zsh", "fish"}

type completionOptions struct {
	shell string
}

func newCompletionCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:  "completion",
		Usage: "print a script that completes commands, flags and runs",
		UsageText: `source <(taskiam completion bash)       # in ~/.bashrc
source <(taskiam completion zsh)        # in ~/.zshrc, after compinit
taskiam completion fish | source        # in ~/.config/fish/config.fish`,
		ArgsUsage: "bash|zsh|fish",
		Action: action(parseCompletion, func(ctx context.Context, o completionOptions) error {
			return runCompletion(ctx, e, o)
		}),
	}
}

func parseCompletion(c *cli.Context) (completionOptions, error) {
	w := words(c)
	if len(w) != 1 || !slices.Contains(shells, w[0]) {
		return completionOptions{}, usage(c, "for which shell: %s?", view.OneOf(shells))
	}
	return completionOptions{shell: w[0]}, nil
}

func runCompletion(_ context.Context, e *Env, o completionOptions) error {
	script, err := completionScripts.ReadFile("completion/taskiam." + o.shell)
	if err != nil {
		return fault.New(fault.Usage, "there is no completion for %s", o.shell)
	}
	if _, err := e.Stdout.Programs().Write(script); err != nil {
		return fmt.Errorf("writing the script: %w", err)
	}
	return nil
}

// newCompleteCmd declares what the scripts call with the words so far, the last
// one unfinished. It prints a candidate a line, a tab and its description behind
// it, and a line ":files" where file names fit too.
func newCompleteCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:            "__complete",
		Hidden:          true,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			var b strings.Builder
			for _, line := range candidates(c.App, e.completionRuns, c.Args().Slice()) {
				b.WriteString(line + "\n")
			}
			_, err := io.WriteString(e.Stdout.Programs(), b.String())
			return err
		},
	}
}

const fileCandidates = ":files"

// candidates returns what the last of the words can become.
func candidates(app *cli.App, runs func() [][2]string, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	done, last := words[:len(words)-1], words[len(words)-1]
	commands, flags := app.Commands, app.Flags
	var cmd *cli.Command
	for i := 0; i < len(done); i++ {
		w := done[i]
		if w == "--" {
			return []string{fileCandidates}
		}
		if strings.HasPrefix(w, "-") {
			if cmd == nil || !command.TakesValue(cmd, w) {
				continue
			}
			if i == len(done)-1 {
				return values(cmd, w, last)
			}
			i++
			continue
		}
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(w) })
		if at < 0 {
			commands = nil // a positional argument; no command follows it
			continue
		}
		cmd = commands[at]
		commands, flags = cmd.Subcommands, cmd.Flags
	}

	var out []string
	add := func(word, about string) {
		if strings.HasPrefix(word, last) {
			out = append(out, word+"\t"+about)
		}
	}
	if strings.HasPrefix(last, "-") {
		flagNames(flags, add)
		return out
	}
	for _, c := range visible(commands) {
		add(c.Name, c.Usage)
	}
	if cmd == nil {
		return out
	}
	argumentWords(app, cmd, runs, add)
	if strings.Contains(cmd.ArgsUsage, "FILE") {
		out = append(out, fileCandidates)
	}
	return out
}

// enumerated are the flags whose value is one of a few words.
var enumerated = map[string][]string{
	flagFormat:  envFormats,
	flagExample: examples(),
	flagFor:     forClients,
	flagIsolate: {string(isolateNoNet)},
	flagCI:      ciNames(),
	flagTree:    manifest.TreeNames(),
}

// values returns what the value of a flag of cmd can be. A flag that is no name of a file has none.
func values(cmd *cli.Command, flag, last string) []string {
	name := strings.TrimLeft(flag, "-")
	if words, ok := enumerated[cmd.Flags[flagAt(cmd, name)].Names()[0]]; ok {
		return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.HasPrefix(w, last) })
	}
	return []string{fileCandidates}
}

// flagAt returns which flag of cmd has the name; it has one.
func flagAt(cmd *cli.Command, name string) int {
	return slices.IndexFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// flagNames adds the names of flags, with what each is for.
func flagNames(flags []cli.Flag, add func(word, about string)) {
	for _, f := range flags {
		about := ""
		if doc, ok := f.(cli.DocGenerationFlag); ok {
			about = strings.ReplaceAll(doc.GetUsage(), "`", "")
		}
		for _, n := range f.Names() {
			if len(n) > 1 {
				add("--"+n, about)
			}
			if _, optional := f.(*cli.GenericFlag); optional {
				for _, value := range enumerated[n] {
					add("--"+n+"="+value, about)
				}
			}
		}
	}
}

// argumentWords adds the words that a command takes as an argument.
func argumentWords(app *cli.App, cmd *cli.Command, runs func() [][2]string, add func(word, about string)) {
	if strings.Contains(cmd.ArgsUsage, "RUN") {
		for _, run := range runs() {
			add(run[0], run[1])
		}
	}
	if cmd.Name == "completion" {
		for _, s := range shells {
			add(s, "")
		}
	}
	if cmd.Name == "help" {
		for _, c := range visible(app.Commands) {
			add(c.Name, c.Usage)
		}
	}
}
