// Package credentials makes what package delivery describes, and takes it away again: a
// service account key, an access token or the way to a metadata server in a folder of
// its own, and the environment that points Google's clients at it and at nothing else.
//
// Its invariant: what it writes can be read by this user alone from the first byte, and
// no client that is started in the environment of a delivery, after [Scrub], finds
// another identity than the run's. A client for which the run has nothing is given
// something that fails, never a gap to fall through.
//
// The package makes no call. What has to be asked of Google (uploading a certificate,
// minting a token) is done by its callers.
package credentials
