package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/resource"
)

// Ancestors returns a project and what is above it, the nearest first: what its
// resources inherit access from.
func (c *Client) Ancestors(ctx context.Context, project string) ([]resource.Name, error) {
	doing := task{"reading the parents of project", project}
	return call(ctx, c, doing, func(ctx context.Context) ([]resource.Name, error) {
		data, err := rest(ctx, c.as, http.MethodPost,
			"https://cloudresourcemanager.googleapis.com/v1/projects/"+url.PathEscape(project)+":getAncestry",
			nil, []byte("{}"))
		if err != nil {
			return nil, err
		}
		var answer struct {
			Ancestor []struct {
				ResourceID struct{ Type, ID string } `json:"resourceId"`
			} `json:"ancestor"`
		}
		if err := json.Unmarshal(data, &answer); err != nil {
			return nil, fmt.Errorf("parsing the answer: %w", err)
		}
		var names []resource.Name
		for _, a := range answer.Ancestor {
			name, _, err := resource.Parse(a.ResourceID.Type + "s/" + a.ResourceID.ID)
			if err != nil {
				return nil, fmt.Errorf("parsing the answer: %w", err)
			}
			names = append(names, name)
		}
		return names, nil
	})
}

// ProjectNumber returns the number of a project, by which principal sets and some resources
// name it.
func (c *Client) ProjectNumber(ctx context.Context, project string) (string, error) {
	return call(ctx, c, task{"reading project", project}, func(ctx context.Context) (string, error) {
		data, err := rest(ctx, c.as, http.MethodGet,
			"https://cloudresourcemanager.googleapis.com/v3/projects/"+url.PathEscape(project), nil, nil)
		if err != nil {
			return "", err
		}
		var answer struct{ Name string }
		if err := json.Unmarshal(data, &answer); err != nil {
			return "", fmt.Errorf("parsing the answer: %w", err)
		}
		return strings.TrimPrefix(answer.Name, "projects/"), nil
	})
}

// projectPages and projectPage bound how many projects are listed
// (resource-manager/reference/rest/v3/projects/search).
const projectPages, projectPage = 4, 500

// Projects returns the ids of projects that the operator sees, of very many not all. It takes no permission.
func (c *Client) Projects(ctx context.Context) ([]string, error) {
	var ids []string
	query := url.Values{"pageSize": {strconv.Itoa(projectPage)}}
	for range projectPages {
		doing := task{"listing", "the projects that you see"}
		next, err := call(ctx, c, doing, func(ctx context.Context) (string, error) {
			data, err := rest(ctx, c.as, http.MethodGet,
				"https://cloudresourcemanager.googleapis.com/v3/projects:search?"+query.Encode(), nil, nil)
			if err != nil {
				return "", err
			}
			var answer struct {
				Projects []struct {
					ID string `json:"projectId"`
				} `json:"projects"`
				Next string `json:"nextPageToken"`
			}
			if err := json.Unmarshal(data, &answer); err != nil {
				return "", fmt.Errorf("parsing the answer: %w", err)
			}
			for _, p := range answer.Projects {
				ids = append(ids, p.ID)
			}
			return answer.Next, nil
		})
		if err != nil || next == "" {
			return ids, err
		}
		query.Set("pageToken", next)
	}
	return ids, nil
}
