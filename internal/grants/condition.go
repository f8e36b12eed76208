package grants

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
