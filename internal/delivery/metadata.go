package delivery

import "github.com/taskiam/taskiam/internal/grants"

// Metadata is a metadata server that mints access tokens when it is asked: no file
// holds anything worth stealing.
const Metadata grants.DeliveryKind = "metadata"

var metadata = Kind{
	Name:   Metadata,
	Upkeep: Serve,
	// A client asks again, so its tokens need not live long.
	TokenLifetime: grants.TokenLifetime / 4,
	Permissions:   []string{MintPermission},
	Title:         func(d Delivery) string { return "the way to a metadata server, at " + d.Metadata + "," },
	Files: func(d Delivery) []File {
		return []File{{Name: externalName, Text: d.External}}
	},
	Environment: func(d Delivery) []Var {
		vars := append(metadataAt(d.Metadata),
			Var{Name: "CLOUDSDK_CORE_CHECK_GCE_METADATA", Value: "true"},
			Var{Name: "METADATA_SERVER_DETECTION", Value: "assume-present"},
		)
		if d.EmptyHome {
			return vars
		}
		// A file with no secret in it, which leads to the same server. Left unset, the variable would let Go's and Node's
		// clients prefer the person's login under HOME to the metadata server, whatever CLOUDSDK_CONFIG says. Where there
		// can be none it is better unset: Java's clients and old ones of Go's take no credential file that has an address
		// without TLS in it, and no client makes identity tokens of one.
		return append(vars, Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: d.path(externalName)})
	},
}

const externalName = "credentials.json"
