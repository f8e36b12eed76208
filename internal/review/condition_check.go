package review

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/spelling"
	"github.com/taskiam/taskiam/internal/visible"
)

// maxOperators is how many of &&, || and ! a condition may hold (iam/quotas), those
// that a run adds included: one for its end, and one for a prefix.
const maxOperators = 12

// ConditionError is one thing wrong with a condition's expression, and where.
type ConditionError struct {
	// Offset counts characters from the beginning of the expression, from 0. Line and
	// Column count from 1; a column is a character.
	Offset, Line, Column int
	Message              string
	// Fix is the condition as it was probably meant; "" if that cannot be told.
	Fix string
}

// Error returns the message; the place is for whoever knows where the expression stands.
func (e ConditionError) Error() string { return e.Message }

// CheckCondition compiles the condition of a grant in IAM's dialect of CEL, and returns
// everything for which Google would refuse it, or for which it would never be true: an
// attribute that the resource does not supply "is never interpreted as granting
// access" (iam/docs/conditions-attribute-reference). It is evaluated, as far as that goes
// without a request, for the resource, for what is in it, and for the window. A grant
// without a condition passes; one without a resource is checked for what holds on every
// resource.
func CheckCondition(g grants.Grant, window Window) []ConditionError {
	return checkCondition(g, window, true)
}

// checkCondition is CheckCondition; it looks for what was meant only if mend is true.
func checkCondition(g grants.Grant, window Window, mend bool) []ConditionError {
	if g.Condition == "" {
		return nil
	}
	t := g.Resource.Type()
	switch {
	case grants.Basic(g.Role):
		return refuse("%s is a basic role, and basic roles take no conditions", g.Role)
	case t != nil && !t.Conditions:
		return refuse("%s takes no conditions", t.A())
	case t != nil && !g.Bounded():
		return refuse("%s is a legacy bucket role, and those take no conditions", g.Role)
	}
	c := checker{grant: g, window: window, runes: []rune(g.Condition), mend: mend}
	if c.unseen(); len(c.errs) > 0 {
		return c.sorted()
	}
	celEnv, err := dialect()
	if err != nil {
		panic(err) // the declarations below contradict each other
	}
	parsed, issues := celEnv.Parse(g.Condition)
	if issues.Err() != nil {
		c.addIssues(issues)
		return c.sorted()
	}
	if at := comment(g.Condition); at >= 0 {
		c.add(utf8.RuneCountInString(g.Condition[:at]),
			"a condition holds no comments: what is behind // looks like a part of it, and is none")
	}
	c.info, c.whole = parsed.NativeRep().SourceInfo(), parsed.NativeRep().Expr()
	c.visit(c.whole, "")
	if !c.unknown {
		checked, issues := celEnv.Check(parsed)
		if issues.Err() != nil {
			c.addIssues(issues)
		} else if out := checked.OutputType(); !out.IsExactType(types.BoolType) && !out.IsExactType(types.DynType) {
			c.add(0, "a condition must be true or false, but this is of type %s", cel.FormatCELType(out))
		}
	}
	added := 1
	if g.Prefix != "" {
		added++
	}
	if c.operators+added > maxOperators {
		c.add(0, "the condition has %d logical operators; with the %d that a run adds it would have %d, and Google "+
			"allows %d",
			c.operators, added, c.operators+added, maxOperators)
	}
	if len(c.errs) == 0 {
		c.never()
	}
	return c.sorted()
}

// unseen records the characters that cannot be seen, and so can make a condition look like another one.
func (c *checker) unseen() {
	rest := c.grant.Condition
	for read := 0; ; {
		at := visible.First(rest)
		if at < 0 {
			return
		}
		r, size := utf8.DecodeRuneInString(rest[at:])
		read += utf8.RuneCountInString(rest[:at])
		c.add(read, "%U cannot be seen, and can change how the condition looks; remove it", r)
		read++
		rest = rest[at+size:]
	}
}

// comment returns where a comment begins in an expression that parses, in bytes; -1 if it has none.
func comment(expression string) int {
	for at := 0; at < len(expression); at++ {
		switch rest := expression[at:]; {
		case strings.HasPrefix(rest, "//"):
			return at
		case rest[0] == '"' || rest[0] == '\'':
			at += stringLength(rest, rawString(expression[:at])) - 1
		}
	}
	return -1
}

