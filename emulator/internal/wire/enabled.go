package wire

import (
	"slices"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Service Usage: which APIs are enabled in a project. Every API that a seed does not
// name as disabled is enabled.

// serviceDisabled is the refusal of a call to an API that is not enabled in the project
// it counts for.
func (st *State) serviceDisabled(service string, p *iam.Project) *Error {
	page := "https://console.developers.google.com/apis/api/" + service + "/overview?project=" + p.Number
	e := Forbidden("%s has not been used in project %s before or it is disabled. Enable it by visiting %s then retry. "+
		"If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
		st.Title(service), p.Number, page)
	e.Reason = "accessNotConfigured"
	return e.WithDetails(
		map[string]any{"@type": "type.googleapis.com/google.rpc.Help", "links": []any{
			map[string]any{"description": "Google developers console API activation", "url": page}}},
		ErrorInfo("SERVICE_DISABLED", "googleapis.com", map[string]string{
			"service": service, "consumer": "projects/" +
				p.Number, "containerInfo": p.Number, "serviceTitle": st.Title(service)}))
}

// consumerInvalid is the refusal of a call that counts for a project which was shut down.
func consumerInvalid(service string, p *iam.Project) *Error {
	return Forbidden("Permission denied on resource project %s.", p.ID).WithDetails(
		map[string]any{"@type": "type.googleapis.com/google.rpc.Help", "links": []any{
			map[string]any{"description": "Google developers console",
				"url": "https://console.developers.google.com"}}},
		ErrorInfo("CONSUMER_INVALID", "googleapis.com", map[string]string{
			"service": service, "consumer": "projects/" + p.ID, "containerInfo": p.ID}))
}

// consumers returns the projects that a call counts for. Google documents the one that
// the client names, else the caller's own if that is a service account, and for APIs
// "based on resources" that of the resource (docs/quotas/quota-project); which API is of
// which kind it does not list, so that here all have to have it.
func (c *Call) consumers() []*iam.Project {
	ids := []string{c.Vars["project"]}
	if payer := c.Payer(); payer != "" {
		ids = append(ids, payer)
	} else if c.Caller != nil && c.Caller.Account != nil {
		ids = append(ids, c.Caller.Account.ProjectID)
	}
	if c.Vars["project"] == "-" {
		if a := c.State().AccountByEmail(c.Vars["account"]); a != nil {
			ids = append(ids, a.ProjectID)
		}
	}
	for _, k := range c.keys { // docs/quotas/quota-project names the key's project too
		ids = append(ids, k.Project.ID)
	}
	var out []*iam.Project
	for _, id := range ids {
		if p := c.State().ProjectBy(id); p != nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// enabled refuses a call to an API that is not enabled, or that counts for a project which
// was shut down. That is decided before any permission is.
func (c *Call) enabled() error {
	for _, p := range c.consumers() {
		// Resource Manager shows and restores such a project.
		if p.IsDeleted() && (c.Method.Host != iam.ResourceManagerHost || p.ID != c.Vars["project"] &&
			p.Number != c.Vars["project"]) {
			return consumerInvalid(c.Method.Host, p)
		}
	}
	if c.Method.Always {
		return nil
	}
	for _, p := range c.consumers() {
		if slices.Contains(p.Disabled, c.Method.Host) {
			return c.State().serviceDisabled(c.Method.Host, p)
		}
	}
	return nil
}
