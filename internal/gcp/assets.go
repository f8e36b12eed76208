package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// searchPage is how many results one page of a search may have at most
// (asset-inventory/docs/reference/rest/v1/TopLevel/searchAllIamPolicies).
const searchPage = "500"

// Match is a resource whose policy a search has found.
type Match struct {
	Resource string // its full name
	// Bindings are those that were searched for. If the answer shows none, it is not known which.
	Bindings []policy.Binding
}

// SearchPolicies returns the resources below scope, a project, folder or organization,
// whose policies have the text in a member: an email finds a principal, the deleted one of
// that email too. It takes the permission cloudasset.assets.searchAllIamPolicies on scope.
// The index behind it follows changes with a delay, so what was written a moment ago may be
// missing, and what was removed may still be there.
func (c *Client) SearchPolicies(ctx context.Context, scope resource.Name, text string) ([]Match, error) {
	query := url.Values{"query": {"policy:" + strconv.Quote(text)}, "pageSize": {searchPage}}
	var found []Match
	for {
		doing := task{"searching the policies of", scope.String()}
		next, err := call(ctx, c, doing, func(ctx context.Context) (string, error) {
			data, err := rest(ctx, c.as, http.MethodGet,
				"https://cloudasset.googleapis.com/v1/"+scope.Relative()+":searchAllIamPolicies?"+query.Encode(),
				nil, nil)
			if err != nil {
				return "", err
			}
			var page struct {
				Results       []searchResult
				NextPageToken string
			}
			if err := json.Unmarshal(data, &page); err != nil {
				return "", fmt.Errorf("parsing the answer: %w", err)
			}
			for _, r := range page.Results {
				found = append(found, r.match())
			}
			return page.NextPageToken, nil
		})
		if err != nil {
			return nil, err
		}
		if next == "" {
			return found, nil
		}
		query.Set("pageToken", next)
	}
}

// searchResult is what an answer says of one resource. Its policy has the bindings alone
// that match the query.
type searchResult struct {
	Resource string
	Policy   struct {
		Bindings []struct {
			Role      string
			Members   []string
			Condition policy.Condition
		}
	}
}

func (r searchResult) match() Match {
	m := Match{Resource: fullName(r.Resource)}
	for _, b := range r.Policy.Bindings {
		for _, member := range b.Members {
			m.Bindings = append(m.Bindings, policy.Binding{Role: b.Role, Member: member, Condition: b.Condition})
		}
	}
	return m
}

// fullName returns the name that IAM has for what Cloud Asset Inventory names
// otherwise: it knows a bucket as //storage.googleapis.com/BUCKET
// (asset-inventory/docs/asset-names).
func fullName(asset string) string {
	if bucket, ok := strings.CutPrefix(asset, "//storage.googleapis.com/"); ok && !strings.Contains(bucket, "/") {
		return "//storage.googleapis.com/projects/_/buckets/" + bucket
	}
	return asset
}