// stringLength returns how long the string is that s begins with, its quotes included.
func stringLength(s string, raw bool) int {
	quote := s[:1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s, triple) {
		quote = triple
	}
	for at := len(quote); at < len(s); at++ {
		switch {
		case s[at] == '\\' && !raw:
			at++
		case strings.HasPrefix(s[at:], quote):
			return at + len(quote)
		}
	}
	return len(s)
}

// rawString reports whether the string after this text is one in which a backslash is nothing special.
func rawString(before string) bool {
	name := before[strings.LastIndexFunc(before, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})+1:]
	return len(name) <= 2 && strings.ContainsAny(name, "rR") && strings.Trim(name, "rRbB") == ""
}

func refuse(format string, args ...any) []ConditionError {
	return []ConditionError{{Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)}}
}

// attribute is a variable that a condition can ask about.
type attribute struct {
	name string
	typ  *cel.Type
	// uses are the operators and functions that Google documents for it; nil is any.
	uses []string
	// supplied reports whether requests on a type of resource carry it.
	supplied func(*resource.Type) bool
}

var attributes = []attribute{
	{"request.time", cel.TimestampType, nil, always},
	{"resource.name", cel.StringType, []string{"==", "!=", "startsWith", "endsWith", "extract"}, func(t *resource.Type) bool { return t.SuppliesName }},
	{"resource.type", cel.StringType, []string{"==", "!="}, suppliesType},
	{"resource.service", cel.StringType, []string{"==", "!="}, suppliesType},
	// What follows is known to single services (Identity-Aware Proxy, Cloud Run), and
	// to what such services inherit from the project above them.
	{"request.path", cel.StringType, []string{"==", "!=", "startsWith", "endsWith"}, inherited},
	{"request.host", cel.StringType, []string{"==", "!=", "startsWith", "endsWith"}, inherited},
	{"request.auth.access_levels", cel.ListType(cel.StringType), nil, inherited},
	{"destination.ip", cel.StringType, nil, inherited},
	{"destination.port", cel.IntType, nil, inherited},
}

func always(*resource.Type) bool { return true }

func suppliesType(t *resource.Type) bool { return t.SuppliesName || t.ConditionType != "" }

// inherited reports whether conditions on t reach the resources below it, or are those of
// Identity-Aware Proxy, which knows what its requests are for.
func inherited(t *resource.Type) bool {
	return t.Service == "cloudresourcemanager.googleapis.com" || t.Service == "iap.googleapis.com"
}

// functions are those of IAM's that hang on a name rather than on a value.
var functions = map[string]cel.FunctionOpt{
	"api.getAttribute":                          cel.Overload("api_get_attribute", []*cel.Type{cel.StringType, cel.DynType}, cel.DynType),
	"resource.hasTagKey":                        cel.Overload("resource_has_tag_key", []*cel.Type{cel.StringType}, cel.BoolType),
	"resource.hasTagKeyId":                      cel.Overload("resource_has_tag_key_id", []*cel.Type{cel.StringType}, cel.BoolType),
	"resource.matchTag":                         cel.Overload("resource_match_tag", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType),
	"resource.matchTagId":                       cel.Overload("resource_match_tag_id", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType),
	"compute.isForwardingRuleCreationOperation": cel.Overload("compute_is_forwarding_rule_creation", nil, cel.BoolType),
	"compute.matchLoadBalancingSchemes":         cel.Overload("compute_match_schemes", []*cel.Type{cel.ListType(cel.StringType)}, cel.BoolType),
}

// macros are what CEL has and IAM's dialect has not.
var macros = []string{"has", "all", "exists", "exists_one", "map", "filter"}

// dialect is CEL as IAM speaks it (iam/docs/conditions-attribute-reference): no macros,
// no regular expressions, and attributes and functions of its own.
var dialect = sync.OnceValues(func() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{
			DisableMacros:    true,
			ExcludeFunctions: []*env.Function{{Name: "matches"}, {Name: "type"}, {Name: "dyn"}},
		})),
		// What is no time is an error at every request, and so never grants.
		cel.ASTValidators(cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals()),
		cel.Function("extract", cel.MemberOverload("string_extract", []*cel.Type{cel.StringType, cel.StringType}, cel.StringType)),
		cel.Function("hasOnly", cel.MemberOverload("list_has_only", []*cel.Type{cel.ListType(cel.StringType), cel.ListType(cel.StringType)}, cel.BoolType)),
	}
	for _, a := range attributes {
		opts = append(opts, cel.Variable(a.name, a.typ))
	}
	for name, overload := range functions {
		opts = append(opts, cel.Function(name, overload))
	}
	return cel.NewCustomEnv(opts...)
})

