package grants

import (
	"net/netip"

	"github.com/taskiam/taskiam/internal/resource"
)

// Network is what a task may reach in a closed network, beside Google's APIs: those follow from its
// grants. Nothing else leaves.
type Network struct {
	// Hosts have each name once: those that are for reading first, as the manifest has them.
	Hosts []Host
	// Resources may be named in requests to Google's APIs, beside those of the grants.
	Resources []resource.Name
	// MaxUpload is how many bytes may be sent in all; 0 is no limit.
	MaxUpload int64
}

// Host is a host outside of Google's APIs. It may be read from without a login, unless a field says
// more.
type Host struct {
	// Name is its full name, in lower case; Port is 443 where the manifest names none.
	Name string
	Port uint16
	// Write lets requests of every method and with every login pass, and Tunnel a connection that is
	// not opened. At most one of the two is set.
	Write, Tunnel bool
	// MaxUpload is how many bytes may be sent to it; 0 is no limit but that of [Network].
	MaxUpload int64
	// Addresses may be those of the host beside addresses of the internet.
	Addresses []netip.Prefix
	// Header is the field in which a credential is added outside of the sandbox, with Scheme and a
	// space before it unless that is ""; From is where it is. Both are zero for no credential: then
	// everything that the sandbox sends is refused that could be one.
	Header, Scheme string
	From           Origin
}

// WayOut reports whether the task can send what it likes to the host, as whomever it likes.
func (h Host) WayOut() bool { return h.Write || h.Tunnel }

// Injects reports whether a credential is added to what goes to the host.
func (h Host) Injects() bool { return h.Header != "" }

// Origin is where a credential is read that is added outside of the sandbox. It is no secret.
type Origin struct {
	Kind OriginKind
	// Name is the variable, the path, the command or the secret.
	Name string
}

// OriginKind is what the name of an [Origin] names.
type OriginKind string

// The kinds of origins: the words before the colon in manifests.
const (
	FromEnv     OriginKind = "env"
	FromFile    OriginKind = "file"
	FromCommand OriginKind = "command"
	FromSecret  OriginKind = "secret"
)

// String returns the origin as a manifest has it; "" for none.
func (o Origin) String() string {
	if o.Kind == "" {
		return ""
	}
	return string(o.Kind) + ":" + o.Name
}
