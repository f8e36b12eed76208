// Package iamapi is the IAM API of the emulator: service accounts, their keys and short-lived
// tokens, custom and predefined roles, Google's token endpoint, and the federation of
// identities from elsewhere. It is a service like any other: what IAM decides is in package
// iam.
package iamapi

import (
	"slices"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// Service is the IAM API: accounts, keys, roles.
func Service() *wire.Service {
	return &wire.Service{
		Name: iam.Host, Title: "Identity and Access Management (IAM) API", Scopes: []string{"iam"},
		Methods: slices.Concat(iamMethods(), roleMethods(), customRoleMethods()),
		Seed:    iamSeed, Assets: accountAssets, Denied: deniedUnnamed, Quota: spendWrite,
		Grantable: map[string][]string{"serviceAccounts": {"iam.serviceAccount"}},
	}
}

func accountAssets(st *wire.State, add func(wire.Asset)) {
	for _, a := range st.Accounts {
		full := "//" + iam.Host + "/projects/" + a.ProjectID + "/serviceAccounts/" + a.UniqueID
		if asset, ok := st.AssetBelow(a.ProjectID, full, iam.Host+"/ServiceAccount", &a.Policy); ok && !a.IsDeleted() {
			add(asset)
		}
	}
}

// deniedUnnamed is a 403 that names no resource.
func deniedUnnamed(_ *iam.Principal, permission string, _ iam.Node) *wire.Error {
	return wire.Forbidden("Permission '%s' denied on resource (or it may not exist).", permission).WithDetails(
		wire.ErrorInfo("IAM_PERMISSION_DENIED", iam.Host, map[string]string{"permission": permission}))
}

// Credentials is IAM Credentials: short-lived tokens and signatures.
func Credentials() *wire.Service {
	return &wire.Service{
		Name: credentialsHost, Title: "IAM Service Account Credentials API", Scopes: []string{"iam"},
		Methods: credentialsMethods(), Denied: deniedUnnamed,
	}
}

// OAuth are Google's token endpoint, and the keys that its signatures are checked with.
func OAuth() *wire.Service {
	return &wire.Service{Name: oauthHost, Methods: append(oauthMethods(), certificateMethods()...),
		Errors: wire.OAuthErrors}
}

// STS is the Security Token Service: tokens for identities from elsewhere.
func STS() *wire.Service {
	return &wire.Service{Name: stsHost, Title: "Security Token Service API", Methods: stsMethods()}
}
