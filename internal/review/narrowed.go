package review

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/taskiam/taskiam/internal/grants"
)

// narrowed reports whether the condition of a grant leaves single resources: wherever it is true, it has
// found the name or a tag that it asks for. What a resource is not called narrows nothing, and neither does
// what all names begin with.
func narrowed(g grants.Grant) bool {
	if g.Condition == "" {
		return false
	}
	celEnv, err := dialect()
	if err != nil {
		panic(err) // the declarations of the dialect contradict each other
	}
	parsed, issues := celEnv.Parse(g.Condition)
	if issues.Err() != nil {
		return false
	}
	e := &evaluation{
		expr: parsed.NativeRep().Expr(), info: parsed.NativeRep().SourceInfo(), asked: asked{things: thingsOf(g)},
		atoms: map[int64]truth{}, known: map[int64]any{},
	}
	return e.narrows(e.expr, true)
}

// narrows is narrowed for a part of the condition that has to be true, or false.
func (e *evaluation) narrows(x ast.Expr, positive bool) bool {
	if x.Kind() != ast.CallKind {
		return false
	}
	call := x.AsCall()
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalNot:
		return e.narrows(args[0], !positive)
	case operators.LogicalAnd, operators.LogicalOr:
		left, right := e.narrows(args[0], positive), e.narrows(args[1], positive)
		if every := (call.FunctionName() == operators.LogicalOr) == positive; every {
			return left && right
		}
		return left || right
	case operators.Conditional:
		return e.narrows(args[1], positive) && e.narrows(args[2], positive)
	case operators.NotEquals:
		positive = !positive
	}
	return positive && asksForOne(x) && e.canFail(x, call)
}

// canFail reports whether a comparison is false of anything on the resource.
func (e *evaluation) canFail(x ast.Expr, call ast.CallExpr) bool {
	for _, e.on = range e.asked.things {
		t := e.comparison(x, call)
		if call.FunctionName() == operators.NotEquals {
			t = not(t)
		}
		if t&canFail != 0 {
			return true
		}
	}
	return len(e.asked.things) == 0
}

// asksForOne reports whether a comparison is about what a resource is called, or how it is tagged.
func asksForOne(x ast.Expr) bool {
	asks := false
	ast.PreOrderVisit(x, ast.NewExprVisitor(func(part ast.Expr) {
		switch part.Kind() {
		case ast.SelectKind:
			name, _, _ := dotted(part)
			asks = asks || name == "resource.name"
		case ast.CallKind:
			f := part.AsCall().FunctionName()
			asks = asks || f == "matchTag" || f == "matchTagId"
		}
	}))
	return asks
}
