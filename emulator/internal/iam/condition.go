package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// apiAttributes is the hidden variable that api.getAttribute reads.
const apiAttributes = "api__attributes"

// UnknownAttribute is the value of an attribute that a service does not know: reading
// it is an error, whatever the default.
type UnknownAttribute struct{}

// conditionEnv is the CEL of IAM Conditions (iam/docs/conditions-attribute-reference).
// Attributes that a request does not have are not bound: reading one is an error,
// and an error is a no, unless the other side of an || decides.
var conditionEnv = sync.OnceValues(func() (*cel.Env, error) {
	tag := func(name string, params ...*cel.Type) cel.EnvOption {
		// No resource here carries tags.
		return cel.Function("resource."+name, cel.Overload("resource_"+strings.ToLower(name), params, cel.BoolType,
			cel.FunctionBinding(func(...ref.Val) ref.Val { return types.False })))
	}
	return cel.NewEnv(
		cel.ParserExpressionSizeLimit(8<<10),
		cel.Variable("request.time", cel.TimestampType),
		cel.Variable("request.host", cel.StringType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.auth.access_levels", cel.ListType(cel.StringType)),
		cel.Variable("destination.ip", cel.StringType),
		cel.Variable("destination.port", cel.IntType),
		cel.Variable("resource.name", cel.StringType),
		cel.Variable("resource.type", cel.StringType),
		cel.Variable("resource.service", cel.StringType),
		cel.Variable(apiAttributes, cel.MapType(cel.StringType, cel.DynType)),
		cel.Macros(cel.ReceiverMacro("getAttribute", 2, expandGetAttribute)),
		cel.Function("api__get_attribute", cel.Overload("api__get_attribute",
			[]*cel.Type{cel.MapType(cel.StringType, cel.DynType), cel.StringType, cel.DynType}, cel.DynType,
			cel.FunctionBinding(getAttribute))),
		tag("matchTag", cel.StringType, cel.StringType),
		tag("matchTagId", cel.StringType, cel.StringType),
		tag("hasTagKey", cel.StringType),
		tag("hasTagKeyId", cel.StringType),
		cel.Function("extract", cel.MemberOverload("string_extract", []*cel.Type{cel.StringType, cel.StringType},
			cel.StringType,
			cel.BinaryBinding(Extract))),
		cel.Function("hasOnly", cel.MemberOverload("dyn_has_only", []*cel.Type{cel.DynType, cel.ListType(cel.DynType)},
			cel.BoolType,
			cel.BinaryBinding(hasOnly))),
	)
})

// expandGetAttribute turns api.getAttribute(name, default) into a call that is
// given the request's attributes.
func expandGetAttribute(f cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	if target.Kind() != ast.IdentKind || target.AsIdent() != "api" {
		return nil, nil
	}
	return f.NewCall("api__get_attribute", append([]ast.Expr{f.NewIdent(apiAttributes)}, args...)...), nil
}

func getAttribute(args ...ref.Val) ref.Val {
	m, ok := args[0].(traits.Mapper)
	if !ok {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	v, ok := m.Find(args[1])
	if !ok {
		return args[2]
	}
	if _, unknown := v.Value().(UnknownAttribute); unknown || types.IsError(v) {
		return types.NewErr("the service does not provide the attribute %v", args[1].Value())
	}
	return v
}

// Extract returns the part of value at the {braces} of a template such as
// "/objects/{name}/", or "" where the template does not match.
func Extract(value, template ref.Val) ref.Val {
	v, ok1 := value.Value().(string)
	t, ok2 := template.Value().(string)
	if !ok1 || !ok2 {
		return types.MaybeNoSuchOverloadErr(template)
	}
	before, rest, ok := strings.Cut(t, "{")
	if !ok {
		return types.NewErr("extract template %q names no variable", t)
	}
	_, after, ok := strings.Cut(rest, "}")
	if !ok {
		return types.NewErr("extract template %q has an open brace", t)
	}
	_, found, ok := strings.Cut(v, before)
	if !ok {
		return types.String("")
	}
	if after == "" {
		return types.String(found)
	}
	found, _, ok = strings.Cut(found, after)
	if !ok {
		return types.String("")
	}
	return types.String(found)
}

// hasOnly reports whether every element of a list is in the other.
func hasOnly(value, allowed ref.Val) ref.Val {
	list, ok := value.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	set, ok := allowed.(traits.Container)
	if !ok {
		return types.MaybeNoSuchOverloadErr(allowed)
	}
	for it := list.Iterator(); it.HasNext() == types.True; {
		if set.Contains(it.Next()) != types.True {
			return types.False
		}
	}
	return types.True
}

// programs caches compiled conditions. It is emptied when it is full: an emulator
// sees a new expiry with every run.
var programs = struct {
	sync.Mutex
	byExpression map[string]cel.Program
}{byExpression: map[string]cel.Program{}}

const maxPrograms = 4096

func conditionProgram(expression string) (cel.Program, error) {
	programs.Lock()
	defer programs.Unlock()
	if p, ok := programs.byExpression[expression]; ok {
		return p, nil
	}
	env, err := conditionEnv()
	if err != nil {
		return nil, err
	}
	tree, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if t := tree.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression is of type %s, not bool", t)
	}
	if n := logicalOperators(tree.NativeRep().Expr()); n > maxLogicalOperators {
		return nil, fmt.Errorf("the expression has %d logical operators, more than the maximum of %d", n,
			maxLogicalOperators)
	}
	if err := checkAttributes(tree.NativeRep().Expr()); err != nil {
		return nil, err
	}
	p, err := env.Program(tree, cel.CostLimit(100_000))
	if err != nil {
		return nil, err
	}
	if len(programs.byExpression) >= maxPrograms {
		clear(programs.byExpression)
	}
	programs.byExpression[expression] = p
	return p, nil
}

func logicalOperators(e ast.Expr) int {
	n := 0
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind {
			switch e.AsCall().FunctionName() {
			case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
				n++
			}
		}
	}))
	return n
}

