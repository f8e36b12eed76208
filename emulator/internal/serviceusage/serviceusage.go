// Package serviceusage is the Service Usage API of the emulator: which APIs are enabled in a
// project.
package serviceusage

import (
	"net/http"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const host = "serviceusage.googleapis.com"

// Service is Service Usage.
func Service() *wire.Service {
	return &wire.Service{Name: host, Title: "Service Usage API", Methods: methods()}
}

func methods() []wire.Method {
	const at = "/v1/projects/{project}/services"
	ms := []wire.Method{
		{ID: "serviceusage.services.get", Pattern: "GET " + at + "/{service}", Serve: getService},
		{ID: "serviceusage.services.batchGet", Pattern: "GET " + at + ":batchGet", Serve: batchGetServices},
		{ID: "serviceusage.services.list", Pattern: "GET " + at, Serve: listServices},
		{ID: "serviceusage.services.enable", Pattern: "POST " + at + "/{service}:enable", Writes: true,
			Serve: enableService},
		{ID: "serviceusage.services.batchEnable", Pattern: "POST " + at + ":batchEnable", Writes: true,
			Serve: batchEnableServices},
		{ID: "serviceusage.services.disable", Pattern: "POST " + at + "/{service}:disable", Writes: true,
			Serve: disableService},
		{ID: "serviceusage.operations.get", Pattern: "GET /v1/operations/{operation}", Serve: getServiceOperation},
	}
	for i := range ms {
		ms[i].Host = host
		ms[i].Always = ms[i].Writes // or nobody could ever enable it
	}
	return ms
}

// showService is an API as Service Usage shows it.
func showService(c *wire.Call, p *iam.Project, name string) map[string]any {
	state := c.Enum("ENABLED", 2)
	if slices.Contains(p.Disabled, name) {
		state = c.Enum("DISABLED", 1)
	}
	return map[string]any{
		"name": "projects/" + p.Number + "/services/" + name, "parent": "projects/" + p.Number, "state": state,
		"config": map[string]any{"name": name, "title": c.State().Title(name)},
	}
}

// serviceProject returns the project of a call to a caller that has the permission.
func serviceProject(c *wire.Call, permission string) (*iam.Project, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, err
	}
	return p, c.Require(permission, n)
}

// checkService refuses what is no API.
func checkService(c *wire.Call, name string) error {
	if !strings.HasSuffix(name, ".googleapis.com") {
		return wire.NotFound("Service %s not found.", name)
	}
	return nil
}

func getService(c *wire.Call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.get")
	if err != nil {
		return nil, err
	}
	return showService(c, p, c.Vars["service"]), checkService(c, c.Vars["service"])
}

// maxServices is how many APIs may be asked about at once
// (service-usage/docs/reference/rest/v1/services/batchGet).
const maxServices = 30

func batchGetServices(c *wire.Call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.get")
	if err != nil {
		return nil, err
	}
	names := c.Request.URL.Query()["names"]
	if len(names) == 0 || len(names) > maxServices {
		return nil, wire.Invalid("Between 1 and %d names are required, got %d.", maxServices, len(names))
	}
	services := []any{}
	for _, full := range names {
		rest, ok := strings.CutPrefix(full, "projects/")
		id, name, _ := strings.Cut(rest, "/services/")
		if !ok || c.State().ProjectBy(id) != p {
			return nil, wire.Invalid("The parent of %s is not %s.", full, c.Vars["project"])
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
func listServices(c *wire.Call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.list")
	if err != nil {
		return nil, err
	}
	names := slices.Clone(p.Disabled)
	for _, name := range c.State().APIs() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch filter := c.Query("filter"); filter {
	case "":
	case "state:ENABLED", "state:DISABLED":
		names = slices.DeleteFunc(names, func(name string) bool {
			return slices.Contains(p.Disabled, name) != (filter == "state:DISABLED")
		})
	default:
		return nil, wire.Invalid("Invalid filter: %s", filter)
	}
	return wire.Listing(c, "services", names, func(c *wire.Call, name string) map[string]any {
		return showService(c, p, name)
	})
}

// serviceOperation is the long-running operation of a change, which is done at once.
func serviceOperation(answer map[string]any) map[string]any {
	return map[string]any{"name": "operations/acat.p2-done", "done": true, "response": answer}
}

func getServiceOperation(*wire.Call) (any, error) { return serviceOperation(map[string]any{}), nil }

func enableAll(c *wire.Call, p *iam.Project, names []string) error {
	for _, name := range names {
		if err := checkService(c, name); err != nil {
			return err
		}
	}
	p.Disabled = slices.DeleteFunc(slices.Clone(p.Disabled), func(d string) bool { return slices.Contains(names, d) })
	return nil
}

func enableService(c *wire.Call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.enable")
	if err != nil {
		return nil, err
	}
	if err := enableAll(c, p, []string{c.Vars["service"]}); err != nil {
		return nil, err
	}
	return serviceOperation(map[string]any{"service": showService(c, p, c.Vars["service"])}), nil
}

func batchEnableServices(c *wire.Call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.enable")
	if err != nil {
		return nil, err
	}
	var body struct {
		ServiceIDs []string `json:"serviceIds"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if len(body.ServiceIDs) == 0 {
		return nil, wire.Invalid("serviceIds is required.")
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

func disableService(c *wire.Call) (any, error) {
	p, err := serviceProject(c, "serviceusage.services.disable")
	if err != nil {
		return nil, err
	}
	name := c.Vars["service"]
	if err := checkService(c, name); err != nil {
		return nil, err
	}
	if slices.Contains(p.Disabled, name) {
		return nil, wire.Fail(http.StatusBadRequest, "FAILED_PRECONDITION", "failedPrecondition",
			"The service %s is not enabled for project %s.", name, p.Number)
	}
	p.Disabled = append(slices.Clone(p.Disabled), name)
	return serviceOperation(map[string]any{"service": showService(c, p, name)}), nil
}
