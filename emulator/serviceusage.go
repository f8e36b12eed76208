package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// Service Usage: which APIs are enabled in a project. Every API that a seed does not
// name as disabled is enabled.

const serviceUsageHost = "serviceusage.googleapis.com"

// titles are what Google calls the APIs in words; of others the name has to do.
var titles = map[string]string{
	iamHost: "Identity and Access Management (IAM) API", credentialsHost: "IAM Service Account Credentials API",
	resourceManagerHost: "Cloud Resource Manager API", serviceUsageHost: "Service Usage API", orgPolicyHost: "Organization Policy API",
	storageHost: "Cloud Storage API", pubsubHost: "Cloud Pub/Sub API", secretHost: "Secret Manager API", bigqueryHost: "BigQuery API",
	kmsHost: "Cloud Key Management Service (KMS) API", assetHost: "Cloud Asset API", stsHost: "Security Token Service API",
}

func title(service string) string {
	if t := titles[service]; t != "" {
		return t
	}
	return service
}

// serviceDisabled is the refusal of a call to an API that is not enabled in the project
// it counts for.
func serviceDisabled(service string, p *project) *apiError {
	page := "https://console.developers.google.com/apis/api/" + service + "/overview?project=" + p.Number
	e := forbidden("%s has not been used in project %s before or it is disabled. Enable it by visiting %s then retry. "+
		"If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
		title(service), p.Number, page)
	e.reason = "accessNotConfigured"
	return e.withDetails(
		map[string]any{"@type": "type.googleapis.com/google.rpc.Help", "links": []any{
			map[string]any{"description": "Google developers console API activation", "url": page}}},
		errorInfo("SERVICE_DISABLED", "googleapis.com", map[string]string{
			"service": service, "consumer": "projects/" + p.Number, "containerInfo": p.Number, "serviceTitle": title(service)}))
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
	if c.method.host == serviceUsageHost && c.method.writes {
		return nil // or nobody could ever enable it
	}
	for _, p := range c.consumers() {
		if slices.Contains(p.Disabled, c.method.host) {
			return serviceDisabled(c.method.host, p)
		}
	}
	return nil
}

func serviceUsageMethods() []method {
	const at = "/v1/projects/{project}/services"
	ms := []method{
		{id: "serviceusage.services.get", pattern: "GET " + at + "/{service}", serve: getService},
		{id: "serviceusage.services.batchGet", pattern: "GET " + at + ":batchGet", serve: batchGetServices},
		{id: "serviceusage.services.list", pattern: "GET " + at, serve: listServices},
		{id: "serviceusage.services.enable", pattern: "POST " + at + "/{service}:enable", writes: true, serve: enableService},
		{id: "serviceusage.services.batchEnable", pattern: "POST " + at + ":batchEnable", writes: true, serve: batchEnableServices},
		{id: "serviceusage.services.disable", pattern: "POST " + at + "/{service}:disable", writes: true, serve: disableService},
		{id: "serviceusage.operations.get", pattern: "GET /v1/operations/{operation}", serve: getServiceOperation},
	}
	for i := range ms {
		ms[i].host = serviceUsageHost
	}
	return ms
}

// service is an API as Service Usage shows it.
func (c *call) service(p *project, name string) map[string]any {
	state := c.enum("ENABLED", 2)
	if slices.Contains(p.Disabled, name) {
		state = c.enum("DISABLED", 1)
	}
	return map[string]any{
		"name": "projects/" + p.Number + "/services/" + name, "parent": "projects/" + p.Number, "state": state,
		"config": map[string]any{"name": name, "title": title(name)},
	}
}

// serviceProject returns the project of a call to a caller that has the permission.
func (c *call) serviceProject(permission string) (*project, error) {
	n, p, err := c.server.projectNode(c.vars["project"])
	if err != nil {
		return nil, err
	}
	return p, c.require(permission, n)
}

// checkService refuses what is no API.
func (c *call) checkService(name string) error {
	if !strings.HasSuffix(name, ".googleapis.com") {
		return notFound("Service %s not found.", name)
	}
	return nil
}