// attributeFunctions are what conditions may do with the attributes of a resource
// (iam/docs/conditions-attribute-reference): there are no wildcards.
var attributeFunctions = map[string][]string{
	"resource.type":    {operators.Equals, operators.NotEquals},
	"resource.service": {operators.Equals, operators.NotEquals},
	"resource.name":    {operators.Equals, operators.NotEquals, "startsWith", "endsWith", "extract"},
}

// checkAttributes refuses an expression that does something else with them.
func checkAttributes(e ast.Expr) error {
	var refusal error
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		operands := call.Args()
		if call.IsMemberFunction() {
			operands = append([]ast.Expr{call.Target()}, operands...)
		}
		for _, operand := range operands {
			if operand.Kind() != ast.IdentKind {
				continue
			}
			allowed, limited := attributeFunctions[operand.AsIdent()]
			if limited && !slices.Contains(allowed, call.FunctionName()) {
				refusal = fmt.Errorf("%s is not supported for %s", strings.Trim(call.FunctionName(), "_"),
					operand.AsIdent())
			}
		}
	}))
	return refusal
}

// CompileCondition reports why an expression may not be a condition.
func CompileCondition(expression string) error {
	_, err := conditionProgram(expression)
	return err
}

var errNotBoolean = errors.New("the condition did not yield a boolean")

// holds evaluates a condition for a request on n. An error means no.
func (c *Condition) holds(n Node, now time.Time, attributes map[string]any) (bool, error) {
	p, err := conditionProgram(c.Expression)
	if err != nil {
		return false, err
	}
	if attributes == nil {
		attributes = map[string]any{}
	}
	vars := map[string]any{"request.time": now, apiAttributes: attributes}
	for name, value := range map[string]string{"resource.name": n.Name, "resource.type": n.Type,
		"resource.service": n.Service} {
		// A resource without a type is of a service that provides none of the three.
		if value != "" && (n.Type != "" || n.Name != "") {
			vars[name] = value
		}
	}
	out, _, err := p.Eval(vars)
	if err != nil {
		return false, err
	}
	yes, ok := out.Value().(bool)
	if !ok {
		return false, errNotBoolean
	}
	return yes, nil
}
