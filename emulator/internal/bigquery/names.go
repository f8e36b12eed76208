package bigquery

import (
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// shortName names the resource as BigQuery's messages do: "Dataset p:d", "Table p:d.t".
func shortName(n iam.Node) string {
	p := strings.Split(n.Relative(), "/")
	switch {
	case len(p) >= 6 && p[2] == "datasets":
		return "Table " + p[1] + ":" + p[3] + "." + p[5]
	case len(p) >= 4 && p[2] == "datasets":
		return "Dataset " + p[1] + ":" + p[3]
	case len(p) >= 2:
		return "Project " + p[1]
	}
	return n.Relative()
}
