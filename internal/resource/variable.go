package resource

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// variable is what Google demands of one part of a name.
type variable struct {
	pattern *regexp.Regexp
	rule    string // completes "… is not a bucket name (RULE)"
	noun    string
}

// variables are the parts that names of more than one type are made of, or whose
// mistakes are worth catching before Google is asked. A part that is not here takes
// anything that can stand in a path.
var variables = map[string]variable{
	"project": {
		// The third form is of projects that live in a domain: example.com:project.
		regexp.MustCompile(`^([a-z][a-z0-9-]{4,28}[a-z0-9]|[1-9][0-9]{0,18}|[a-z0-9][a-z0-9.-]{0,60}\.[a-z][a-z0-9-]*[a-z0-9]:[a-z][a-z0-9-]{0,28}[a-z0-9])$`),
		"6 to 30 of a-z, 0-9 and -, beginning with a letter and not ending with -; or a project number", "project id",
	},
	"folder":       {numeric, "digits only", "folder number"},
	"organization": {numeric, "digits only", "organization number"},
	"bucket": {
		regexp.MustCompile(`^[a-z0-9]([a-z0-9_.-]{1,220})[a-z0-9]$`),
		"3 to 63 of a-z, 0-9, -, _ and ., beginning and ending with a letter or digit", "bucket name",
	},
	"dataset": {
		regexp.MustCompile(`^[A-Za-z0-9_]+$`),
		"up to 1024 letters, digits and _", "dataset id",
	},
	"table": {
		regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{Pc}\p{Pd}\p{Zs}]+$`),
		"up to 1024 bytes of letters, digits, connectors, dashes and spaces", "table id",
	},
	"topic":        {pubsub, pubsubRule, "topic id"},
	"subscription": {pubsub, pubsubRule, "subscription id"},
	"secret": {
		regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`),
		"up to 255 letters, digits, - and _", "secret id",
	},
	"account": {
		regexp.MustCompile(`^([a-z0-9][a-z0-9-]{0,62}@([a-z0-9-]+\.)*gserviceaccount\.com|[0-9]{15,25})$`),
		"its email, which ends in gserviceaccount.com, or its unique id", "service account",
	},
}

var (
	numeric = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
	pubsub  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
)

const pubsubRule = "3 to 255 letters, digits and -._~+%, beginning with a letter"

// check returns an error if value cannot be the variable with this name.
func check(name, value string) error {
	v, ok := variables[name]
	if !ok {
		if value == "" || value == "." || value == ".." || strings.Contains(value, "/") || !utf8.ValidString(value) ||
			strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return fmt.Errorf("%q cannot be a name's part %s", value, name)
		}
		return nil
	}
	if value == "" {
		return fmt.Errorf("the %s is missing", v.noun)
	}
	ok = v.pattern.MatchString(value)
	switch name {
	case "dataset", "table":
		ok = ok && len(value) <= 1024
	case "bucket":
		// Names with dots may be longer, each part at most 63 (storage/docs/buckets#naming).
		for part := range strings.SplitSeq(value, ".") {
			ok = ok && part != "" && len(part) <= 63
		}
	}
	if !ok {
		return fmt.Errorf("%q is not a %s (%s)", value, v.noun, v.rule)
	}
	return nil
}

// CheckProject returns an error that says what is wrong with a project id.
func CheckProject(id string) error { return check("project", id) }