// checker walks one parsed condition.
type checker struct {
	grant     grants.Grant
	window    Window
	runes     []rune
	info      *ast.SourceInfo
	whole     ast.Expr
	operators int
	mend      bool // whether to look for what was meant
	unknown   bool // a name that IAM does not know was found: types cannot be checked
	errs      []ConditionError
}

// visit looks at e, which is an operand of the function within.
func (c *checker) visit(e ast.Expr, within string) {
	switch e.Kind() {
	case ast.IdentKind, ast.SelectKind:
		if name, root, ok := dotted(e); ok {
			c.attribute(name, root, within)
			return
		}
		if e.Kind() == ast.SelectKind {
			c.visit(e.AsSelect().Operand(), "")
		}
	case ast.CallKind:
		c.call(e)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			c.visit(x, "")
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			c.visit(entry.AsMapEntry().Key(), "")
			c.visit(entry.AsMapEntry().Value(), "")
		}
	}
}

func (c *checker) call(e ast.Expr) {
	call := e.AsCall()
	name := call.FunctionName()
	switch name {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
		c.operators++
	}
	if slices.Contains(macros, name) {
		c.unknown = true
		c.add(c.start(e), "conditions in IAM have no %s()", name)
		return
	}
	if symbol, ok := operators.FindReverse(name); ok && symbol != "" {
		name = symbol
	}
	if call.IsMemberFunction() {
		if target, _, ok := dotted(call.Target()); !ok || functions[target+"."+name] == nil {
			c.visit(call.Target(), name)
		}
	}
	for _, arg := range call.Args() {
		c.visit(arg, name)
	}
	c.numbers(call)
	c.wildcard(call)
	if boundaryOnly(e) {
		c.add(c.start(call.Target()), "api.getAttribute(%q) has no effect in an allow policy: only credential access "+
			"boundaries know it, and this is always its default; listing is decided on the bucket", listPrefix)
		c.mendWith(func() string {
			return withoutOperands(c.whole, c.info, mentionsBoundary, operators.LogicalOr)
		})
	}
}

// listPrefix is the attribute that only conditions of credential access boundaries have
// (iam/docs/downscoping-short-lived-credentials).
const listPrefix = "storage.googleapis.com/objectListPrefix"

// boundaryOnly reports whether an expression asks for an attribute that no allow policy has.
func boundaryOnly(e ast.Expr) bool {
	if e.Kind() != ast.CallKind || !e.AsCall().IsMemberFunction() || e.AsCall().FunctionName() != "getAttribute" {
		return false
	}
	args := e.AsCall().Args()
	return len(args) > 0 && args[0].Kind() == ast.LiteralKind && args[0].AsLiteral().Value() == listPrefix
}

func mentionsBoundary(e ast.Expr) bool {
	found := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(part ast.Expr) { found = found || boundaryOnly(part) }))
	return found
}

// wildcard refuses a star in what a name begins or ends with: names are compared as they are.
func (c *checker) wildcard(call ast.CallExpr) {
	name := call.FunctionName()
	if !call.IsMemberFunction() || name != "startsWith" && name != "endsWith" || len(call.Args()) != 1 ||
		call.Args()[0].Kind() != ast.LiteralKind {
		return
	}
	if attribute, _, ok := dotted(call.Target()); !ok || attribute != "resource.name" {
		return
	}
	literal := call.Args()[0]
	text, _ := literal.AsLiteral().Value().(string)
	at := strings.IndexByte(text, '*')
	if at < 0 {
		return
	}
	kept := text[:at]
	if name == "endsWith" {
		kept = text[strings.LastIndexByte(text, '*')+1:]
	}
	c.add(c.start(literal), "a condition has no wildcards: %s(%q) is about names with a * in them", name, text)
	c.mendWith(func() string { return c.replaced(literal, kept) })
}

// mendWith gives the last error its fix, if what it comes to is a condition that is in order.
func (c *checker) mendWith(how func() string) {
	if !c.mend || len(c.errs) == 0 {
		return
	}
	mended := c.grant
	if mended.Condition = how(); mended.Condition == "" || len(checkCondition(mended, c.window, false)) > 0 {
		return
	}
	c.errs[len(c.errs)-1].Fix = mended.Condition
}

