package delivery

import "encoding/json"

// over says that the run has expired, at d.Expires. It is one line, of characters that a header may have.
func (d Delivery) over() string {
	return "run " + string(d.Run) + " expired at " + d.Expires.UTC().Format("2006-01-02 15:04:05 UTC") +
		": trying again or logging in does not help; whoever started the run can start another"
}

// refusing returns a credential file with which every client fails, without a call, and says
// why. The client has to read a token from a file first. That file cannot exist, and
// its name is the reason, because clients put the name into their error.
//
// The audience has no "projects/" in it: with one, Node and Python look the project up.
func refusing(reason string) string {
	file, err := json.Marshal(devNull + "/" + reason)
	if err != nil {
		panic("[unexpected] a string is not JSON: " + err.Error())
	}
	return `{
  "type": "external_account",
  "audience": "//iam.googleapis.com/locations/global/workloadIdentityPools/taskiam/providers/none",
  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
  "token_url": "https://` + nowhere + `/v1/token",
  "credential_source": {
    "file": ` + string(file) + `
  }
}
`
}
