package secretmanager

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// secretVersion is one payload of a secret. A destroyed version keeps its number and loses its payload.
type secretVersion struct {
	Number    int       `json:"number"`
	State     string    `json:"state"`
	Created   time.Time `json:"created"`
	Destroyed time.Time `json:"destroyed,omitzero"`
	Revision  int64     `json:"revision,omitempty" snapshot:"-"` // of the state; the etag is made from it
	Data      []byte    `json:"data,omitempty"`
	Checked   bool      `json:"clientSpecifiedPayloadChecksum,omitempty"`
}

// The states of a version.
const (
	versionEnabled   = "ENABLED"
	versionDisabled  = "DISABLED"
	versionDestroyed = "DESTROYED"
)

// maxPayload is how much a version may hold, in bytes (secret-manager/quotas).
const maxPayload = 64 << 10

// add makes data the newest version of s.
func (s *managedSecret) add(data []byte, now time.Time) *secretVersion {
	v := &secretVersion{Number: len(s.Versions) + 1, State: versionEnabled, Created: now, Data: data}
	s.Versions = append(s.Versions, v)
	return v
}

// versionResource is a version as the API writes it.
type versionResource struct {
	Name              string                     `json:"name"`
	CreateTime        time.Time                  `json:"createTime"`
	DestroyTime       time.Time                  `json:"destroyTime,omitzero"`
	State             string                     `json:"state"`
	ReplicationStatus map[string]json.RawMessage `json:"replicationStatus,omitempty"`
	Etag              string                     `json:"etag"`
	Checked           bool                       `json:"clientSpecifiedPayloadChecksum,omitempty"`
}

func (v *secretVersion) etag() string {
	return fmt.Sprintf("%q", strconv.FormatInt(v.Created.UnixMicro(), 16)+strconv.FormatInt(v.Revision, 16))
}

func (v *secretVersion) resource(s *managedSecret, p *iam.Project) versionResource {
	r := versionResource{
		Name: v.name(s, p), CreateTime: v.Created.UTC(), State: v.State, Etag: v.etag(), Checked: v.Checked,
	}
	if !v.Destroyed.IsZero() {
		r.DestroyTime = v.Destroyed.UTC()
	}
	var kinds map[string]json.RawMessage
	if err := json.Unmarshal(s.Replication, &kinds); err == nil && kinds["automatic"] != nil {
		r.ReplicationStatus = map[string]json.RawMessage{"automatic": json.RawMessage("{}")}
	}
	return r
}

func (v *secretVersion) name(s *managedSecret, p *iam.Project) string {
	return fmt.Sprintf("%s/versions/%d", s.numberedName(p), v.Number)
}

// payloadChecksum is the CRC32C of data, in decimal.
func payloadChecksum(data []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), 10)
}

// findVersion returns the version of the request, which may be called latest, with its secret and node.
// Conditions see the version as the request calls it, the alias included, unless that is doubted
// ([iam.Doubts]). Of a version that does not exist it returns the node of the
// secret and the error.
func findVersion(c *wire.Call) (*managedSecret, *secretVersion, iam.Node, error) {
	s, n, err := findSecret(c)
	if err != nil {
		return nil, nil, n, err
	}
	_, p, err := c.State().ProjectNode(s.Project)
	if err != nil {
		return nil, nil, n, err
	}
	if len(s.Versions) == 0 && c.Vars["version"] == "latest" {
		return nil, nil, n, wire.NotFound("Secret [%s] not found or has no versions.", s.numberedName(p))
	}
	number := len(s.Versions)
	if alias := c.Vars["version"]; alias != "latest" {
		number, err = strconv.Atoi(alias)
		if err != nil || number < 1 || number > len(s.Versions) {
			return nil, nil, n, wire.NotFound("Secret Version [%s/versions/%s] not found.", s.numberedName(p), alias)
		}
	}
	v := s.Versions[number-1]
	asked := "/versions/" + c.Vars["version"]
	if c.State().Doubts.AliasResolved {
		asked = "/versions/" + strconv.Itoa(number)
	}
	return s, v, n.Child(n.Full+asked, s.numberedName(p)+asked, host+"/SecretVersion", nil), nil
}