func getService(c *call) (any, error) {
	p, err := c.serviceProject("serviceusage.services.get")
	if err != nil {
		return nil, err
	}
	return c.service(p, c.vars["service"]), c.checkService(c.vars["service"])
}

// maxServices is how many APIs may be asked about at once
// (service-usage/docs/reference/rest/v1/services/batchGet).
const maxServices = 30

func batchGetServices(c *call) (any, error) {
	p, err := c.serviceProject("serviceusage.services.get")
	if err != nil {
		return nil, err
	}
	names := c.r.URL.Query()["names"]
	if len(names) == 0 || len(names) > maxServices {
		return nil, invalid("Between 1 and %d names are required, got %d.", maxServices, len(names))
	}
	services := []any{}
	for _, full := range names {
		rest, ok := strings.CutPrefix(full, "projects/")
		id, name, _ := strings.Cut(rest, "/services/")
		if !ok || c.state().projectBy(id) != p {
			return nil, invalid("The parent of %s is not %s.", full, c.vars["project"])
		}
		if err := c.checkService(name); err != nil {
			return nil, err
		}
		services = append(services, c.service(p, name))
	}
	return map[string]any{"services": services}, nil
}

// listServices lists the APIs that have a title here; the filter is state:ENABLED or
// state:DISABLED.
func listServices(c *call) (any, error) {
	p, err := c.serviceProject("serviceusage.services.list")
	if err != nil {
		return nil, err
	}
	names := slices.Clone(p.Disabled)
	for name := range titles {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch filter := c.query("filter"); filter {
	case "":
	case "state:ENABLED", "state:DISABLED":
		names = slices.DeleteFunc(names, func(name string) bool {
			return slices.Contains(p.Disabled, name) != (filter == "state:DISABLED")
		})
	default:
		return nil, invalid("Invalid filter: %s", filter)
	}
	return listing(c, "services", names, func(name string) map[string]any { return c.service(p, name) })
}

// serviceOperation is the long-running operation of a change, which is done at once.
func serviceOperation(answer map[string]any) map[string]any {
	return map[string]any{"name": "operations/acat.p2-done", "done": true, "response": answer}
}

func getServiceOperation(*call) (any, error) { return serviceOperation(map[string]any{}), nil }

func (c *call) enableAll(p *project, names []string) error {
	for _, name := range names {
		if err := c.checkService(name); err != nil {
			return err
		}
	}
	p.Disabled = slices.DeleteFunc(slices.Clone(p.Disabled), func(d string) bool { return slices.Contains(names, d) })
	return nil
}

func enableService(c *call) (any, error) {
	p, err := c.serviceProject("serviceusage.services.enable")
	if err != nil {
		return nil, err
	}
	if err := c.enableAll(p, []string{c.vars["service"]}); err != nil {
		return nil, err
	}
	return serviceOperation(map[string]any{"service": c.service(p, c.vars["service"])}), nil
}

func batchEnableServices(c *call) (any, error) {
	p, err := c.serviceProject("serviceusage.services.enable")
	if err != nil {
		return nil, err
	}
	var body struct {
		ServiceIDs []string `json:"serviceIds"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if len(body.ServiceIDs) == 0 {
		return nil, invalid("serviceIds is required.")
	}
	if err := c.enableAll(p, body.ServiceIDs); err != nil {
		return nil, err
	}
	services := []any{}
	for _, name := range body.ServiceIDs {
		services = append(services, c.service(p, name))
	}
	return serviceOperation(map[string]any{"services": services}), nil
}

func disableService(c *call) (any, error) {
	p, err := c.serviceProject("serviceusage.services.disable")
	if err != nil {
		return nil, err
	}
	name := c.vars["service"]
	if err := c.checkService(name); err != nil {
		return nil, err
	}
	if slices.Contains(p.Disabled, name) {
		return nil, fail(http.StatusBadRequest, "FAILED_PRECONDITION", "failedPrecondition", "The service %s is not enabled for project %s.", name, p.Number)
	}
	p.Disabled = append(slices.Clone(p.Disabled), name)
	return serviceOperation(map[string]any{"service": c.service(p, name)}), nil
}
