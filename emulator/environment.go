package emulator

import (
	"net"
	"slices"
	"strings"
)

// overridden are the APIs of gcloud whose endpoint is overridden. BigQuery is left to
// the proxy: bq sends even loopback addresses through a proxy that gcloud names, and at
// an endpoint of its own it would want a discovery document from there.
var overridden = []string{"IAM", "IAMCREDENTIALS", "CLOUDRESOURCEMANAGER", "STORAGE", "PUBSUB", "SECRETMANAGER"}

// ClientEnv returns the variables that point Google's clients at an emulator on
// addr (host:port) whose CA certificate is in caFile, as NAME=VALUE. It names no identity.
//
// There are two ways in, and both are given. The proxy takes in every client at
// production URLs, and whatever is forgotten elsewhere: nothing gets past it to the
// real cloud. gcloud's endpoint overrides go straight to addr (NO_PROXY), and save
// it a tunnel and a TLS handshake per service. gcloud 528 was tried with either way
// alone and with the two together: all three work, and together no API is left over
// that would be asked for at Google.
func ClientEnv(addr, caFile string) []string {
	return append(ProxyEnv(addr, caFile), slices.DeleteFunc(overrides(addr), func(v string) bool {
		// Node's client of Pub/Sub takes it for an emulator of its own kind, to which it sends no login.
		return strings.HasPrefix(v, overrideOf("PUBSUB"))
	})...)
}

// ProxyEnv returns the variables with which every client reaches an emulator as an
// HTTPS proxy, at production URLs. It names no identity.
//
// The CA is named once for each family of clients, because a variable of a client's
// own wins over the general SSL_CERT_FILE of Go and OpenSSL, and a machine may have
// set it: REQUESTS_CA_BUNDLE and HTTPLIB2_CA_CERTS in Python, CURL_CA_BUNDLE in curl,
// GRPC_DEFAULT_SSL_ROOTS_FILE_PATH in gRPC for Node, Python, Ruby and C++.
func ProxyEnv(addr, caFile string) []string {
	url := "http://" + addr
	return append([]string{"HTTPS_PROXY=" + url, "https_proxy=" + url}, append(direct(),
		"SSL_CERT_FILE="+caFile,
		"REQUESTS_CA_BUNDLE="+caFile,
		"HTTPLIB2_CA_CERTS="+caFile,
		"CURL_CA_BUNDLE="+caFile,
		"NODE_EXTRA_CA_CERTS="+caFile,
		"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH="+caFile,
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE="+caFile,
	)...)
}

// GcloudEnv returns the variables that point gcloud, bq and gsutil at an emulator,
// and no other program of the same shell. It names no identity.
//
// The services that the emulator has are overridden, and a proxy of gcloud's own
// catches all others: they are refused there instead of being asked for at Google.
func GcloudEnv(addr, caFile string) []string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil { // an address without a port
		host, port = addr, "80"
	}
	vars := append(direct(),
		"CLOUDSDK_PROXY_TYPE=http",
		"CLOUDSDK_PROXY_ADDRESS="+host,
		"CLOUDSDK_PROXY_PORT="+port,
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE="+caFile,
	)
	return append(vars, overrides(addr)...)
}

// direct keeps what is asked for on this machine from going to a proxy.
func direct() []string {
	return []string{"NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost"}
}

// overrides points gcloud at addr. Its token host has to be overridden too, because it
// does not honour a credential file's token_uri when the file is named by
// auth/credential_file_override.
func overrides(addr string) []string {
	url := "http://" + addr
	vars := []string{
		"CLOUDSDK_AUTH_TOKEN_HOST=" + url + "/token",
		"CLOUDSDK_AUTH_TOKEN_INTROSPECTION_ENDPOINT=" + url + "/v1/introspect",
	}
	for _, api := range overridden {
		// gcloud refuses an override without the slash at its end.
		vars = append(vars, overrideOf(api)+"="+url+"/")
	}
	return vars
}

// overrideOf names the variable by which gcloud finds an API.
func overrideOf(api string) string { return "CLOUDSDK_API_ENDPOINT_OVERRIDES_" + api }
