package review

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/taskiam/taskiam/internal/grants"
)

// Window is the time in which the requests of a run are made. The zero Window is any time.
type Window struct{ From, To time.Time }

// truth is what an expression can come to: several bits where that depends on the request.
type truth uint8

const (
	canHold  truth = 1 << iota
	canFail        // it can be false
	canErr         // it can be an error, which grants nothing
	anything = canHold | canFail | canErr
)

// evaluation is the partial evaluation of one condition: for each kind of thing that it may be
// asked of, and each part of the time in which it may be asked, what it can come to.
type evaluation struct {
	expr  ast.Expr
	info  *ast.SourceInfo
	asked asked
	on    thing // what it is asked of, at the moment
	from  time.Time
	to    time.Time // both are zero where the time is not known
	// atoms has what each comparison came to, everything put together.
	atoms map[int64]truth
	known map[int64]any // what parts come to that ask nothing of the request
}

// asked is what a condition may be asked of, and when.
type asked struct {
	things []thing
	window Window
}

// holds reports whether the condition can be true of anything at any time.
func (e *evaluation) holds() bool {
	times := e.times()
	can := truth(0)
	for _, e.on = range e.asked.things {
		for _, part := range times {
			e.from, e.to = part.From, part.To
			can |= e.truth(e.expr)
		}
	}
	return can&canHold != 0 || len(e.asked.things) == 0
}

// times cuts the window at every time with which request.time is compared, so that within
// each part all comparisons come to the same.
func (e *evaluation) times() []Window {
	w := e.asked.window
	if w.From.IsZero() {
		return []Window{w}
	}
	var cuts []time.Time
	ast.PreOrderVisit(e.expr, ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.CallKind {
			return
		}
		attribute, with := compared(x)
		if at, ok := e.constantTime(with); ok && attribute == "request.time" && at.After(w.From) && at.Before(w.To) {
			cuts = append(cuts, at)
		}
	}))
	if len(cuts) > maxOperators {
		return []Window{{}} // such a condition is refused anyway
	}
	slices.SortFunc(cuts, time.Time.Compare)
	var out []Window
	from := w.From
	for _, at := range slices.CompactFunc(cuts, time.Time.Equal) {
		out = append(out, Window{from, at.Add(-1)}, Window{at, at})
		from = at.Add(1)
	}
	return append(out, Window{from, w.To})
}

// truth returns what an expression can come to. What it does not know can be anything.
func (e *evaluation) truth(x ast.Expr) truth {
	if x.Kind() != ast.CallKind {
		if v, ok := e.constant(x).(bool); ok {
			return certain(v)
		}
		return anything
	}
	call := x.AsCall()
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalAnd:
		return and(e.truth(args[0]), e.truth(args[1]))
	case operators.LogicalOr:
		return not(and(not(e.truth(args[0])), not(e.truth(args[1]))))
	case operators.LogicalNot:
		return not(e.truth(args[0]))
	case operators.Conditional:
		out, first := truth(0), e.truth(args[0])
		if first&canHold != 0 {
			out |= e.truth(args[1])
		}
		if first&canFail != 0 {
			out |= e.truth(args[2])
		}
		return out | first&canErr
	}
	t := e.comparison(x, call)
	e.atoms[x.ID()] |= t
	return t
}

func certain(v bool) truth {
	if v {
		return canHold
	}
	return canFail
}

func not(t truth) truth {
	out := t & canErr
	if t&canHold != 0 {
		out |= canFail
	}
	if t&canFail != 0 {
		out |= canHold
	}
	return out
}

// and is CEL's &&: false wins over an error.
func and(a, b truth) truth {
	out := (a | b) & canFail
	if a&canHold != 0 && b&canHold != 0 {
		out |= canHold
	}
	if a&canErr != 0 && b&^canFail != 0 || b&canErr != 0 && a&^canFail != 0 {
		out |= canErr
	}
	return out
}

// comparison returns what a call can come to that is no logical operator.
func (e *evaluation) comparison(x ast.Expr, call ast.CallExpr) truth {
	if v, ok := e.constant(x).(bool); ok {
		return certain(v)
	}
	function, operands := call.FunctionName(), call.Args()
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, operands...)
	}
	if len(operands) != 2 {
		return anything
	}
	left, right := operands[0], operands[1]
	if name, _, ok := dotted(right); ok && name != "" {
		if turned, ok := mirror[function]; ok {
			function, left, right = turned, right, left
		}
	}
	if attribute, _, ok := dotted(left); ok {
		if attribute == "request.time" {
			return e.compareTime(function, right)
		}
		if n, ok := e.on.attribute(attribute); ok {
			text, isText := e.constant(right).(string)
			if !isText {
				return anything
			}
			return n.compare(function, text)
		}
	}
	return e.compareYear(function, left, right)
}

