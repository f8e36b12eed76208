package emulator

import "strings"

// shortName names the resource as BigQuery's messages do: "Dataset p:d", "Table p:d.t".
func shortName(n node) string {
	p := strings.Split(n.relative(), "/")
	switch {
	case len(p) >= 6 && p[2] == "datasets":
		return "Table " + p[1] + ":" + p[3] + "." + p[5]
	case len(p) >= 4 && p[2] == "datasets":
		return "Dataset " + p[1] + ":" + p[3]
	case len(p) >= 2:
		return "Project " + p[1]
	}
	return n.relative()
}
