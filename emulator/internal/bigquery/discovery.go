package bigquery

import (
	_ "embed"
	"net/http"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

//go:generate go run ../../../internal/tools/gen/emulator bigquery_discovery.json

// bigqueryDocument is BigQuery's discovery document, cut down to what the bq command builds its calls of.
//
//go:embed bigquery_discovery.json
var bigqueryDocument []byte

// bigqueryDiscovery answers with the description of the API, which is public. bq asks for it wherever
// it is told to find BigQuery, unless that is Google.
func bigqueryDiscovery(c *wire.Call) (any, error) {
	if v := c.Query("version"); v != "" && v != "v2" {
		return nil, wire.NotFound("Discovery document not found for API service: bigquery.googleapis.com format: rest "+
			"version: %s", v)
	}
	return &wire.Raw{Header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, Body: bigqueryDocument},
		nil
}
