package policy

import (
	"strconv"
	"strings"
	"time"
)

// And returns an expression that is true where all of exprs are. Each is kept as it
// was written, in parentheses where it might bind less tightly.
func And(exprs ...string) string {
	parts := make([]string, len(exprs))
	for i, e := range exprs {
		parts[i] = e
		if len(exprs) > 1 {
			parts[i] = parenthesize(e)
		}
	}
	return strings.Join(parts, " && ")
}

func parenthesize(expr string) string {
	if !strings.ContainsAny(expr, "|?/&\n\r") {
		return expr
	}
	if strings.Contains(expr, "//") {
		// A comment runs to the end of its line and would swallow the parenthesis.
		expr += "\n"
	}
	return "(" + expr + ")"
}

// PrefixExpression returns an expression that is true for the objects of a bucket
// whose names begin with prefix. It is false for the bucket itself, on which listing
// is decided (iam/docs/conditions-resource-attributes).
func PrefixExpression(bucket, prefix string) string {
	// Go's escapes are a subset of CEL's.
	return "resource.name.startsWith(" + strconv.Quote("projects/_/buckets/"+bucket+"/objects/"+prefix) + ")"
}

// UntilExpression returns an expression that is true before t, cut to whole seconds.
func UntilExpression(t time.Time) string {
	return `request.time < timestamp("` + t.UTC().Truncate(time.Second).Format(time.RFC3339) + `")`
}

// Condition is a condition of a binding, as IAM stores it. The zero Condition is no condition.
type Condition struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Expression  string `json:"expression,omitempty"`
}

// IsZero reports whether there is no condition.
func (c Condition) IsZero() bool { return c == Condition{} }

// Moved returns the condition with its end changed from one time to another. It reports
// false if the condition does not end at from. The manifest's own part stays as it is.
func (c Condition) Moved(from, to time.Time) (Condition, bool) {
	rest, ok := strings.CutSuffix(c.Expression, UntilExpression(from))
	if !ok {
		return c, false
	}
	c.Expression = rest + UntilExpression(to)
	return c, true
}
