package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/taskiam/taskiam/internal/grants"
)

// servicesBatch is how many services may be asked about at once
// (service-usage/docs/reference/rest/v1/services/batchGet).
const servicesBatch = 30

// EnabledServices returns those of the services, such as "pubsub.googleapis.com", that
// are enabled in a project. It takes the permission serviceusage.services.get there.
func (c *Client) EnabledServices(ctx context.Context, project string, services []string) ([]string, error) {
	parent := "projects/" + url.PathEscape(project)
	var enabled []string
	for batch := range slices.Chunk(services, servicesBatch) {
		query := url.Values{}
		for _, s := range batch {
			query.Add("names", parent+"/services/"+s)
		}
		doing := task{"asking which APIs are enabled in project", project}
		some, err := call(ctx, c, doing, func(ctx context.Context) ([]string, error) {
			data, err := rest(ctx, c.as, http.MethodGet,
				"https://serviceusage.googleapis.com/v1/"+parent+"/services:batchGet?"+query.Encode(), nil, nil)
			if err != nil {
				return nil, err
			}
			var answer struct {
				Services []struct {
					State  string                `json:"state"`
					Config struct{ Name string } `json:"config"`
				} `json:"services"`
			}
			if err := json.Unmarshal(data, &answer); err != nil {
				return nil, fmt.Errorf("parsing the answer: %w", err)
			}
			var names []string
			for _, s := range answer.Services {
				if s.State == "ENABLED" {
					names = append(names, s.Config.Name)
				}
			}
			return names, nil
		})
		if err != nil {
			return nil, err
		}
		enabled = append(enabled, some...)
	}
	return enabled, nil
}

// Constraint returns what a constraint of organisation policies, such as
// "iam.disableServiceAccountKeyUpload", comes to in a project, wherever above it that is
// said. It takes the permission orgpolicy.policy.get there.
func (c *Client) Constraint(ctx context.Context, project, name string) (grants.Constraint, error) {
	doing := task{"reading the organisation policy " + name + " of project", project}
	return call(ctx, c, doing, func(ctx context.Context) (grants.Constraint, error) {
		data, err := rest(ctx, c.as, http.MethodGet,
			"https://orgpolicy.googleapis.com/v2/projects/"+url.PathEscape(project)+"/policies/"+
				url.PathEscape(name)+":getEffectivePolicy", nil, nil)
		if err != nil {
			return grants.Constraint{}, err
		}
		var answer struct {
			Spec struct {
				Rules []struct {
					Enforce bool `json:"enforce"`
					DenyAll bool `json:"denyAll"`
					Values  struct {
						Allowed []string `json:"allowedValues"`
					} `json:"values"`
				} `json:"rules"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(data, &answer); err != nil {
			return grants.Constraint{}, fmt.Errorf("parsing the answer: %w", err)
		}
		var out grants.Constraint
		for _, r := range answer.Spec.Rules {
			out.Enforced = out.Enforced || r.Enforce || r.DenyAll || len(r.Values.Allowed) > 0
			out.Allowed = append(out.Allowed, r.Values.Allowed...)
		}
		return out, nil
	})
}