// replaced returns the condition with another text in the place of a literal, "" if the literal is
// not where it should be.
func (c *checker) replaced(literal ast.Expr, text string) string {
	runes, ok := replaceLiteral(c.runes, c.start(literal), text)
	if !ok {
		return ""
	}
	return string(runes)
}

// replaceLiteral replaces the string literal that begins at a place.
func replaceLiteral(runes []rune, start int, text string) ([]rune, bool) {
	if start >= len(runes) || runes[start] != '"' && runes[start] != '\'' {
		return nil, false
	}
	old := string(runes[start:])
	length := utf8.RuneCountInString(old[:stringLength(old, false)])
	return slices.Replace(slices.Clone(runes), start, start+length, []rune(strconv.Quote(text))...), true
}

// attribute checks a dotted name that stands as an operand of within.
func (c *checker) attribute(name string, root ast.Expr, within string) {
	t := c.grant.Resource.Type()
	for _, a := range attributes {
		if name != a.name && !strings.HasPrefix(name, a.name+".") {
			continue
		}
		switch {
		case t != nil && !a.supplied(t):
			c.add(c.start(root), "%s is not known to %s, so this would never grant", a.name, t.A())
		case a.uses != nil && !slices.Contains(a.uses, within):
			c.add(c.start(root), "%s takes only %s", a.name, strings.Join(a.uses, ", "))
		}
		return
	}
	c.unknown = true
	known := make([]string, 0, len(attributes))
	for _, a := range attributes {
		if t == nil || a.supplied(t) {
			known = append(known, a.name)
		}
	}
	if near := spelling.Nearest(name, known); near != "" {
		c.add(c.start(root), "IAM does not know %s; did you mean %s?", name, near)
		return
	}
	c.add(c.start(root), "IAM does not know %s; it knows %s", name, strings.Join(known, ", "))
}

var projectByID = lazy.Regexp(`^projects/([a-z][^/]*)/`)

// numbers refuses a comparison of resource.name with a project's id where the service
// puts the project's number into it.
func (c *checker) numbers(call ast.CallExpr) {
	t := c.grant.Resource.Type()
	if t == nil || !t.NumbersProject {
		return
	}
	operands := call.Args()
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, operands...)
	}
	if !slices.ContainsFunc(operands, func(e ast.Expr) bool {
		name, _, ok := dotted(e)
		return ok && name == "resource.name"
	}) {
		return
	}
	for _, e := range operands {
		if e.Kind() != ast.LiteralKind {
			continue
		}
		text, _ := e.AsLiteral().Value().(string)
		if m := projectByID().FindStringSubmatch(text); m != nil {
			c.add(c.start(e), "the resource.name of %s has the number of the project, so %q never matches", t.A(),
				"projects/"+m[1])
		}
	}
}

// dotted returns a name such as resource.name and the identifier that it begins with.
func dotted(e ast.Expr) (name string, root ast.Expr, ok bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), e, true
	case ast.SelectKind:
		s := e.AsSelect()
		if name, root, ok := dotted(s.Operand()); ok && !s.IsTestOnly() {
			return name + "." + s.FieldName(), root, true
		}
	}
	return "", nil, false
}

func (c *checker) start(e ast.Expr) int {
	r, _ := c.info.GetOffsetRange(e.ID())
	return int(r.Start)
}

// maxErrors is how many errors of one condition are worth reading.
const maxErrors = 10

// add records an error at an offset in characters.
func (c *checker) add(offset int, format string, args ...any) {
	if len(c.errs) == maxErrors {
		return
	}
	offset = min(max(offset, 0), len(c.runes))
	e := ConditionError{Offset: offset, Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)}
	for _, r := range c.runes[:offset] {
		e.Column++
		if r == '\n' {
			e.Line, e.Column = e.Line+1, 1
		}
	}
	c.errs = append(c.errs, e)
}

// offset turns CEL's place, a line from 1 and a column from 0, into an offset.
func (c *checker) offset(l common.Location) int {
	line, at := 1, 0
	for line < l.Line() && at < len(c.runes) {
		if c.runes[at] == '\n' {
			line++
		}
		at++
	}
	return at + max(l.Column(), 0)
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

func (c *checker) sorted() []ConditionError {
	slices.SortStableFunc(c.errs, func(a, b ConditionError) int { return cmp.Compare(a.Offset, b.Offset) })
	return slices.Compact(c.errs)
}
