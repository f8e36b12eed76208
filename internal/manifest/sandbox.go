package manifest

import (
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

const treeExample = `tree = "read"`

var sandboxKeys = []string{"tree"}

// sandbox reads what the task asks of its sandbox.
func (r *reader) sandbox(t *table) grants.Sandbox {
	t.only(sandboxKeys...)
	var s grants.Sandbox
	if text, ok := t.text("tree", treeExample); ok {
		tree, err := ParseTree(text)
		if err != nil {
			r.add(t.place.child("tree").value, treeExample, "%v", err)
		}
		s.Tree = tree
	}
	return s
}

// ParseTree reads how a command sees its work tree.
func ParseTree(text string) (grants.Tree, error) {
	tree := grants.Tree(text)
	if !slices.Contains(grants.Trees(), tree) {
		return "", fault.New(fault.Usage, "%q is no kind of work tree; there are %s", text,
			strings.Join(TreeNames(), ", "))
	}
	return tree, nil
}

// TreeNames are the ways in which a command may see its work tree.
func TreeNames() []string {
	var out []string
	for _, tree := range grants.Trees() {
		out = append(out, string(tree))
	}
	return out
}

// sandboxSchema is the schema of the table the table sandbox.
func sandboxSchema() object {
	return tableSchema("What the task asks of the sandbox that run --isolate makes.", object{
		"tree": object{"enum": TreeNames(), "description": "How the command sees the folder in which it is started."},
	})
}
