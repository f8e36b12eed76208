package view

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// printed is a document with every list in it filled, and its fields.
type printed struct {
	document any
	want     string
}

// printedDocuments are all that `--json` prints.
func printedDocuments() []printed {
	const run = `run task state cloud endpoint operator project account started expires renewals renewing_to seconds_left clock_ahead_seconds manifest job deliver delivery server server.pid server.running
		grants grants.role grants.permissions grants.resource grants.prefix grants.condition grants.ends_by_itself grants.works_until grants.readiness grants.why grants.accepted endless endless.role endless.resource endless.condition left verified`
	runs := func(fields string) string {
		return "runs runs." + strings.Join(strings.Fields(fields), " runs.")
	}
	aRun := Run{Grants: []Grant{{}}, Endless: []Endless{{}}, Server: &Server{}}
	binding := Binding{Condition: &Condition{}}
	dropped := []Dropped{{Binding: binding}}
	const drops = ` dropped dropped.resource dropped.role dropped.member dropped.condition dropped.condition.title dropped.condition.expression dropped.state`
	return []printed{
		{Version{Schema: "taskiam.version/v1"}, "schema version revision time modified build go platform"},
		{EmulatorStatus{Schema: "taskiam.emulator-status/v1"}, "schema address operator now"},
		{Resources{Schema: "taskiam.resources/v1", Types: []ResourceType{{}}}, `schema types types.id types.kind types.api types.full_name types.example
			types.bindable types.conditions types.resource_name types.by_number types.resource_type types.provable types.policy_version_in`},
		{Failure{Schema: "taskiam.error/v1", Problems: []Problem{{}}, Wider: []Widening{{}}}, `schema exit_code kind errors hints
			problems problems.file problems.line problems.column problems.message problems.fix problems.or
			wider wider.kind wider.grant wider.what wider.now wider.was`},
		{Trust{Schema: "taskiam.trust/v1", Wider: []Widening{{}}},
			"schema manifest task first wider wider.kind wider.grant wider.what wider.now wider.was"},
		{Validation{Schema: "taskiam.validation/v1", Problems: []Problem{{}}}, `schema ok files
			problems problems.file problems.line problems.column problems.message problems.fix problems.or`},
		{Status{Schema: "taskiam.status/v1", Runs: []Run{aRun}}, "schema " + runs(run)},
		{Up{Schema: "taskiam.run/v1", Run: aRun}, "schema reused elapsed_ms " + run},
		{Renewal{Schema: "taskiam.renewal/v1", Run: aRun}, "schema was elapsed_ms " + run},
		{Environment{Schema: "taskiam.env/v1"}, "schema run task account project expires env"},
		{Token{Schema: "taskiam.token/v1"}, "schema run account token expires"},
		{Sweep{Schema: "taskiam.sweep/v1", Projects: []SweptProject{{Runs: []SweptRun{{Steps: []Step{{}}, Dropped: dropped}}}}},
			`schema dry_run elapsed_ms projects projects.project projects.accounts projects.searched projects.short projects.unread projects.error
			projects.runs projects.runs.run projects.runs.task projects.runs.account projects.runs.expires projects.runs.kind projects.runs.state
			projects.runs.bound projects.runs.looked projects.runs.left projects.runs.error projects.runs.steps projects.runs.steps.step
			projects.runs.steps.at projects.runs.steps.on projects.runs.steps.error projects.runs.steps.missing` + strings.ReplaceAll(drops, " ", " projects.runs.")},
		{SweptRoles{Schema: "taskiam.swept-roles/v1", Projects: []SweptRolesProject{{Roles: []SweptRole{{}}}}},
			`schema dry_run elapsed_ms projects projects.project projects.custom_roles projects.error
			projects.roles projects.roles.role projects.roles.permissions projects.roles.state projects.roles.why projects.roles.bound projects.roles.error`},
		{NewReceipts(Receipt{
			Renewals: []Renewed{{}}, Declared: []Declared{{}}, CustomRoles: []SharedRole{{}}, Granted: []Granted{{Condition: &Condition{}}},
			Dropped: dropped, Minted: Minted{Keys: []Key{{}}}, Steps: []Step{{}}, Checks: []Check{{}},
			Used: []Used{{}}, Unused: []Unused{{}},
		}), "schema " + runs(`run task state cloud endpoint operator project account unique_id manifest manifest_sha256 reason started up expires
			time_over renewals renewals.at renewals.expires renewals.state clock_ahead_seconds down closed elapsed_ms already clean left forgotten by_hand error delivery_missing
			declared declared.role declared.permissions declared.resource declared.prefix declared.condition declared.ends_by_itself
			declared.works_until declared.readiness declared.why declared.accepted declared.known_at
			custom_roles custom_roles.role custom_roles.permissions custom_roles.origin
			granted granted.role granted.resource granted.condition granted.condition.title granted.condition.expression granted.read_back granted.state granted.missing
			minted minted.keys minted.keys.id minted.keys.until minted.keys.state minted.keys.missing minted.tokens minted.tokens_until
			used used.method used.host used.resources used.refused used.calls used.failed used.sent used.received used_more
			unused unused.role unused.permissions unused.resource
			steps steps.at steps.step steps.on steps.error steps.missing checks checks.what checks.ok checks.found`+drops)},
		{Doctor{Schema: "taskiam.doctor/v1", Findings: []Examined{{}}},
			"schema ok cloud endpoint operator tasks findings findings.about findings.what findings.state findings.says findings.mend"},
		{Operator{Schema: "taskiam.operator/v1", Roles: []OperatorRole{{}}, Bindings: []OperatorBinding{{Condition: &Condition{}}}, Optional: []Optional{{}}},
			`schema member tasks commands notes roles roles.parent roles.roleId roles.role roles.role.title roles.role.description roles.role.stage roles.role.includedPermissions
			bindings bindings.resource bindings.full_resource bindings.role bindings.member bindings.condition bindings.condition.title bindings.condition.expression bindings.fence
			optional optional.permission optional.for`},
		{Plan{
			Schema: "taskiam.plan/v1", Edits: []Edit{{Bindings: []EditBinding{{Condition: &Condition{}, Offer: &Offer{}, CustomRole: &CustomRole{}}}, Dropped: []Binding{binding}}},
			Notes: []Note{{}}, Ambient: []Ambient{{Bindings: []Binding{binding}}}, Refusals: []Refusal{{}}, WaysOut: []WayOut{{}},
			Outlook: Outlook{
				Roles: []Role{{}}, Findings: []Finding{{}}, Forecast: Forecast{Members: []Room{{}}},
				Effective: []Effective{{Sources: []Source{{Condition: &Condition{}}}}},
			},
		}, `schema task manifest cloud endpoint operator project account ttl_seconds expires deliver calls
			edits edits.resource edits.bindings edits.bindings.grant edits.bindings.role edits.bindings.condition
			edits.bindings.condition.title edits.bindings.condition.expression edits.bindings.ends_by_itself edits.bindings.works_until edits.bindings.permissions edits.bindings.of_no_use
			edits.bindings.offer edits.bindings.offer.toml edits.bindings.offer.widens
			edits.dropped edits.dropped.role edits.dropped.member edits.dropped.condition edits.dropped.condition.title edits.dropped.condition.expression
			edits.bindings.custom_role edits.bindings.custom_role.state edits.bindings.custom_role.permissions edits.bindings.custom_role.testing
			notes notes.grant notes.text
			ambient ambient.resource ambient.known ambient.bindings ambient.bindings.role ambient.bindings.member
			ambient.bindings.condition ambient.bindings.condition.title ambient.bindings.condition.expression
			unseen refusals refusals.kind refusals.message propagation
			ways_out ways_out.host ways_out.port ways_out.verbs ways_out.way_out ways_out.max_upload ways_out.credential ways_out.header
			ways_out.resources ways_out.addresses
			roles roles.role roles.grants_access roles.runs_code roles.deletes roles.writes roles.reads
			findings findings.name findings.grade findings.grant findings.why findings.instead findings.accepted
			effective effective.resource effective.permissions effective.unknown effective.sources effective.sources.on effective.sources.grant
			effective.sources.role effective.sources.member effective.sources.condition effective.sources.condition.title
			effective.sources.condition.expression effective.sources.holds
			forecast forecast.accounts forecast.accounts_of forecast.accounts_left forecast.custom_roles forecast.custom_roles_of
			forecast.custom_roles_left forecast.members forecast.members.resource forecast.members.left forecast.members.deleted`},
	}
}

// TestDocumentsHaveExactlyTheseFields restates every field of every --json document:
// scripts rely on them, so they are only ever added, and never by accident.
func TestDocumentsHaveExactlyTheseFields(t *testing.T) {
	t.Parallel()
	for _, c := range printedDocuments() {
		b, err := json.Marshal(c.document)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		got, want := fieldsOf("", v), strings.Fields(c.want)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%T (-want +got):\n%s", c.document, d)
		}
		schema, _ := v["schema"].(string)
		if !strings.HasPrefix(schema, "taskiam.") || !strings.HasSuffix(schema, "/v1") {
			t.Errorf("%T has the schema %q", c.document, schema)
		}
	}
}

// fieldsOf returns the names of all fields, those of lists once.
func fieldsOf(prefix string, v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			out = append(out, prefix+name)
			out = append(out, fieldsOf(prefix+name+".", inner)...)
		}
	case []any:
		for _, inner := range v {
			out = append(out, fieldsOf(prefix, inner)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
