package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/tasks"
)

// block is one block of a document: between fences, or indented by four columns.
type block struct {
	file string // from the top of the repository
	line int
	kind string // what the fence says; "" if it says nothing, or of an indented one
	made bool   // a generator writes it, and the tests compare
	text string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// proved are the blocks that a test of their own holds to the code. They are found by how they begin.
var proved = []struct{ file, begins, test, in string }{
	{"docs/isolation.md", "taskiam: what the command changed in the work tree", "TestIsolatedReview", "cmd/taskiam/isolate_review_test.go"},
	{"README.md", "A task on an emulator of Google Cloud", "TestDemo", "cmd/taskiam/hold_secrets_test.go"},
	{"CONTRIBUTING.md", "cmd/taskiam/ ", "TestMapOfPackages", "internal/arch/drift_test.go"},
	{"docs/ci.md", ". ci/shell/taskiam.sh", "TestCIShell", "cmd/taskiam/ci_test.go"},
	{"docs/install.md", "v=0.1.0", "TestInstallLines", "internal/tools/release/install_test.go"},
	{"docs/plan.md", "ways out of the closed network", "TestWaysOutAreAsInTheDocs", "internal/view/wayout_test.go"},
	{"docs/manifest.md", "version = 1", "TestReference", "internal/manifest/docs_test.go"},
	{"docs/manifest.md", "# ~/.config/taskiam", "TestReference", "internal/manifest/docs_test.go"},
	{"docs/manifest.md", "task.toml:2:1:", "TestReference", "internal/manifest/docs_test.go"},
}

// unproved are the commands beside taskiam's own that nothing here can run, by how they begin.
var unproved = []struct{ file, begins, why string }{
	{"README.md", "gcloud auth application-default login", "asks a person to log in to Google"},
	{"docs/clients.md", "gcloud iam service-accounts list --project", "TestClients runs gcloud's commands"},
	{"docs/install.md", "brew install", "needs macOS, and the tap"},
	{"docs/install.md", "podman run", "make images-check runs the images"},
	{"docs/install.md", "gh attestation verify", "needs GitHub"},
	{"docs/install.md", "cosign verify-blob", "needs what GitHub has signed"},
	{"docs/isolation.md", "docker run", "needs Docker and an image"},
	{"docs/isolation.md", "id -u", "is the system's own"},
	{"docs/isolation.md", "sbx ", "needs Docker's sandboxes"},
	{"docs/isolation.md", "chmod 600", "is the system's own"},
}

// TestDocuments looks at every block of every document: it shows what a test holds to the code, what a real run prints,
// what the parser that it is for accepts, or commands that exist. A block of which nothing is known fails.
func TestDocuments(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	blocks := documentBlocks(t)
	if len(blocks) < 60 {
		t.Errorf("only %d blocks were found", len(blocks))
	}
	d := &documentTest{flags: map[string]string{}}
	d.held(t, blocks)
	shared := newStage(t)
	var calls []block // of the emulator's API
	for _, b := range blocks {
		switch {
		case b.made, provedBy(b) != "":
		case strings.HasPrefix(b.text, "$ "):
			t.Run(b.String(), func(t *testing.T) { showsARun(t, b, shared) })
		case b.file == "docs/emulator.md" && b.kind == "toml":
			t.Run(b.String(), func(t *testing.T) {
				t.Parallel()
				isASeed(t, b)
			})
		case b.kind == "go":
			isTested(t, b)
		case b.file == "docs/emulator.md":
			calls = append(calls, b)
		case b.kind == "yaml":
			d.isForCI(t, b)
		case strings.HasPrefix(b.text, "# The task of `taskiam demo`"):
			if want, _ := tasks.Files.ReadFile("demo.toml"); b.text != string(want) {
				t.Errorf("%s is not tasks/demo.toml", b)
			}
		case b.kind == "" || b.kind == "sh":
			d.haveCommands(t, b.file, b.String(), b.text)
		default:
			t.Errorf("%s: nothing checks this block: prove it, or say in proved who does", b)
		}
	}
	t.Run("the emulator's API", func(t *testing.T) {
		t.Parallel()
		areAnswered(t, calls)
	})
	for claim, holds := range map[string]func(*testing.T){
		"SECURITY.md on refused roles": refusesRoles, "doctor --help": doctorLooks, "docs/plan.md on what is kept": keepsRoles,
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			holds(t)
		})
	}
	d.inline(t)
	for _, u := range unproved {
		if !d.used[u.file+u.begins] {
			t.Errorf("%s has no command any more that begins with %q", u.file, u.begins)
		}
	}
}

