package delivery

import (
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
)

// Token is an access token in a file, which is replaced before it ends.
const Token grants.DeliveryKind = "token"

var token = Kind{
	Name:   Token,
	Upkeep: Refresh,
	// As long as Google allows: whoever read the file once may not read it again.
	TokenLifetime: grants.TokenLifetime,
	Permissions:   []string{MintPermission},
	Title:         func(Delivery) string { return "an access token" },
	Files: func(d Delivery) []File {
		return []File{
			{Name: noneName, Text: refusing(noneReason)},
			// Clients put the file's content into a header as it is: no newline.
			{Name: tokenName, Text: strings.TrimSpace(d.Token.Value.Reveal()), Secret: true},
		}
	},
	Over: func(d Delivery) []File {
		why := d.over() + ", with a longer ttl or with: taskiam run --renew"
		return []File{{Name: noneName, Text: refusing(why)}, {Name: tokenName, Text: why, Secret: true}}
	},
	Environment: func(d Delivery) []Var {
		return append(noMetadata(),
			Var{Name: "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", Value: d.path(tokenName)},
			// Terraform's provider and its gcs backend take a token by this variable
			// alone. It is the run's own, and ends within the hour.
			Var{Name: "GOOGLE_OAUTH_ACCESS_TOKEN", File: d.path(tokenName)},
			// Application default credentials cannot be a bare token. Left unset, the
			// variable would let a client go on to the person's login under HOME: Go's
			// do, whatever CLOUDSDK_CONFIG says.
			Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: d.path(noneName)},
		)
	},
}

const noneName = "no-credentials.json"

const noneReason = "this run has an access token (CLOUDSDK_AUTH_ACCESS_TOKEN_FILE) " +
	"and no application default credentials"
