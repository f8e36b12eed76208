package emulator

import (
	"net/http"
	"slices"
	"strings"
)

const serviceUsageHost = "serviceusage.googleapis.com"

// usageService is Service Usage.
func usageService() *service {
	return &service{Name: serviceUsageHost, Title: "Service Usage API", Methods: serviceUsageMethods()}
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
		ms[i].always = ms[i].writes // or nobody could ever enable it
	}
	return ms
}

// showService is an API as Service Usage shows it.
func showService(c *call, p *project, name string) map[string]any {
	state := c.enum("ENABLED", 2)
	if slices.Contains(p.Disabled, name) {
		state = c.enum("DISABLED", 1)
	}
	return map[string]any{
		"name": "projects/" + p.Number + "/services/" + name, "parent": "projects/" + p.Number, "state": state,
		"config": map[string]any{"name": name, "title": c.state().title(name)},
	}
}

// serviceProject returns the project of a call to a caller that has the permission.
func serviceProject(c *call, permission string) (*project, error) {
	n, p, err := c.state().projectNode(c.vars["project"])
	if err != nil {
		return nil, err
	}
	return p, c.require(permission, n)
}

// checkService refuses what is no API.
func checkService(c *call, name string) error {
	if !strings.HasSuffix(name, ".googleapis.com") {
		return notFound("Service %s not found.", name)
	}
	return nil
}

func getService(c *call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.get")
	if err != nil {
		return nil, err
	}
	return showService(c, p, c.vars["service"]), checkService(c, c.vars["service"])
}

// maxServices is how many APIs may be asked about at once
// (service-usage/docs/reference/rest/v1/services/batchGet).
const maxServices = 30

func batchGetServices(c *call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.get")
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
		if err := checkService(c, name); err != nil {
			return nil, err
		}
		services = append(services, showService(c, p, name))
	}
	return map[string]any{"services": services}, nil
}

// listServices lists the APIs that have a title here; the filter is state:ENABLED or
// state:DISABLED.
func listServices(c *call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.list")
	if err != nil {
		return nil, err
	}
	names := slices.Clone(p.Disabled)
	for _, name := range c.state().apis() {
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
	return listing(c, "services", names, func(c *call, name string) map[string]any { return showService(c, p, name) })
}

// serviceOperation is the long-running operation of a change, which is done at once.
func serviceOperation(answer map[string]any) map[string]any {
	return map[string]any{"name": "operations/acat.p2-done", "done": true, "response": answer}
}

func getServiceOperation(*call) (any, error) { return serviceOperation(map[string]any{}), nil }

func enableAll(c *call, p *project, names []string) error {
	for _, name := range names {
		if err := checkService(c, name); err != nil {
			return err
		}
	}
	p.Disabled = slices.DeleteFunc(slices.Clone(p.Disabled), func(d string) bool { return slices.Contains(names, d) })
	return nil
}

func enableService(c *call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.enable")
	if err != nil {
		return nil, err
	}
	if err := enableAll(c, p, []string{c.vars["service"]}); err != nil {
		return nil, err
	}
	return serviceOperation(map[string]any{"service": showService(c, p, c.vars["service"])}), nil
}

func batchEnableServices(c *call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.enable")
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
	if err := enableAll(c, p, body.ServiceIDs); err != nil {
		return nil, err
	}
	services := []any{}
	for _, name := range body.ServiceIDs {
		services = append(services, showService(c, p, name))
	}
	return serviceOperation(map[string]any{"services": services}), nil
}

func disableService(c *call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.disable")
	if err != nil {
		return nil, err
	}
	name := c.vars["service"]
	if err := checkService(c, name); err != nil {
		return nil, err
	}
	if slices.Contains(p.Disabled, name) {
		return nil, fail(http.StatusBadRequest, "FAILED_PRECONDITION", "failedPrecondition", "The service %s is not enabled for project %s.", name, p.Number)
	}
	p.Disabled = append(slices.Clone(p.Disabled), name)
	return serviceOperation(map[string]any{"service": showService(c, p, name)}), nil
}