// documentTest remembers what help says of commands, and which rows of unproved were of use.
type documentTest struct {
	flags map[string]string
	used  map[string]bool
}

// held checks that the tests of proved are there, and that each is of use.
func (d *documentTest) held(t *testing.T, blocks []block) {
	t.Helper()
	d.used = map[string]bool{}
	for _, p := range proved {
		if source := fileOf(t, p.in); !strings.Contains(source, "func "+p.test+"(") {
			t.Errorf("%s has no %s", p.in, p.test)
		}
		if !slices.ContainsFunc(blocks, func(b block) bool {
			return b.file == p.file && strings.HasPrefix(b.text, p.begins)
		}) {
			t.Errorf("%s has no block that begins with %q", p.file, p.begins)
		}
	}
}

func provedBy(b block) string {
	for _, p := range proved {
		if b.file == p.file && strings.HasPrefix(b.text, p.begins) {
			return p.test
		}
	}
	return ""
}

func fileOf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	must(t, err)
	return string(b)
}

// documentFiles are the texts for people, from the top of the repository; CHANGELOG.md tells what was.
func documentFiles(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob("../../docs/*.md")
	must(t, err)
	files := []string{"README.md", "SECURITY.md", "CONTRIBUTING.md"}
	for _, doc := range docs {
		files = append(files, "docs/"+filepath.Base(doc))
	}
	return files
}

func documentBlocks(t *testing.T) []block {
	t.Helper()
	var all []block
	for _, file := range documentFiles(t) {
		all = append(all, blocksOf(file, fileOf(t, file))...)
	}
	return all
}

var fence = regexp.MustCompile("^ *```(\\w*)$")

func blocksOf(file, text string) []block {
	var all []block
	lines := strings.Split(text, "\n")
	indented := func(i int) bool { return strings.HasPrefix(lines[i], "    ") }
	for i := 0; i < len(lines); i++ {
		b := block{file: file, line: i + 1}
		if m := fence.FindStringSubmatch(lines[i]); m != nil {
			b.kind, b.made = m[1], strings.Contains(lines[max(i-1, 0)], ": made by go generate ")
			for i++; i < len(lines) && fence.FindString(lines[i]) == ""; i++ {
				b.text += lines[i] + "\n"
			}
			all = append(all, b)
		} else if indented(i) && i > 0 && lines[i-1] == "" {
			for ; i < len(lines) && (indented(i) || lines[i] == ""); i++ {
				b.text += strings.TrimPrefix(lines[i], "    ") + "\n"
			}
			b.text = strings.TrimRight(b.text, "\n") + "\n"
			all = append(all, b)
		}
	}
	return all
}

// haveCommands fails on a command of a text for a shell that does not exist: taskiam's with their flags by its own
// help, make's by the Makefile. The others need a row in unproved.
func (d *documentTest) haveCommands(t *testing.T, file, where, text string) {
	t.Helper()
	for _, words := range shellCommands(text) {
		switch line := strings.Join(words, " "); words[0] {
		case "taskiam":
			if err := d.exists(t, words); err != nil {
				t.Errorf("%s: %s: %v", where, line, err)
			}
		case "make":
			for _, target := range words[1:] {
				if !strings.Contains(target, "=") && !strings.Contains(fileOf(t, "Makefile"), "\n"+target+":") {
					t.Errorf("%s: make has no %s", where, target)
				}
			}
		case "go":
			for _, word := range words[1:] {
				if dir, ok := strings.CutPrefix(word, "./"); ok {
					if _, err := os.Stat(filepath.Join("..", "..", dir)); err != nil {
						t.Errorf("%s: %s: %v", where, line, err)
					}
				}
			}
		case "eval":
		default:
			known := false
			for _, u := range unproved {
				if u.file == file && strings.HasPrefix(line, u.begins) {
					known = true
					d.used[u.file+u.begins] = true
				}
			}
			if !known {
				t.Errorf("%s: nothing checks %q: say in unproved why not", where, line)
			}
		}
	}
}

