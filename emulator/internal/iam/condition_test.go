package iam

import (
	"testing"
)

// What IAM's conditions can do with the attributes of a resource.
func TestConditionFunctions(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		`resource.name.startsWith("a")`:                    true,
		`resource.name.endsWith("a")`:                      true,
		`resource.name == "a" && resource.name != "b"`:     true,
		`resource.name.extract("a/{b}").startsWith("c")`:   true,
		`resource.type == "a" || "b" == resource.service`:  true,
		`resource.name.contains("a")`:                      false,
		`resource.name.matches("a*")`:                      false,
		`resource.name in ["a", "b"]`:                      false,
		`resource.name < "a"`:                              false,
		`(resource.name + "x").startsWith("a")`:            false,
		`resource.type.startsWith("storage")`:              false,
		`resource.service in ["storage.googleapis.com"]`:   false,
		`size(resource.name) > 3`:                          false,
		`!(resource.type == "a") && !true`:                 true,
		`request.time.getHours("Europe/Berlin") in [1, 2]`: true,
	} {
		if err := CompileCondition(expression); (err == nil) != want {
			t.Errorf("%s: %v, want it to compile: %v", expression, err, want)
		}
	}
}
