package cli

import (
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/view"
)

// ManPages returns the manual in the language of man(7), by the names of its files: taskiam.1, and a page for each
// command that people call. It says what help says. The generator of the library is not used: it makes one page of
// the whole tree, takes what is set in columns apart, and is not in programs that are built as releases are.
func ManPages() map[string]string {
	nowhere := view.NewStream(io.Discard)
	tree := newApp(&Env{
		Stdout: nowhere, Stderr: nowhere, World: app.World{Getenv: func(string) string { return "" }},
	})
	pages := map[string]string{"taskiam.1": appPage(tree)}
	var walk func(commands []*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, cmd := range visible(commands) {
			pages[pageName(cmd)+".1"] = commandPage(cmd)
			walk(cmd.Subcommands)
		}
	}
	walk(tree.Commands)
	return pages
}

// pageName is under what name man finds the page of a command.
func pageName(cmd *cli.Command) string { return strings.ReplaceAll(cmd.HelpName, " ", "-") }

func appPage(app *cli.App) string {
	var p page
	p.begin(app.Name, app.Usage)
	p.section("SYNOPSIS")
	p.synopsis(app.Name, app.ArgsUsage)
	p.section("DESCRIPTION")
	p.prose(app.Description)
	p.section("COMMANDS")
	p.commands(app.Commands)
	p.section("ENVIRONMENT")
	p.terms(environment)
	p.section("EXAMPLES")
	p.exact(app.UsageText)
	p.section("SEE ALSO")
	p.line("https://github.com/taskiam/taskiam")
	return p.String()
}

func commandPage(cmd *cli.Command) string {
	var p page
	p.begin(pageName(cmd), cmd.Usage)
	p.section("SYNOPSIS")
	p.synopsis(cmd.HelpName, "[flags] "+cmd.ArgsUsage)
	if len(cmd.Aliases) > 0 {
		p.paragraph("Also: " + strings.Join(cmd.Aliases, ", "))
	}
	if cmd.Description != "" {
		p.section("DESCRIPTION")
		p.prose(cmd.Description)
	}
	if len(cmd.Subcommands) > 0 {
		p.section("COMMANDS")
		p.commands(cmd.Subcommands)
	}
	p.section("OPTIONS")
	p.terms(command.FlagTerms(cmd.Flags))
	if cmd.UsageText != "" {
		p.section("EXAMPLES")
		p.exact(cmd.UsageText)
	}
	p.section("SEE ALSO")
	above := "taskiam"
	if words := strings.Fields(cmd.HelpName); len(words) > 2 {
		above = strings.Join(words[:len(words)-1], "-")
	}
	p.reference(above)
	return p.String()
}

// page is a page of the manual that is being written.
type page struct{ strings.Builder }

// begin writes the title and what whatis(1) shows; words are not broken, nor lines spread. A date would differ from
// build to build.
func (p *page) begin(name, about string) {
	p.WriteString(`.TH "` + strings.ToUpper(escaped(name)) + `" 1 "" taskiam "User Commands"` + "\n.ad l\n.nh\n")
	p.section("NAME")
	p.line(name + " - " + about)
}

func (p *page) section(name string) { p.WriteString(".SH " + name + "\n") }

func (p *page) synopsis(name, arguments string) {
	p.WriteString(".B " + escaped(name) + "\n")
	p.line(strings.TrimSpace(arguments))
}

func (p *page) commands(commands []*cli.Command) {
	for _, cmd := range visible(commands) {
		p.WriteString(".TP\n")
		p.reference(pageName(cmd))
		p.line(cmd.Usage)
	}
}

func (p *page) terms(terms [][2]string) {
	for _, term := range terms {
		p.WriteString(".TP\n.B " + escaped(term[0]) + "\n")
		p.line(term[1])
	}
}

func (p *page) reference(name string) { p.WriteString(".BR " + escaped(name) + " (1)\n") }

func (p *page) paragraph(text string) {
	p.WriteString(".PP\n")
	p.line(text)
}

// prose writes paragraphs. As in help, lines that begin with a space are kept as they are.
func (p *page) prose(text string) {
	exact := false
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		if begins := strings.HasPrefix(line, " "); begins != exact && line != "" {
			p.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[begins])
			exact = begins
		}
		if line == "" {
			p.WriteString(".PP\n")
			continue
		}
		p.line(line)
	}
	if exact {
		p.WriteString(".fi\n")
	}
}

// exact writes lines that can be pasted.
func (p *page) exact(text string) {
	p.WriteString(".nf\n")
	for line := range strings.Lines(strings.TrimSpace(text)) {
		p.line(strings.TrimRight(line, "\n"))
	}
	p.WriteString(".fi\n")
}

func (p *page) line(text string) { p.WriteString(escaped(text) + "\n") }

// inRoff are the characters that troff reads as its own, or shows as others that a shell does not know.
var inRoff = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`,
	`"`, `\(dq`)

func escaped(text string) string {
	text = inRoff.Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text
	}
	return text
}