// exists reports what help does not know of a command line.
func (d *documentTest) exists(t *testing.T, words []string) error {
	t.Helper()
	if i := slices.Index(words, "--"); i > 0 {
		words = words[:i]
	}
	names, command := words[:1], "taskiam"
	if len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		names, command = words[:2], "taskiam "+words[1]
		if len(words) > 2 && words[1] == "emulator" && !strings.HasPrefix(words[2], "-") {
			names, command = words[:3], command+" "+words[2]
		}
	}
	help, known := d.flags[command]
	if !known {
		s := &stage{t: t, dir: t.TempDir(), vars: map[string]string{"PATH": os.Getenv("PATH"), "GORACE": raceOptions}}
		o := s.taskiam(append(slices.Clone(names[1:]), "--help")...)
		if o.code != 0 {
			return fmt.Errorf("taskiam says: %s", o.stderr)
		}
		help = o.stdout + "\n--version "
		d.flags[command] = help
	}
	for _, word := range words[len(names):] {
		name, _, _ := strings.Cut(word, "=")
		flag := regexp.MustCompile(`[\s,]` + regexp.QuoteMeta(name) + `[\s,=\[]`)
		if strings.HasPrefix(name, "-") && len(name) > 1 && !flag.MatchString(help) {
			return fmt.Errorf("%s has no flag %s", command, name)
		}
	}
	return nil
}

var codeSpan = regexp.MustCompile("`((?:eval \"\\$\\()?taskiam [^`]+)`")

// inline looks at the commands in the running text, too.
func (d *documentTest) inline(t *testing.T) {
	t.Helper()
	found := 0
	for _, file := range documentFiles(t) {
		for _, m := range codeSpan.FindAllStringSubmatch(fileOf(t, file), -1) {
			found++
			for _, words := range shellCommands(strings.Join(strings.Fields(m[1]), " ")) {
				if words[0] != "taskiam" || len(words) > 1 && strings.HasPrefix(words[1], "RUN") {
					continue // `taskiam RUN` is the title of a condition
				}
				if err := d.exists(t, words); err != nil {
					t.Errorf("%s: `%s`: %v", file, m[1], err)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d commands were found in the text", found)
	}
}

// shellCommands returns the simple commands of a text for a shell, those in substitutions too, each by its words.
// Assignments before a command, comments and redirections are left out.
func shellCommands(text string) [][]string {
	s := &shellText{text: strings.ReplaceAll(text, `"$(command -v taskiam)"`, "taskiam")}
	s.list("")
	return s.all
}

type shellText struct {
	text string
	at   int
	all  [][]string
}

// list reads commands up to one of the characters in end, or to the end of the text.
func (s *shellText) list(end string) {
	var words []string
	word, begun, redirected := "", false, false
	finish := func() {
		assigns := len(words) == 0 && regexp.MustCompile(`^\w+=`).MatchString(word)
		if begun && !redirected && !assigns {
			words = append(words, word)
		}
		if begun {
			redirected = false
		}
		word, begun = "", false
	}
	command := func() {
		finish()
		if len(words) > 0 {
			s.all = append(s.all, words)
		}
		words = nil
	}
	defer command()
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case strings.IndexByte(end, c) >= 0:
			return
		case strings.HasPrefix(s.text[s.at-1:], "\\\n"):
			s.at++
			finish()
		case (c == '$' || c == '<') && strings.HasPrefix(s.text[s.at:], "("):
			s.at++
			s.list(")")
			word, begun = word+"$()", true
		case c == '\'':
			quoted, _, _ := strings.Cut(s.text[s.at:], "'")
			s.at += len(quoted) + 1
			word, begun = word+quoted, true
		case c == '"':
			word, begun = word+s.quoted(), true
		case c == ' ' || c == '\t':
			finish()
		case strings.IndexByte("\n;&|", c) >= 0:
			command()
		case c == '>':
			finish()
			redirected = true
		case c == '#' && !begun:
			comment, _, _ := strings.Cut(s.text[s.at:], "\n")
			s.at += len(comment)
		default:
			word, begun = word+string(c), true
		}
	}
}

// quoted reads what is between double quotes.
func (s *shellText) quoted() string {
	out := ""
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		if c == '"' {
			break
		}
		if c == '$' && strings.HasPrefix(s.text[s.at:], "(") {
			s.at++
			s.list(")")
		}
		out += string(c)
	}
	return out
}
