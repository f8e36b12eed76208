package arch

import (
	"go/ast"
	"path"
	"strings"
	"testing"
)

// What the glossary says of the code is there.
func TestGlossary(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					declared[path.Base(s.pkg)+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if typ, ok := spec.(*ast.TypeSpec); ok {
						declared[path.Base(s.pkg)+"."+typ.Name.Name] = true
					}
				}
			}
		}
	}
	words := 0
	for line := range strings.Lines(read(t, "docs/glossary.md")) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.TrimSpace(cells[1]) == "word" || strings.HasPrefix(cells[1], "---") {
			continue
		}
		words++
		if name := strings.Trim(cells[3], " `"); !declared[name] {
			t.Errorf("docs/glossary.md: %s is %s in the code, which is not there", strings.TrimSpace(cells[1]), name)
		}
	}
	if words < 25 || words > 40 {
		t.Errorf("docs/glossary.md has %d words; it is for those that carry the design", words)
	}
}
