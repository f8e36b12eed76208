package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/command"
)

// Every command that help names has a page, which has all of its flags and its example; man(1) reads each without a
// complaint, where it is installed.
func TestManPages(t *testing.T) {
	t.Parallel()
	pages := ManPages()
	e, _, _ := testEnv(nil)
	want := 1 // taskiam.1
	var walk func([]*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, cmd := range visible(commands) {
			want++
			name := strings.ReplaceAll(cmd.HelpName, " ", "-") + ".1"
			text, ok := pages[name]
			if !ok {
				t.Errorf("there is no %s", name)
				continue
			}
			for _, term := range command.FlagTerms(cmd.Flags) {
				if !strings.Contains(text, "\n.B "+escaped(term[0])+"\n") {
					t.Errorf("%s has no %s", name, term[0])
				}
			}
			for line := range strings.Lines(strings.TrimSpace(cmd.UsageText)) {
				if !strings.Contains(text, escaped(strings.TrimSpace(line))) {
					t.Errorf("%s does not have its example: %s", name, line)
				}
			}
			walk(cmd.Subcommands)
		}
	}
	walk(newApp(e).Commands)
	if len(pages) != want {
		t.Errorf("there are %d pages, and not %d", len(pages), want)
	}
	man, err := exec.LookPath("man")
	if err != nil {
		t.Skip("man is not installed: how the pages look was not tried")
	}
	dir := t.TempDir()
	for name, text := range pages {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(man, "--warnings=all", "--local-file", file)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=100", "MANROFFSEQ=")
		var complaints strings.Builder
		cmd.Stderr = &complaints
		shown, err := cmd.Output()
		if err != nil {
			t.Skipf("man does not show a page here: %v %s", err, &complaints) // a minimal system keeps no groff
		}
		if complaints.Len() > 0 {
			t.Errorf("man complains of %s: %s", name, &complaints)
		}
		if name == "taskiam-run.1" && !strings.Contains(string(shown), "\n       taskiam run task.toml -- ") {
			t.Errorf("the example of run is not shown as it is typed:\n%s", shown)
		}
	}
}

// What troff takes for its own stays text.
func TestManPagesKeepText(t *testing.T) {
	t.Parallel()
	var p page
	p.exact(`a "quoted" ~/x` + "\n.5 'is' \\n^ `no` request --x")
	want := ".nf\na \\(dqquoted\\(dq \\(ti/x\n\\&.5 \\(aqis\\(aq \\en\\(ha \\(gano\\(ga request \\-\\-x\n.fi\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