func addVersion(c *wire.Call) (any, error) {
	s, n, err := findSecret(c)
	if err := c.RequireFound("secretmanager.versions.add", n, err); err != nil {
		return nil, err
	}
	var in struct {
		Payload struct {
			Data       []byte          `json:"data"`
			DataCRC32C json.RawMessage `json:"dataCrc32c"` // an int64: a string, or a number
		} `json:"payload"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	switch {
	case len(in.Payload.Data) == 0:
		return nil, wire.Invalid("Secret Payload cannot be empty.")
	case len(in.Payload.Data) > maxPayload:
		return nil, wire.Invalid("The size of the secret payload is %d bytes; the maximum is %d.", len(in.Payload.Data),
			maxPayload)
	}
	want := string(in.Payload.DataCRC32C)
	if unquoted, err := strconv.Unquote(want); err == nil {
		want = unquoted
	}
	if got := payloadChecksum(in.Payload.Data); want != "" && want != "null" && want != got {
		return nil, wire.Invalid("The payload checksum %s does not match the payload, whose checksum is %s.", want, got)
	}
	_, p, err := c.State().ProjectNode(s.Project)
	if err != nil {
		return nil, err
	}
	v := s.add(in.Payload.Data, c.Now)
	v.Checked = want != "" && want != "null"
	return v.resource(s, p), nil
}

func accessVersion(c *wire.Call) (any, error) {
	s, v, n, err := findVersion(c)
	if err := c.RequireFound("secretmanager.versions.access", n, err); err != nil {
		return nil, err
	}
	_, p, err := c.State().ProjectNode(s.Project)
	if err != nil {
		return nil, err
	}
	if v.State != versionEnabled {
		return nil, wire.Precondition("Secret Version [%s] is in %s state.", v.name(s, p), v.State)
	}
	return map[string]any{
		"name":    v.name(s, p),
		"payload": map[string]any{"data": v.Data, "dataCrc32c": payloadChecksum(v.Data)},
	}, nil
}

func getVersion(c *wire.Call) (any, error) {
	s, v, n, err := findVersion(c)
	if err := c.RequireFound("secretmanager.versions.get", n, err); err != nil {
		return nil, err
	}
	_, p, err := c.State().ProjectNode(s.Project)
	if err != nil {
		return nil, err
	}
	return v.resource(s, p), nil
}

// listVersions lists the versions of a secret, newest first.
func listVersions(c *wire.Call) (any, error) {
	s, n, err := findSecret(c)
	if err := c.RequireFound("secretmanager.versions.list", n, err); err != nil {
		return nil, err
	}
	if c.Query("filter") != "" {
		return nil, c.Unsupported("filter")
	}
	_, p, err := c.State().ProjectNode(s.Project)
	if err != nil {
		return nil, err
	}
	// A page token is how far down the last page went, so that a version added meanwhile shifts nothing.
	keys := make([]string, 0, len(s.Versions))
	for _, v := range slices.Backward(s.Versions) {
		keys = append(keys, fmt.Sprintf("%09d", 1e9-1-v.Number))
	}
	keys, next, err := c.Page(keys, "pageSize", 25000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Versions []versionResource `json:"versions,omitempty"`
		Next     string            `json:"nextPageToken,omitempty"`
		Total    int               `json:"totalSize,omitempty"`
	}{Next: next, Total: len(s.Versions)}
	for _, key := range keys {
		down, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("reading page key %s: %w", key, err)
		}
		out.Versions = append(out.Versions, s.Versions[1e9-1-down-1].resource(s, p))
	}
	return out, nil
}

// changeVersion returns the method that brings a version into a state. Nothing brings a destroyed one back.
func changeVersion(verb, to string) func(c *wire.Call) (any, error) {
	return func(c *wire.Call) (any, error) {
		s, v, n, err := findVersion(c)
		if err := c.RequireFound("secretmanager.versions."+verb, n, err); err != nil {
			return nil, err
		}
		_, p, err := c.State().ProjectNode(s.Project)
		if err != nil {
			return nil, err
		}
		var in struct {
			Etag string `json:"etag"`
		}
		if err := c.Decode(&in); err != nil {
			return nil, err
		}
		switch {
		case v.State == versionDestroyed:
			return nil, wire.Precondition("Secret Version [%s] is in DESTROYED state.", v.name(s, p))
		case cmp.Or(in.Etag, v.etag()) != v.etag():
			return nil, wire.Precondition("The etag does not match that of the secret version.")
		}
		v.State = to
		v.Revision++
		if to == versionDestroyed {
			v.Data, v.Destroyed = nil, c.Now
		}
		return v.resource(s, p), nil
	}
}
