package view

import (
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/clipperhouse/displaywidth"

	"github.com/taskiam/taskiam/internal/lazy"
)

// widestLabel is how wide the labels of a list of two columns may be.
const widestLabel = 12

// gap is how many spaces are between two columns of a table.
const gap = 2

// command finds where a command begins that is to be pasted: at the beginning of a text or after a colon. It goes to
// the end, and is never broken, whatever the width.
var command = lazy.Regexp(`(?:^|[:;] )((?:taskiam|gcloud|bq|gsutil|curl|eval|export|sudo|git|docker|chmod|rm) )`)

// fold breaks a line at spaces so that no part is wider than the width, where words allow that. The parts after the
// first begin under its text, or two columns further in if it is no list. A word, such as a name or an address, and a
// command are never broken.
func fold(line string, width int) []string {
	if width <= 0 || displaywidth.String(line) <= width {
		return []string{line}
	}
	text := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(text)]
	last := ""
	if at := command().FindStringSubmatchIndex(text); at != nil {
		text, last = strings.TrimRight(text[:at[2]], " "), text[at[2]:]
	}
	words := strings.Split(text, " ")
	if text == "" {
		words = nil
	}
	if last != "" {
		words = append(words, last)
	}
	var out []string
	part := indent
	for i, word := range words {
		switch {
		case i == 0:
			part += word
		case displaywidth.String(part)+1+displaywidth.String(word) <= width:
			part += " " + word
		default:
			out = append(out, part)
			part = indent + "  " + word
		}
	}
	return append(out, part)
}

// foldAll breaks each line of a text.
func foldAll(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		for _, part := range fold(strings.TrimSuffix(line, "\n"), width) {
			b.WriteString(part + "\n")
		}
	}
	return b.String()
}

// table returns rows in aligned columns. If that is wider than the width, cells are broken at spaces; and if even the
// longest words do not fit beside each other, each row becomes a block of lines.
func table(rows [][]string, width int) string {
	aligned := align(rows)
	if width <= 0 || widestOf(aligned) <= width {
		return aligned
	}
	columns, fits := fitColumns(rows, width)
	if !fits {
		return blocks(rows, width)
	}
	var b strings.Builder
	for _, row := range rows {
		cells, height := make([][]string, len(row)), 0
		for i, cell := range row {
			cells[i] = foldCell(cell, columns[i])
			height = max(height, len(cells[i]))
		}
		for line := range height {
			text := ""
			for i := range cells {
				part := ""
				if line < len(cells[i]) {
					part = cells[i][line]
				}
				text += part + strings.Repeat(" ", max(0, columns[i]-displaywidth.String(part))+gap)
			}
			b.WriteString(strings.TrimRight(text, " ") + "\n")
		}
	}
	return b.String()
}

// fitColumns returns how wide each column is to be, so that the rows fit the width: the widest give way first. It
// reports false if their longest words do not fit.
func fitColumns(rows [][]string, width int) ([]int, bool) {
	columns := 0
	for _, row := range rows {
		columns = max(columns, len(row))
	}
	natural, least := make([]int, columns), make([]int, columns)
	for _, row := range rows {
		for i, cell := range row {
			natural[i] = max(natural[i], displaywidth.String(cell))
			least[i] = max(least[i], widestWord(cell))
		}
	}
	room, widths := width-gap*(columns-1), slices.Clone(natural)
	for sum(widths) > room {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			if columns == 2 && natural[0] <= widestLabel { // a long word stands out, and the labels stay in line
				return []int{natural[0], max(room-natural[0], 1)}, true
			}
			return nil, false
		}
		widths[widest]--
	}
	return widths, true
}

// foldCell breaks a cell so that each part fits its column; the parts keep the indent of the first.
func foldCell(cell string, width int) []string {
	indent := cell[:len(cell)-len(strings.TrimLeft(cell, " "))]
	var out []string
	part := ""
	for word := range unbroken(cell) {
		switch {
		case part == "":
			part = indent + word
		case displaywidth.String(part)+1+displaywidth.String(word) <= width:
			part += " " + word
		default:
			out = append(out, part)
			part = indent + word
		}
	}
	return append(out, part)
}

