package gcp

import (
	"encoding/json"

	"github.com/taskiam/taskiam/internal/gcloud"
)

// envCredentials is Google's own name for the file with a login.
const envCredentials = "GOOGLE_APPLICATION_CREDENTIALS"

// loginFile is what a file of application default credentials says of its login.
type loginFile struct {
	Type   string     `json:"type"`
	Email  string     `json:"client_email"`
	KeyID  string     `json:"private_key_id"`
	Before *loginFile `json:"source_credentials"` // of an account that is impersonated
}

// loginHints says how to get a login that works in place of one that does not: by what it is, and by where it was
// found. A login of gcloud's is of no use as long as the variable names another one.
func loginHints(file []byte, named string) []string {
	var f loginFile
	_ = json.Unmarshal(file, &f) // what cannot be read has no type
	for f.Before != nil {
		f = *f.Before
	}
	var hints []string
	switch f.Type {
	case "service_account":
		hints = []string{"the login is the key " + f.KeyID + " of a service account; which keys it still has: " +
			gcloud.ListKeys(f.Email)}
	case "external_account":
		hints = []string{"the login exchanges an identity token: it may have expired, or the pool does not take it"}
	}
	switch {
	case named != "":
		return append(hints, envCredentials+" names "+named+": replace that file, or unset the variable and: "+
			loginCommand)
	case hints == nil:
		return []string{loginCommand}
	}
	return append(hints, "or "+loginCommand)
}
