package manifest

import (
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
)

// Block returns a grant as it is written in a manifest: a [[grant]] with its lines.
func Block(g grants.Grant) string {
	on := g.Resource.String()
	if g.Prefix != "" {
		on += "/" + g.Prefix
	}
	gives := [2]string{"role", quote(g.Role)}
	if len(g.Permissions) > 0 {
		gives = [2]string{"permissions", quoteList(g.Permissions)}
	}
	lines := [][2]string{gives, {"resource", quote(on)}}
	if g.Condition != "" {
		lines = append(lines, [2]string{"condition", quote(g.Condition)})
	}
	if g.AcceptUnbounded {
		lines = append(lines, [2]string{"unbounded", quote("accept")})
	}
	if g.AllowBasic {
		lines = append(lines, [2]string{"allow_basic", "true"})
	}
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	var b strings.Builder
	b.WriteString("[[grant]]\n")
	for _, l := range lines {
		b.WriteString(l[0] + strings.Repeat(" ", width-len(l[0])) + " = " + l[1] + "\n")
	}
	return b.String()
}

// quoteList returns a TOML list of strings.
func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quote returns a TOML string. If s has double quotes in it, as conditions usually do, it is
// a literal string where possible. What is not UTF-8 stays as it is, and is refused when it is read.
func quote(s string) string {
	notLiteral := func(c rune) bool { return c == '\'' || c < ' ' || c == 0x7f }
	if strings.Contains(s, `"`) && !strings.ContainsFunc(s, notLiteral) {
		return "'" + s + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) { // byte by byte: all that is escaped is one
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