// mirror is how a comparison reads when its sides change places.
var mirror = map[string]string{
	operators.Equals: operators.Equals, operators.NotEquals: operators.NotEquals,
	operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
	operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals,
}

func (e *evaluation) compareTime(function string, with ast.Expr) truth {
	at, ok := e.constantTime(with)
	if !ok || e.from.IsZero() {
		return anything
	}
	return compareRange(function, e.from.Compare(at), e.to.Compare(at))
}

// compareYear compares the year of the request; hours and days come again, years do not.
func (e *evaluation) compareYear(function string, left, right ast.Expr) truth {
	if left.Kind() != ast.CallKind {
		return anything
	}
	year := left.AsCall()
	target, _, ok := dotted(year.Target())
	want, isInt := e.constant(right).(int64)
	if !ok || target != "request.time" || year.FunctionName() != "getFullYear" || !isInt || e.from.IsZero() {
		return anything
	}
	// In no time zone the date differs by more than a day.
	from, to := e.from.UTC().AddDate(0, 0, -1).Year(), e.to.UTC().AddDate(0, 0, 1).Year()
	return compareRange(function, cmp.Compare(int64(from), want), cmp.Compare(int64(to), want))
}

// compareRange returns what a comparison of all values of a range with one value comes to;
// low and high say how the ends of the range compare with it.
func compareRange(function string, low, high int) truth {
	out := truth(0)
	for sign := low; sign <= high; sign++ {
		holds, known := false, true
		switch function {
		case operators.Less:
			holds = sign < 0
		case operators.LessEquals:
			holds = sign <= 0
		case operators.Greater:
			holds = sign > 0
		case operators.GreaterEquals:
			holds = sign >= 0
		case operators.Equals:
			holds = sign == 0
		case operators.NotEquals:
			holds = sign != 0
		default:
			known = false
		}
		if !known {
			return anything
		}
		out |= certain(holds)
	}
	return out
}

// constantTime returns the time that an expression always comes to.
func (e *evaluation) constantTime(x ast.Expr) (time.Time, bool) {
	if x.Kind() != ast.CallKind {
		return time.Time{}, false
	}
	at, ok := e.constant(x).(time.Time)
	return at, ok
}

// constant returns what an expression comes to that asks nothing of the request; nil if it
// does, or comes to an error.
func (e *evaluation) constant(x ast.Expr) any {
	if x.Kind() == ast.LiteralKind {
		return x.AsLiteral().Value()
	}
	if v, known := e.known[x.ID()]; known {
		return v
	}
	e.known[x.ID()] = e.computed(x)
	return e.known[x.ID()]
}

func (e *evaluation) computed(x ast.Expr) any {
	asks := false
	ast.PreOrderVisit(x, ast.NewExprVisitor(func(part ast.Expr) {
		asks = asks || part.Kind() == ast.IdentKind
	}))
	if asks {
		return nil
	}
	text, err := cel.ExprToString(x, e.info)
	if err != nil {
		return nil
	}
	celEnv, err := dialect()
	if err != nil {
		return nil
	}
	compiled, issues := celEnv.Compile(text)
	if issues.Err() != nil {
		return nil
	}
	program, err := celEnv.Program(compiled)
	if err != nil {
		return nil
	}
	out, _, err := program.Eval(map[string]any{})
	if err != nil {
		return nil
	}
	return out.Value()
}

// never records that a condition which compiles can be true of nothing, and why.
func (c *checker) never() {
	e := &evaluation{expr: c.whole, info: c.info, atoms: map[int64]truth{}, known: map[int64]any{},
		asked: asked{thingsOf(c.grant), c.window}}
	if e.holds() {
		return
	}
	dead := e.dead(c.whole, true)
	if len(dead) == 0 {
		c.add(0, "this is never true of %s or anything in it: its parts contradict each other", c.grant.Resource)
		return
	}
	why, at := e.why(dead[0], c.grant)
	c.add(c.start(at), "%s, so the condition is never true and would grant nothing", why)
	c.mendWith(func() string { return e.mended(dead, c) })
}

