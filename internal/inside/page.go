package inside

import (
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/internal/visible"
)

// page is help in lines of 80 columns. All of its text is our own.
type page struct{ strings.Builder }

// columns is how wide help is; the meanings of names begin at indent.
const (
	columns = 80
	indent  = 22
)

func (p *page) Line(format string, args ...any) { p.Text(fmt.Sprintf(format, args...)) }

func (p *page) Text(text string) { p.WriteString(visible.Text(text) + "\n") }

// Prose adds text that is wrapped where it is written.
func (p *page) Prose(text string) { p.Text(strings.TrimSpace(text)) }

func (p *page) Terms(terms [][2]string) {
	for _, t := range terms {
		line := fmt.Sprintf("  %-*s", indent-2, t[0])
		if len(t[0]) > indent-4 {
			p.Text(line)
			line = strings.Repeat(" ", indent)
		}
		for word := range strings.FieldsSeq(t[1]) {
			if len(line)+len(" ")+len(word) > columns {
				p.Text(line)
				line = strings.Repeat(" ", indent)
			}
			if len(strings.TrimRight(line, " ")) > indent {
				line += " "
			}
			line += word
		}
		p.Text(line)
	}
}
