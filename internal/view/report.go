package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/visible"
)

// Report gathers what a command prints for people: lines, and tables in aligned columns. How wide it may be is known
// when it is printed. The zero value is empty.
type Report struct {
	parts []func(width int) string // each gives whole lines; a width of 0 is as wide as they are
	rows  [][]string               // of the table that is being added
}

// Row adds one line of cells, aligned with the rows around it.
func (r *Report) Row(cells ...string) {
	for i, c := range cells {
		cells[i] = visible.Line(redact(c))
	}
	r.rows = append(r.rows, cells)
}

// add adds lines, and ends the table before them.
func (r *Report) add(lines func(width int) string) {
	if rows := r.rows; len(rows) > 0 {
		r.rows = nil
		r.parts = append(r.parts, func(width int) string { return table(rows, width) })
	}
	if lines != nil {
		r.parts = append(r.parts, lines)
	}
}

// Line adds one line, and ends the table before it. An argument cannot begin another line: it may
// come from a policy, from Google or from a file.
func (r *Report) Line(format string, args ...any) { r.Text(fmt.Sprintf(format, inline(args)...)) }

// inline returns the arguments of a format so that none of them can begin another line or move the cursor.
func inline(args []any) []any {
	safe := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case bool, int, int64:
			safe[i] = a
		default:
			safe[i] = inlined{a}
		}
	}
	return safe
}

// inlined is an argument of a format, and is written on one line whatever is in it.
type inlined struct{ any }

// Format writes the argument as the verb says.
func (v inlined) Format(f fmt.State, verb rune) {
	// A fmt.State takes everything.
	_, _ = io.WriteString(f, visible.Line(redact(fmt.Sprintf(fmt.FormatString(f, verb), v.any))))
}

// Text adds lines of our own, and ends the table before them.
func (r *Report) Text(text string) {
	r.add(func(width int) string { return foldAll(text+"\n", width) })
}

// Exact adds lines that are to be pasted or run, and are never broken.
func (r *Report) Exact(format string, args ...any) {
	text := fmt.Sprintf(format, inline(args)...) + "\n"
	r.add(func(int) string { return text })
}

// maxIndent is where the second column of help begins at the latest.
const maxIndent = 30

// page returns how wide help is.
func page(width int) int {
	if width <= 0 {
		return plainWidth
	}
	return width
}

// Terms adds names and what they mean in two columns, wrapped to the width, which is 80 where there is none.
func (r *Report) Terms(terms [][2]string) {
	r.add(func(width int) string {
		var b strings.Builder
		indent := 0
		for _, t := range terms {
			if n := len("  " + t[0] + "  "); n <= min(maxIndent, page(width)/2) {
				indent = max(indent, n)
			}
		}
		for _, t := range terms {
			line := "  " + t[0]
			if len(line)+2 > indent {
				b.WriteString(line + "\n")
				line = ""
			}
			for _, text := range wrap(t[1], page(width)-indent) {
				fmt.Fprintf(&b, "%-*s%s\n", indent, line, text)
				line = ""
			}
		}
		return b.String()
	})
}

// Prose adds paragraphs of our own, each wrapped to the width, which is 80 where there is none. A line that begins
// with a space stays as it is.
func (r *Report) Prose(text string) {
	var paragraph []string
	flush := func() {
		if words := strings.Join(paragraph, " "); words != "" {
			r.add(func(width int) string { return strings.Join(wrap(words, page(width)), "\n") + "\n" })
		}
		paragraph = nil
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" || line[0] == ' ' {
			flush()
			r.Text(line)
		} else {
			paragraph = append(paragraph, line)
		}
	}
	flush()
}

// wrap breaks text at spaces into lines of at most width characters, where words allow that.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// String returns the text as it is where no width is known, without spaces at the ends of lines.
func (r *Report) String() string { return r.render(0) }

// render returns the text in lines no wider than the width, as far as their words and commands allow.
func (r *Report) render(width int) string {
	r.add(nil)
	var b strings.Builder
	for _, part := range r.parts {
		for line := range strings.Lines(part(width)) {
			b.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	return b.String()
}

// Print writes the report for people.
func (r *Report) Print(to *Stream) error {
	if err := to.say(r.render(to.form.fold())); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// Say writes the report as a message: every line of it with the prefix.
func (r *Report) Say(to *Stream) { say(to, r.render(max(0, to.form.fold()-len(prefix)))) }

// Span writes a length of time as people say it: 850ms, 2.4s, 1h30m.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	if d >= 10*time.Minute {
		return grants.Span(d.Round(time.Minute))
	}
	return grants.Span(d.Round(time.Second))
}

// Moment writes a point in time.
func Moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func momentOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return Moment(*t)
}

// at returns a time for a document; nil for the zero time.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// list returns words as a document has them: never null.
func list(words []string) []string { return append([]string{}, words...) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// OneOf joins words as people do: a, b or c.
func OneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return fmt.Sprintf("%s or %s", strings.Join(words[:len(words)-1], ", "), words[len(words)-1])
}