// dead returns the comparisons that can never come to what the condition needs of them.
func (e *evaluation) dead(x ast.Expr, positive bool) []ast.Expr {
	if x.Kind() != ast.CallKind {
		return nil
	}
	call := x.AsCall()
	switch call.FunctionName() {
	case operators.LogicalNot:
		return e.dead(call.Args()[0], !positive)
	case operators.LogicalAnd, operators.LogicalOr, operators.Conditional:
		var out []ast.Expr
		for _, arg := range call.Args() {
			out = append(out, e.dead(arg, positive)...)
		}
		return out
	}
	wanted := canHold
	if !positive {
		wanted = canFail
	}
	if t, seen := e.atoms[x.ID()]; seen && t&wanted == 0 {
		return []ast.Expr{x}
	}
	return nil
}

// compared returns the attribute that a comparison is about and what it is compared with.
func compared(x ast.Expr) (attribute string, with ast.Expr) {
	call := x.AsCall()
	operands := call.Args()
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, operands...)
	}
	if len(operands) != 2 {
		return "", x
	}
	for i, operand := range operands {
		if name, _, ok := dotted(operand); ok {
			return name, operands[len(operands)-1-i]
		}
	}
	return "", x
}

// why says why a comparison is never what the condition needs, and which part of it is wrong.
func (e *evaluation) why(x ast.Expr, g grants.Grant) (why string, at ast.Expr) {
	attribute, with := compared(x)
	text, _ := e.constant(with).(string)
	switch {
	case strings.HasPrefix(attribute, "resource."):
		return fmt.Sprintf("no %s on %s fits %s: there it is %s", attribute, g.Resource, strconv.Quote(text),
			e.asked.list(attribute)), with
	case attribute == "request.time":
		return "this is so at no time of the run (leave it out: its end is added to every condition)", x
	case x.AsCall().FunctionName() == operators.Equals && attribute == "":
		return "this is always false", x
	}
	return "this never is as the condition needs it", x
}

// list names what an attribute can be.
func (a asked) list(attribute string) string {
	var out []string
	for _, t := range a.things {
		if n, ok := t.attribute(attribute); ok && len(n) > 0 && !slices.Contains(out, n.String()) {
			out = append(out, n.String())
		}
	}
	const most = 3
	if len(out) > most {
		out = append(out[:most], "...")
	}
	return strings.Join(out, " or ")
}

// mended returns the condition with texts that can be true in the place of those that cannot,
// and without limits in time that have passed.
func (e *evaluation) mended(dead []ast.Expr, c *checker) string {
	runes := c.runes
	var past []int64
	for _, x := range slices.Backward(dead) {
		attribute, with := compared(x)
		text, isText := e.constant(with).(string)
		switch {
		case attribute == "request.time":
			past = append(past, x.ID())
		case isText && with.Kind() == ast.LiteralKind && strings.HasPrefix(attribute, "resource."):
			near := e.asked.nearest(attribute, text, x.AsCall().FunctionName())
			changed, ok := replaceLiteral(runes, c.start(with), near)
			if near == "" || !ok {
				return ""
			}
			runes = changed
		default:
			return ""
		}
	}
	if len(past) == 0 {
		return string(runes)
	}
	if len(past) < len(dead) {
		return "" // mending both at once needs a second look anyway
	}
	return withoutOperands(e.expr, e.info, func(x ast.Expr) bool { return slices.Contains(past, x.ID()) },
		operators.LogicalAnd)
}

// withoutOperands returns a condition without those operands of its outermost && or || that match, ""
// if nothing is left.
func withoutOperands(x ast.Expr, info *ast.SourceInfo, match func(ast.Expr) bool, operator string) string {
	if x.Kind() == ast.CallKind && x.AsCall().FunctionName() == operator {
		var kept []string
		for _, arg := range x.AsCall().Args() {
			if text := withoutOperands(arg, info, match, operator); text != "" {
				kept = append(kept, text)
			}
		}
		symbol, _ := operators.FindReverse(operator)
		return strings.Join(kept, " "+symbol+" ")
	}
	if match(x) {
		return ""
	}
	text, err := cel.ExprToString(x, info)
	if err != nil {
		return ""
	}
	if x.Kind() == ast.CallKind && slices.Contains([]string{operators.LogicalOr, operators.Conditional},
		x.AsCall().FunctionName()) {
		text = "(" + text + ")"
	}
	return text
}
