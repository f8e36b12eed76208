package manifest

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/review"
)

// schemaURL is where editors find the JSON Schema of manifests.
const schemaURL = "https://raw.githubusercontent.com/taskiam/taskiam/main/docs/manifest.schema.json"

// schemaLine begins a manifest that editors are to check. TOML's language servers read it.
const schemaLine = "#:schema " + schemaURL + "\n"

// The keys of each table: all that is read of a manifest, and all that the schema allows.
var (
	manifestKeys    = []string{"version", "task", "grant", "credentials", "network", "sandbox"}
	taskKeys        = []string{"name", "project", "ttl", "reason"}
	grantKeys       = []string{"role", "permissions", "resource", "condition", "unbounded", "allow_basic", "accept"}
	credentialsKeys = []string{"deliver", "token_lifetime", "audiences"}
	networkKeys     = []string{"allow", "resources", "max_upload", "host"}
	hostKeys        = []string{"host", "port", "write", "tunnel", "max_upload", "addresses", "header", "scheme", "from"}
)

// object is a JSON object of the schema.
type object = map[string]any

// durationPattern is what time.ParseDuration reads and is positive. The limits are the operator's, not the schema's.
const durationPattern = `^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(h|m|s|ms|us|µs|μs|ns)` +
	`(([0-9]+(\.[0-9]*)?|\.[0-9]+)(h|m|s|ms|us|µs|μs|ns))*$`

// Schema returns the JSON Schema of manifests, as JSON. It refuses no manifest that [Parse] accepts; what depends on
// a resource, a role or a condition is for [Parse] alone.
func Schema() ([]byte, error) {
	task := tableSchema("The task itself.", object{
		"name": text(namePattern(), "Its first 11 characters are in the name of the service account."),
		"project": object{"type": "string", "minLength": 1,
			"description": "Id of the project that hosts the account; the configuration's if it is left out."},
		"ttl": object{"type": "string", "pattern": durationPattern, "examples": []string{"1h", "90m"},
			"description": "How long the access lasts; the configuration's or 1h if it is left out."},
		"reason": object{"type": "string", "pattern": `^[ -~]*$`, "maxLength": maxReason,
			"description": "Sent with every call, so that it shows in audit logs."},
	}, "name")
	credentials := tableSchema("How the task gets its credential.", object{
		"deliver": oneOrMore(object{"enum": deliveryNames()},
			"What the task is given, the best first: the first kind that is allowed is taken."),
		"token_lifetime": object{"type": "string", "pattern": durationPattern,
			"description": "How long one access token lives, 5m to 1h."},
		"audiences": oneOrMore(object{"type": "string", "pattern": `^[^\x00- \x7f]+$`},
			"For whom the metadata server makes identity tokens."),
	})
	whole := tableSchema("What one task may do in Google Cloud, and for how long.", object{
		"version":     object{"const": version, "description": "The version of this format."},
		"task":        task,
		"grant":       object{"type": "array", "minItems": 1, "items": grantSchema()},
		"credentials": credentials,
		"network":     networkSchema(),
		"sandbox":     sandboxSchema(),
	}, "version", "task", "grant")
	whole["$schema"], whole["$id"] = "http://json-schema.org/draft-07/schema#", schemaURL
	whole["title"] = "Manifest of a task for taskiam"

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(whole)
	return b.Bytes(), err
}

func grantSchema() object {
	accepted := object{}
	for _, rule := range review.Rules {
		if rule.Accept != "" {
			continue
		}
		reason := object{"type": "string", "pattern": `\S`, "maxLength": maxReason, "description": rule.Why}
		accepted[string(rule.Name)] = reason
		if rule.Was != "" {
			accepted[rule.Was] = reason
		}
	}
	grant := tableSchema("One role, or one list of permissions, on one resource.", object{
		"role": text(rolePattern(), "A predefined role, or a custom one of a project or an organization."),
		"permissions": object{"type": "array", "minItems": 1, "maxItems": grants.MaxPermissions, "uniqueItems": true,
			"items":       object{"type": "string", "pattern": grants.PermissionPattern},
			"description": "What it may do, in the place of a role: SERVICE.RESOURCE.VERB."},
		"resource": object{"type": "string", "minLength": 1, "examples": []string{"gs://acme-reports/2026/"},
			"description": "Where: a short form, a relative or full resource name, or a link to it."},
		"condition": object{"type": "string", "pattern": `\S`, "description": "A condition of your own, in IAM's CEL."},
		"unbounded": object{"enum": []string{"accept"}, "description": "This grant may end with `taskiam down` alone."},
		"allow_basic": object{"type": "boolean",
			"description": "roles/owner, roles/editor or roles/viewer is meant."},
		"accept": object{"type": "object", "minProperties": 1, "additionalProperties": false, "properties": accepted,
			"description": "Findings that this grant is known to come with, each with the reason why it is meant."},
	}, "resource")
	grant["oneOf"] = []object{{"required": []string{"role"}}, {"required": []string{"permissions"}}}
	return grant
}

func networkSchema() object {
	bytes := text(uploadPattern(), "How many bytes may be sent: a number with B, KiB, MiB or GiB.")
	name := text(hostPattern(), "The full name of a host.")
	host := tableSchema("A host with more than reading, or at another port than 443.", object{
		"host": name,
		"port": object{"type": "integer", "minimum": 1, "maximum": 65535, "description": "443 if it is left out."},
		"write": object{"type": "boolean",
			"description": "Requests of every method and with every login pass: a way out."},
		"tunnel": object{"type": "boolean",
			"description": "The connection is not opened, so that everything passes: a way out."},
		"max_upload": bytes,
		"addresses": oneOrMore(object{"type": "string", "pattern": `^[0-9a-f:.]+(/[0-9]{1,3})?$`},
			"Addresses that it may have although they are not those of the internet."),
		"header": text(headerPattern(), "The field in which a credential is added, outside of the sandbox."),
		"scheme": text(schemePattern(), "The word before the credential, such as Bearer."),
		"from": text(fromPattern(), "Where the credential is read: env:NAME, file:PATH, command:PROGRAM ARGUMENT ... "+
			"or secret:projects/P/secrets/S."),
	}, "host")
	host["dependencies"] = object{
		"header": []string{"from"}, "from": []string{"header"}, "scheme": []string{"header"},
	}
	return tableSchema("What may be reached in a closed network, beside Google's APIs.", object{
		"allow": oneOrMore(name, "Hosts that may be read from, without a login."),
		"resources": oneOrMore(object{"type": "string", "minLength": 1},
			"What may be named in requests to Google's APIs, beside the resources of the grants."),
		"max_upload": bytes,
		"host":       object{"type": "array", "minItems": 1, "items": host},
	})
}

// tableSchema is the schema of a table that has these keys and no others.
func tableSchema(about string, properties object, required ...string) object {
	s := object{"type": "object", "additionalProperties": false, "properties": properties, "description": about}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func text(pattern *regexp.Regexp, about string) object {
	return object{"type": "string", "pattern": pattern.String(), "description": about}
}

// oneOrMore is the schema of a value that may stand alone or in a list.
func oneOrMore(one object, about string) object {
	return object{"description": about, "oneOf": []object{
		one, {"type": "array", "minItems": 1, "uniqueItems": true, "items": one},
	}}
}

func deliveryNames() []string {
	var names []string
	for _, kind := range delivery.Kinds() {
		names = append(names, string(kind.Name))
	}
	return names
}
