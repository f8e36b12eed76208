package emulator

import (
	"github.com/taskiam/taskiam/emulator/internal/apikeys"
	"github.com/taskiam/taskiam/emulator/internal/asset"
	"github.com/taskiam/taskiam/emulator/internal/bigquery"
	"github.com/taskiam/taskiam/emulator/internal/iamapi"
	"github.com/taskiam/taskiam/emulator/internal/kms"
	"github.com/taskiam/taskiam/emulator/internal/named"
	"github.com/taskiam/taskiam/emulator/internal/orgpolicy"
	"github.com/taskiam/taskiam/emulator/internal/pubsub"
	"github.com/taskiam/taskiam/emulator/internal/resourcemanager"
	"github.com/taskiam/taskiam/emulator/internal/secretmanager"
	"github.com/taskiam/taskiam/emulator/internal/serviceusage"
	"github.com/taskiam/taskiam/emulator/internal/storage"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// services are the APIs that the emulator serves. To add one is to add its package, and a
// line here. The order is that in which a seed's tables are read: what lies in a resource
// comes after it.
func services() []*wire.Service {
	return []*wire.Service{
		resourcemanager.Service(),
		iamapi.Service(),
		iamapi.Credentials(),
		iamapi.OAuth(),
		iamapi.STS(),
		storage.Service(),
		pubsub.Service(),
		secretmanager.Service(),
		bigquery.Service(),
		kms.Service(),
		asset.Service(),
		serviceusage.Service(),
		apikeys.Service(),
		orgpolicy.Service(),
		named.Service(),
	}
}
