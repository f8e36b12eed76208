package emulator

// Var is one variable of an environment.
type Var struct{ Name, Value string }

// overridden are the APIs of gcloud that have a property for their endpoint.
var overridden = []string{"IAM", "IAMCREDENTIALS", "CLOUDRESOURCEMANAGER", "STORAGE", "PUBSUB", "SECRETMANAGER", "BIGQUERY"}

// ClientEnv returns the variables that point Google's clients at an emulator on
// addr (host:port) whose CA certificate is in caFile. It names no identity.
//
// There are two ways in, and both are given. The proxy takes in every client at
// production URLs, and whatever is forgotten elsewhere: nothing gets past it to the
// real cloud. gcloud's endpoint overrides go straight to addr (NO_PROXY), and save
// it a tunnel and a TLS handshake per service. gcloud 528 was tried with either way
// alone and with the two together: all three work, and together no API is left over
// that would be asked for at Google. Its token host has to be overridden too,
// because it does not honour a credential file's token_uri when the file is named by
// auth/credential_file_override.
//
// The CA is named once for each family of clients, because a variable of a client's
// own wins over the general SSL_CERT_FILE of Go and OpenSSL, and a machine may have
// set it: REQUESTS_CA_BUNDLE and HTTPLIB2_CA_CERTS in Python, CURL_CA_BUNDLE in curl.
func ClientEnv(addr, caFile string) []Var {
	url := "http://" + addr
	vars := []Var{
		{"HTTPS_PROXY", url},
		{"https_proxy", url},
		{"NO_PROXY", "127.0.0.1,localhost"},
		{"no_proxy", "127.0.0.1,localhost"},
		{"SSL_CERT_FILE", caFile},
		{"REQUESTS_CA_BUNDLE", caFile},
		{"HTTPLIB2_CA_CERTS", caFile},
		{"CURL_CA_BUNDLE", caFile},
		{"NODE_EXTRA_CA_CERTS", caFile},
		{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", caFile},
		{"CLOUDSDK_AUTH_TOKEN_HOST", url + "/token"},
	}
	for _, api := range overridden {
		// gcloud refuses an override without the slash at its end.
		vars = append(vars, Var{"CLOUDSDK_API_ENDPOINT_OVERRIDES_" + api, url + "/"})
	}
	return vars
}
