package review

import (
	"time"

	"github.com/taskiam/taskiam/internal/resource"
)

// Holds reports whether a condition is known to be true of the resource itself at
// now, so that what its binding grants can be tried there. It is false where the
// condition is about something below the resource, such as the objects of a bucket,
// and where it asks for what cannot be known from here.
func Holds(expression string, name resource.Name, now time.Time) bool {
	path := name.Relative()
	if name.Type().NumbersProject {
		path = ""
	}
	return holdsAt(expression, name.Type(), path, now)
}

// holdsAt reports whether a condition is true of a resource of the type whose resource.name
// is path; "" leaves that unknown. A condition that asks for an attribute which is not
// there is not true (iam/docs/conditions-attribute-reference).
func holdsAt(expression string, t *resource.Type, path string, now time.Time) bool {
	celEnv, err := dialect()
	if err != nil {
		panic(err) // the declarations of the dialect contradict each other
	}
	checked, issues := celEnv.Compile(expression)
	if issues.Err() != nil {
		return false
	}
	program, err := celEnv.Program(checked)
	if err != nil {
		return false
	}
	attributes := map[string]any{"request.time": now}
	if t.ConditionType != "" {
		attributes["resource.type"] = t.ConditionType
		attributes["resource.service"] = t.Service
	}
	if t.SuppliesName && path != "" {
		attributes["resource.name"] = path
	}
	out, _, err := program.Eval(attributes)
	return err == nil && out.Value() == true
}
