package emulator

import (
	_ "embed"
	"net/http"
)

// bigqueryDocument is BigQuery's discovery document, cut down to what the bq command builds its calls of.
//
//go:embed bigquery_discovery.json
var bigqueryDocument []byte

// bigqueryDiscovery answers with the description of the API, which is public. bq asks for it wherever
// it is told to find BigQuery, unless that is Google.
func bigqueryDiscovery(c *call) (any, error) {
	if v := c.query("version"); v != "" && v != "v2" {
		return nil, notFound("Discovery document not found for API service: bigquery.googleapis.com format: rest version: %s", v)
	}
	return &rawAnswer{header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, body: bigqueryDocument}, nil
}
