package grants

// Sandbox is what a task asks of the sandbox of its command, if it has one: package isolate makes it. The zero value
// asks for nothing.
type Sandbox struct {
	// Tree is how the command sees its work tree; empty leaves it to whoever runs the task.
	Tree Tree
}

// Tree is how a command in a sandbox sees the folder in which it is started.
type Tree string

const (
	// TreeDirect is the folder itself, to which the command can write.
	TreeDirect Tree = "direct"
	// TreeRead is the folder itself, read-only.
	TreeRead Tree = "read"
)

// Trees are all of them, the usual one first.
func Trees() []Tree { return []Tree{TreeDirect, TreeRead} }
