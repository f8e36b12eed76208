package emulator

import "slices"

// Service Usage: which APIs are enabled in a project. Every API that a seed does not
// name as disabled is enabled.

// serviceDisabled is the refusal of a call to an API that is not enabled in the project
// it counts for.
func (st *state) serviceDisabled(service string, p *project) *apiError {
	page := "https://console.developers.google.com/apis/api/" + service + "/overview?project=" + p.Number
	e := forbidden("%s has not been used in project %s before or it is disabled. Enable it by visiting %s then retry. "+
		"If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
		st.title(service), p.Number, page)
	e.reason = "accessNotConfigured"
	return e.withDetails(
		map[string]any{"@type": "type.googleapis.com/google.rpc.Help", "links": []any{
			map[string]any{"description": "Google developers console API activation", "url": page}}},
		errorInfo("SERVICE_DISABLED", "googleapis.com", map[string]string{
			"service": service, "consumer": "projects/" + p.Number, "containerInfo": p.Number, "serviceTitle": st.title(service)}))
}

// consumers returns the projects that a call counts for. Google documents the one that
// the client names, else the caller's own if that is a service account, and for APIs
// "based on resources" that of the resource (docs/quotas/quota-project); which API is of
// which kind it does not list, so that here all have to have it.
func (c *call) consumers() []*project {
	ids := []string{c.vars["project"]}
	if payer := c.r.Header.Get("X-Goog-User-Project"); payer != "" {
		ids = append(ids, payer)
	} else if c.caller != nil && c.caller.account != nil {
		ids = append(ids, c.caller.account.ProjectID)
	}
	if c.vars["project"] == "-" {
		if a := c.state().accountByEmail(c.vars["account"]); a != nil {
			ids = append(ids, a.ProjectID)
		}
	}
	var out []*project
	for _, id := range ids {
		if p := c.state().projectBy(id); p != nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// enabled refuses a call to an API that is not enabled. That is decided before any
// permission is.
func (c *call) enabled() error {
	if c.method.always {
		return nil
	}
	for _, p := range c.consumers() {
		if slices.Contains(p.Disabled, c.method.host) {
			return c.state().serviceDisabled(c.method.host, p)
		}
	}
	return nil
}
