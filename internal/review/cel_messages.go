package review

import (
	"regexp"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
)

// instead are what people write who are used to other languages, and CEL's words for it.
var instead = map[string]string{"=": "==", "===": "==", "&": "&&", "|": "||", "and": "&&", "or": "||", "not": "!"}

// saying turns a message of CEL's compiler, which is about its grammar, into one about the condition.
type saying struct {
	raw  *regexp.Regexp
	text func(m []string) string
}

// sayings are compiled when a condition is wrong, and not at every start.
var sayings = sync.OnceValue(func() []saying {
	return []saying{
		{regexp.MustCompile(`^Syntax error: token recognition error at: '([\s\S]*)'$`), unreadable},
		{regexp.MustCompile(`^Syntax error: missing '(.*)' at '(.*)'$`), func(m []string) string {
			if m[2] == "<EOF>" {
				return m[1] + " is missing at the end"
			}
			return m[1] + " is missing before " + m[2]
		}},
		{regexp.MustCompile(`^Syntax error: mismatched input '<EOF>' expecting '(.*)'$`), func(m []string) string {
			return "the condition is not finished: " + m[1] + " and what belongs behind it are missing"
		}},
		{regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous|no viable alternative at) input '<EOF>'`),
			func([]string) string {
				return "the condition is not finished: something is missing at its end"
			}},
		{regexp.MustCompile(`^Syntax error: (?:mismatched|extraneous|no viable alternative at) input ` +
			`'([\s\S]*?)'(?: expecting|$)`),
			unexpected},
		{regexp.MustCompile(`^reserved identifier: (.*)$`), func(m []string) string {
			return m[1] + " is a word that CEL keeps for itself, and cannot be used here"
		}},
		{regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(?:([^'.(]+)\.)?\((.*)\)'$`),
			noOverload},
		{regexp.MustCompile(`^undeclared reference to '([^']*)'(?: \(in container.*?\))?` +
			`(?: \(did you mean '(.*)'\?\))?$`), func(m []string) string {
			if m[2] != "" {
				return "IAM does not know " + m[1] + "; did you mean " + m[2] + "?"
			}
			return "IAM does not know " + m[1] + "()"
		}},
		{regexp.MustCompile(`^expected type '(.*)' but found '(.*)'$`), func(m []string) string {
			return "here stands something of type " + m[2] + " where one of type " + m[1] + " belongs"
		}},
		{regexp.MustCompile(`^invalid (timestamp|duration) argument$`), func(m []string) string {
			if m[1] == "duration" {
				return `this is not a duration such as duration("3600s")`
			}
			return `this is not a timestamp such as timestamp("2026-12-31T23:00:00Z")`
		}},
		{regexp.MustCompile(`^invalid int literal$`), func([]string) string { return "this number is too large" }},
	}
})

// inWords says what is wrong with a condition for which CEL's compiler has a message.
func inWords(message string) string {
	for _, s := range sayings() {
		if m := s.raw.FindStringSubmatch(message); m != nil {
			return s.text(m)
		}
	}
	message, syntax := strings.CutPrefix(message, "Syntax error: ")
	if syntax {
		return "this cannot be read as a condition: " + lowerFirst(message)
	}
	return lowerFirst(message)
}

func unreadable(m []string) string {
	token := strings.TrimSpace(m[1])
	switch {
	case instead[token] != "":
		return token + " is not an operator of conditions; write " + instead[token]
	case strings.ContainsAny(token[:min(1, len(token))], `"'`) && strings.ContainsRune(token, '\\'):
		return `this string has a \ before a character that has no escape`
	case strings.ContainsAny(token[:min(1, len(token))], `"'`):
		return "this string has no end: its closing quote is missing"
	case strings.ContainsAny(token, "“”„‘’"):
		return token + ` is not a quote for a string; write " or '`
	}
	return token + " has no meaning in a condition"
}

func unexpected(m []string) string {
	if operator := instead[strings.ToLower(m[1])]; operator != "" {
		return m[1] + " is not an operator of conditions; write " + operator
	}
	return m[1] + " does not belong here: an operator, such as == or &&, is missing before it, or it is one too many"
}

func noOverload(m []string) string {
	function, target, args := m[1], m[2], m[3]
	operands := strings.Split(args, ", ")
	if symbol, ok := operators.FindReverse(function); ok && symbol != "" {
		if len(operands) == 2 {
			return symbol + " does not work between " + operands[0] + " and " + operands[1] + hint(operands)
		}
		return symbol + " does not work on " + args
	}
	if function == "@in" {
		function = "in"
	}
	if args == "" {
		args = "nothing"
	}
	if target != "" {
		return function + " of " + target + " does not take " + args
	}
	return function + " does not take " + args
}

// hint says how to write what a time is compared with.
func hint(operands []string) string {
	if operands[0] == "timestamp" && operands[1] != "timestamp" {
		return `; write a time as timestamp("2026-12-31T23:00:00Z")`
	}
	return ""
}

// addIssues records what CEL's compiler says. Behind the first syntax error everything is
// guesswork, so it is the only one.
func (c *checker) addIssues(issues *cel.Issues) {
	for _, i := range issues.Errors() {
		at := c.offset(i.Location)
		c.add(at, "%s", inWords(i.Message))
		if !strings.HasPrefix(i.Message, "Syntax error") {
			continue
		}
		c.errs[len(c.errs)-1].Fix = c.respelled(at)
		return
	}
}

// respelled returns the condition with the operators of other languages written as IAM has them,
// "" if that makes no condition of it. A syntax error is at one of them.
func (c *checker) respelled(at int) string {
	mended := c.grant
	runes := c.runes
	for range maxErrors {
		word := operatorAt(runes, &at)
		if instead[strings.ToLower(word)] == "" {
			return ""
		}
		runes = append(append(append([]rune(nil), runes[:at]...), []rune(instead[strings.ToLower(word)])...),
			runes[at+len([]rune(word)):]...)
		mended.Condition = string(runes)
		errs := checkCondition(mended, c.window, false)
		if len(errs) == 0 {
			return mended.Condition
		}
		at = errs[0].Offset
	}
	return ""
}

// operatorAt returns the operator or word at a place, and moves the place to its beginning.
func operatorAt(runes []rune, at *int) string {
	const symbols = "=&|"
	if *at >= len(runes) {
		return ""
	}
	for *at > 0 && strings.ContainsRune(symbols, runes[*at]) && strings.ContainsRune(symbols, runes[*at-1]) {
		*at--
	}
	end := *at
	symbol := strings.ContainsRune(symbols, runes[end])
	for end < len(runes) && (symbol && strings.ContainsRune(symbols, runes[end]) ||
		!symbol && (runes[end]|0x20 >= 'a' && runes[end]|0x20 <= 'z')) {
		end++
	}
	return string(runes[*at:end])
}
