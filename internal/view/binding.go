package view

import (
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/visible"
)

// Condition is a condition in a document.
type Condition struct {
	Title      string `json:"title"`
	Expression string `json:"expression"`
}

// String returns the expression as people are to see it. It is code: no character but ASCII is expected in it, and
// each one is named by its code point.
func (c *Condition) String() string { return visible.ASCII(c.Expression) }

// newCondition returns a condition for a document; nil if there is none.
func newCondition(c policy.Condition) *Condition {
	if c.IsZero() {
		return nil
	}
	return &Condition{Title: c.Title, Expression: c.Expression}
}

// Binding is a binding in a document.
type Binding struct {
	Role      string     `json:"role"`
	Member    string     `json:"member"`
	Condition *Condition `json:"condition"` // null for none
}

func newBinding(b policy.Binding) Binding {
	return Binding{Role: b.Role, Member: b.Member, Condition: newCondition(b.Condition)}
}

// shortName returns a full resource name as people write it.
func shortName(full string) string {
	name, err := resource.ParseFull(full)
	if err != nil {
		return full
	}
	return name.String()
}
