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
		return append(metadataAt(d.Metadata),
			Var{Name: "CLOUDSDK_CORE_CHECK_GCE_METADATA", Value: "true"},
			Var{Name: "METADATA_SERVER_DETECTION", Value: "assume-present"},
			// For what insists on a file: one with no secret in it, which leads to the same
			// server. Left unset, the variable would let Go's clients prefer the person's login
			// under HOME to the metadata server, whatever CLOUDSDK_CONFIG says. Java's take
			// no credential file that has an address without TLS in it: they fail.
			Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: d.path(externalName)},
		)
	},
}

const externalName = "credentials.json"