// unbroken yields the words of a cell; a command is one word, and so is a + with what follows it.
func unbroken(cell string) func(yield func(string) bool) {
	text, last := strings.TrimLeft(cell, " "), ""
	if at := command().FindStringSubmatchIndex(text); at != nil {
		text, last = text[:at[2]], text[at[2]:]
	}
	return func(yield func(string) bool) {
		mark := ""
		for word := range strings.FieldsSeq(text) {
			if word == "+" {
				mark += "+ "
				continue
			}
			if !yield(mark + word) {
				return
			}
			mark = ""
		}
		if mark = strings.TrimRight(mark, " "); mark != "" && !yield(mark) {
			return
		}
		if last != "" {
			yield(last)
		}
	}
}

func widestWord(cell string) int {
	indent, widest := len(cell)-len(strings.TrimLeft(cell, " ")), 0
	for word := range unbroken(cell) {
		widest = max(widest, indent+displaywidth.String(word))
	}
	return widest
}

// blocks returns each row as a line and the rest of its cells below it, with the names of their columns if the first
// row has them.
func blocks(rows [][]string, width int) string {
	var b strings.Builder
	var names []string
	if header(rows[0]) && len(rows) > 1 {
		names, rows = rows[0], rows[1:]
	}
	for _, row := range rows {
		first := row[0]
		indent := first[:len(first)-len(strings.TrimLeft(first, " "))] + "    "
		b.WriteString(foldAll(first+"\n", width))
		for i, cell := range row[1:] {
			if cell == "" || cell == "-" {
				continue
			}
			if i+1 < len(names) {
				cell = strings.ToLower(names[i+1]) + ": " + cell
			}
			b.WriteString(foldAll(indent+cell+"\n", width))
		}
	}
	return b.String()
}

// header reports whether a row names columns: in capital letters.
func header(row []string) bool {
	for _, cell := range row {
		if cell == "" || cell != strings.ToUpper(cell) || cell == strings.ToLower(cell) {
			return false
		}
	}
	return true
}

// align returns rows as they are where there is room for all of them.
func align(rows [][]string) string {
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, gap, ' ', 0)
	for _, row := range rows {
		_, _ = tab.Write([]byte(strings.Join(row, "\t") + "\n")) // a strings.Builder takes everything
	}
	_ = tab.Flush()
	return b.String()
}

func widestOf(text string) int {
	widest := 0
	for line := range strings.Lines(text) {
		widest = max(widest, displaywidth.String(strings.TrimRight(line, " \n")))
	}
	return widest
}

func sum(numbers []int) int {
	total := 0
	for _, n := range numbers {
		total += n
	}
	return total
}

// graded finds the word at the beginning of a line that says how grave the line is.
var graded = lazy.Regexp(`(?m)^(?:    (stop|warn|note) [a-z]|  (problem|warning|ok) +[^ ]|taskiam: (error|warning):|` +
	`(NOT ALL [A-Z]+|MAY NEVER EXPIRE|NO SERVER):)`)

// colours are the sequences for the words that [graded] finds; the others are as red as an error.
var colours = map[string]string{
	"warn": "\x1b[33m", "warning": "\x1b[33m", "note": "\x1b[36m", "ok": "\x1b[32m",
}

// paint colours the words that say how grave a line is. The words stay: colour alone says nothing.
func paint(text safe) safe {
	return safe(graded().ReplaceAllStringFunc(string(text), func(found string) string {
		for _, word := range graded().FindStringSubmatch(found + "x")[1:] {
			if word != "" {
				colour, ok := colours[word]
				if !ok {
					colour = "\x1b[31m"
				}
				return strings.Replace(found, word, colour+word+"\x1b[0m", 1)
			}
		}
		return found
	}))
}
