package delivery

import "github.com/taskiam/taskiam/internal/grants"

// Key is a service account key whose certificate ends with the run.
const Key grants.DeliveryKind = "key"

var key = Kind{
	Name:     Key,
	MakesKey: true,
	// An upload takes create; a teardown the other two.
	Permissions: []string{
		"iam.serviceAccountKeys.create", "iam.serviceAccountKeys.list", "iam.serviceAccountKeys.delete",
	},
	Title: func(Delivery) string { return "a service account key" },
	Files: func(d Delivery) []File {
		return []File{{Name: keyName, Text: d.Key.Reveal(), Secret: true}}
	},
	Over: func(d Delivery) []File {
		return []File{{Name: keyName, Text: refusing(d.over() + ", with a longer ttl"), Secret: true}}
	},
	Environment: func(d Delivery) []Var {
		return append(noMetadata(),
			Var{Name: "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", Value: d.path(keyName)},
			Var{Name: "GOOGLE_APPLICATION_CREDENTIALS", Value: d.path(keyName)},
		)
	},
}
