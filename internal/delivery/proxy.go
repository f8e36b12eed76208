package delivery

import (
	"path/filepath"

	"github.com/taskiam/taskiam/internal/grants"
)

// Proxy is a metadata server that hands out a placeholder, and a proxy outside of the sandbox that
// puts the run's token in its place: nothing inside is worth stealing.
const Proxy grants.DeliveryKind = "proxy"

// ProxyAddress is where the proxy is reached in the sandbox, on the loopback that is its own.
const ProxyAddress = "127.0.0.1:39128"

var proxy = Kind{
	Name:          Proxy,
	Upkeep:        Serve,
	Proxied:       true,
	TokenLifetime: grants.TokenLifetime / 4,
	Permissions:   []string{MintPermission},
	Title: func(d Delivery) string {
		return "the way to a metadata server, at " + d.Metadata + ", and to a proxy that adds the credential,"
	},
	Files: func(d Delivery) []File {
		return []File{{Name: externalName, Text: d.External}, {Name: bundleName, Text: d.Bundle}}
	},
	Environment: metadata.Environment,
}

const bundleName = "bundle.pem"

// ThroughProxy returns the variables by which clients in a sandbox find its proxy, and trust it.
// They are no part of the kind's environment: a person has the same ones for the proxy of a network.
func ThroughProxy(dir string) []Var {
	const at = "http://" + ProxyAddress
	bundle := filepath.Join(dir, bundleName)
	return []Var{
		// Not HTTP_PROXY: what is asked for without TLS does not leave.
		{Name: "HTTPS_PROXY", Value: at},
		{Name: "https_proxy", Value: at},
		{Name: "NO_PROXY", Value: "127.0.0.1,localhost"},
		{Name: "no_proxy", Value: "127.0.0.1,localhost"},
		{Name: "NODE_USE_ENV_PROXY", Value: "1"}, // Node's fetch, from 22.21 on
		// The authorities of the machine and the proxy's: these take the place of a client's own.
		{Name: "SSL_CERT_FILE", Value: bundle},
		{Name: "REQUESTS_CA_BUNDLE", Value: bundle},
		{Name: "HTTPLIB2_CA_CERTS", Value: bundle},
		{Name: "CURL_CA_BUNDLE", Value: bundle},
		{Name: "GIT_SSL_CAINFO", Value: bundle},
		{Name: "CARGO_HTTP_CAINFO", Value: bundle},
		{Name: "PIP_CERT", Value: bundle},
		{Name: "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Value: bundle},
		{Name: "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", Value: bundle},
		// Added to Node's own.
		{Name: "NODE_EXTRA_CA_CERTS", Value: CAPath(dir)},
		// What would go around the proxy, or is of no use to a task.
		{Name: "GOOGLE_CLOUD_DISABLE_DIRECT_PATH", Value: "true"},
		{Name: "CHECKPOINT_DISABLE", Value: "1"},
	}
}
