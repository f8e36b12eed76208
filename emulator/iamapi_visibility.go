package emulator

// overlooks reports whether the call does not see the account yet: writes see their
// own, reads are eventually consistent (google/iam/admin/v1).
func overlooks(c *call, a *serviceAccount) bool {
	return !c.method.writes && c.method.host == iamHost && c.now.Before(a.Seen.Read)
}

// overlooked is what a read of an account answers that it does not see yet. Google
// answers sometimes the one, sometimes the other.
func overlooked(c *call, a *serviceAccount) error {
	if c.state().Delays.coin() {
		return forbidden("Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).")
	}
	return notFound("Service account %s does not exist.", a.name())
}
