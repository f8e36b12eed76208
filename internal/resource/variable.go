package resource

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/taskiam/taskiam/internal/lazy"
)

// variable is what Google demands of one part of a name.
type variable struct {
	pattern func() *regexp.Regexp
	rule    string // completes "… is not a bucket name (RULE)"
	noun    string
	most    int               // bytes, if there is a bound beside the pattern
	more    func(string) bool // what the pattern cannot say
	// identifies reports whether a name of which the part does not fit is another type's,
	// and not a wrong one of this type.
	identifies bool
}

// containers are the parts that say whose a resource is. They are what they are called
// only where a name begins with them: Dataform has folders of its own.
var containers = map[string]bool{"project": true, "folder": true, "organization": true}

// variables are the parts that names of more than one type are made of, or whose
// mistakes are worth catching before Google is asked, by their name or by that of the
// API and theirs. A part that is not here takes anything that can stand in a path.
var variables = map[string]*variable{
	"project": {
		// The third form is of projects that live in a domain: example.com:project.
		pattern: lazy.Regexp(`^([a-z][a-z0-9-]{4,28}[a-z0-9]|[1-9][0-9]{0,18}|[a-z0-9][a-z0-9.-]{0,60}\.[a-z][a-z0-9-]*[a-z0-9]:[a-z][a-z0-9-]{0,28}[a-z0-9])$`),
		rule:    "6 to 30 of a-z, 0-9 and -, beginning with a letter and not ending with -; or a project number", noun: "project id",
	},
	"folder":       {pattern: numeric, rule: "digits only", noun: "folder number"},
	"organization": {pattern: numeric, rule: "digits only", noun: "organization number"},
	// Apigee's organizations are projects (apigee/docs/api-platform/fundamentals/organization-structure).
	"apigee/organization": {pattern: lazy.Regexp(`^[a-z][a-z0-9-]{0,61}[a-z0-9]$`), rule: "a-z, 0-9 and -", noun: "name of an Apigee organization"},
	"billingAccount": {
		pattern: lazy.Regexp(`^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$`),
		rule:    "three times six of 0-9 and A-F, joined with -", noun: "billing account",
	},
	// A location may become part of a host's name, so it holds nothing else.
	"location": {pattern: place, rule: "such as europe-west3, us or global", noun: "location"},
	"region":   {pattern: place, rule: "such as europe-west3", noun: "region"},
	"zone":     {pattern: place, rule: "such as europe-west3-a", noun: "zone"},
	"storage/bucket": {
		pattern: lazy.Regexp(`^[a-z0-9]([a-z0-9_.-]{1,220})[a-z0-9]$`),
		rule:    "3 to 63 of a-z, 0-9, -, _ and ., beginning and ending with a letter or digit", noun: "bucket name",
		// Names with dots may be longer, each part at most 63 (storage/docs/buckets#naming).
		more: func(name string) bool {
			for part := range strings.SplitSeq(name, ".") {
				if part == "" || len(part) > 63 {
					return false
				}
			}
			return true
		},
	},
	"storage/managedFolder": {
		pattern: lazy.Regexp(`^([^/]+/)+$`), most: 1024,
		rule: "up to 1024 bytes that end with a slash, such as 2026/", noun: "managed folder", // storage/docs/managed-folders
	},
	"bigquery/dataset": {
		pattern: lazy.Regexp(`^[A-Za-z0-9_]+$`), most: 1024,
		rule: "up to 1024 letters, digits and _", noun: "dataset id",
	},
	"bigquery/table": {
		pattern: lazy.Regexp(`^[\p{L}\p{M}\p{N}\p{Pc}\p{Pd}\p{Zs}]+$`), most: 1024,
		rule: "up to 1024 bytes of letters, digits, connectors, dashes and spaces", noun: "table id",
	},
	"pubsub/topic":        {pattern: pubsub, rule: pubsubRule, noun: "topic id"},
	"pubsub/subscription": {pattern: pubsub, rule: pubsubRule, noun: "subscription id"},
	"secretmanager/secret": {
		pattern: lazy.Regexp(`^[A-Za-z0-9_-]{1,255}$`),
		rule:    "up to 255 letters, digits, - and _", noun: "secret id",
	},
	"iam/serviceAccount": {
		pattern: lazy.Regexp(`^([a-z0-9][a-z0-9-]{0,62}@([a-z0-9-]+\.)*gserviceaccount\.com|[0-9]{15,25})$`),
		rule:    "its email, which ends in gserviceaccount.com, or its unique id", noun: "service account",
	},
	"iap/iap":              {pattern: lazy.Regexp(`^iap_(web|tunnel)(/.*)?$`), identifies: true},
	"servicebroker/broker": {pattern: lazy.Regexp(`^brokers/.`), identifies: true},
	// Object names hold anything but control characters (storage/docs/objects#naming).
	"storage/object": {pattern: lazy.Regexp(`.`), most: maxPrefix, rule: "1 to 1024 bytes", noun: "object name"},
}

// ruleFor returns what the variable at place i of an API's pattern must be, nil if that is
// no more than what every value must.
func ruleFor(api, name string, i int) *variable {
	if v := variables[api+"/"+name]; v != nil {
		return v
	}
	if containers[name] && i != 1 {
		return nil
	}
	return variables[name]
}

var (
	numeric = lazy.Regexp(`^[1-9][0-9]{0,18}$`)
	place   = lazy.Regexp(`^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$`)
	pubsub  = lazy.Regexp(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
)

const pubsubRule = "3 to 255 letters, digits and -._~+%, beginning with a letter"

// check returns an error if value cannot be what stands in the segment.
func (s segment) check(value string) error {
	if s.rule != nil && s.rule.noun != "" {
		return s.rule.check(value)
	}
	parts := []string{value}
	if s.rest {
		parts = strings.Split(value, "/")
	}
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || strings.ContainsAny(p, "/{}*") || !utf8.ValidString(p) ||
			strings.ContainsFunc(p, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return fmt.Errorf("%q cannot be a name's part %s", value, s.variable)
		}
	}
	return nil
}

func (v *variable) check(value string) error {
	if value == "" {
		return fmt.Errorf("the %s is missing", v.noun)
	}
	if !v.pattern().MatchString(value) || v.most > 0 && len(value) > v.most || v.more != nil && !v.more(value) {
		return fmt.Errorf("%q is not a %s (%s)", value, v.noun, v.rule)
	}
	return nil
}

// valid reports whether value can be the variable of this name.
func valid(name, value string) bool { return variables[name].check(value) == nil }

// CheckProject returns an error that says what is wrong with a project id.
func CheckProject(id string) error { return variables["project"].check(id) }
