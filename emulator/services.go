package emulator

// services are the APIs that the emulator serves. To add one is to add its package, and a
// line here. The order is that in which a seed's tables are read: what lies in a resource
// comes after it.
func services() []*service {
	return []*service{
		containerService(),
		iamService(),
		credentialsService(),
		oauthService(),
		stsService(),
		storageService(),
		pubsubService(),
		secretService(),
		bigqueryService(),
		kmsService(),
		assetService(),
		usageService(),
		orgPolicyService(),
		namedService(),
	}
}
