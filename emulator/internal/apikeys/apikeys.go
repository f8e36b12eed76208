// Package apikeys is the API Keys API of the emulator: keys that say which project a call is of, and never who makes
// it.
package apikeys

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

const host = "apikeys.googleapis.com"

// undeletePeriod is how long a deleted key can come back
// (api-keys/docs/reference/rest/v2/projects.locations.keys/delete).
const undeletePeriod = 30 * 24 * time.Hour

// state is what the API remembers: keys by projects/ID/locations/global/keys/K, the purged ones too, by whose strings
// their project can still be looked up.
type state struct {
	Keys       map[string]*key       `json:"keys,omitempty"`
	Operations map[string]*operation `json:"operations,omitempty" snapshot:"-"` // by the last part of their names
}

// operation is the long-running operation of a change, which was done at once.
type operation struct {
	Key  string `json:"key"` // as in state.Keys
	UID  string `json:"uid"` // of the key
	Made bool   `json:"made,omitempty"`
}

// key is an API key.
type key struct {
	ID          string            `json:"id"`
	UID         string            `json:"uid"`
	Project     string            `json:"project"` // id
	String      string            `json:"string" snapshot:"-"`
	DisplayName string            `json:"displayName,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Targets     []target          `json:"targets,omitempty"`
	Created     time.Time         `json:"created"`
	Updated     time.Time         `json:"updated" snapshot:"-"`
	Deleted     time.Time         `json:"deleted,omitzero"`
	Revision    int64             `json:"revision,omitempty" snapshot:"-"` // the etag is made from it
}

// target is an API that a key is good for.
type target struct {
	Service string `json:"service"`
}

// Service is the API Keys API.
func Service() *wire.Service {
	return &wire.Service{
		Name: host, Title: "API Keys API", Methods: methods(), Scopes: []string{"apikeys", "apikeys.readonly"},
		Key:    stateKey,
		New:    func() any { return &state{Keys: map[string]*key{}, Operations: map[string]*operation{}} },
		APIKey: known,
	}
}

const stateKey = "apiKeys"

func stateOf(st *wire.State) *state { return wire.Part[state](st, stateKey) }

func methods() []wire.Method {
	const keys = "/v2/projects/{project}/locations/{location}/keys"
	const one = keys + "/{key}"
	at := func(id, pattern string, serve func(*wire.Call) (any, error)) wire.Method {
		return wire.Method{ID: "apikeys." + id, Host: host, Pattern: pattern,
			Writes: !strings.HasPrefix(pattern, "GET "), Serve: serve}
	}
	return []wire.Method{
		at("projects.locations.keys.create", "POST "+keys, createKey),
		at("projects.locations.keys.list", "GET "+keys, listKeys),
		at("projects.locations.keys.get", "GET "+one, getKey),
		at("projects.locations.keys.getKeyString", "GET "+one+"/keyString", getKeyString),
		at("projects.locations.keys.patch", "PATCH "+one, patchKey),
		at("projects.locations.keys.delete", "DELETE "+one, deleteKey),
		at("projects.locations.keys.undelete", "POST "+one+":undelete", undeleteKey),
		at("keys.lookupKey", "GET /v2/keys:lookupKey", lookupKey),
		at("operations.get", "GET /v2/operations/{operation}", getOperation),
	}
}

// known returns what a call with this key string is for; nil if it is none, or of a key that was deleted.
func known(st *wire.State, text string) *wire.APIKey {
	k := stateOf(st).byString(text)
	if k == nil || !k.Deleted.IsZero() {
		return nil
	}
	p := st.ProjectBy(k.Project)
	if p == nil {
		return nil
	}
	out := &wire.APIKey{Project: p}
	for _, t := range k.Targets {
		out.Services = append(out.Services, t.Service)
	}
	return out
}

func (st *state) byString(text string) *key {
	for _, k := range st.Keys {
		if k.String == text {
			return k
		}
	}
	return nil
}

// purged reports whether a key is gone for good.
func (k *key) purged(now time.Time) bool {
	return !k.Deleted.IsZero() && !now.Before(k.Deleted.Add(undeletePeriod))
}

func fullID(project, id string) string { return "projects/" + project + "/locations/global/keys/" + id }

// parentOf returns the project of a call to a caller that has the permission there.
func parentOf(c *wire.Call, permission string) (*iam.Project, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("apikeys.keys."+permission, n, err); err != nil {
		return nil, err
	}
	if at := c.Vars["location"]; at != "global" {
		return nil, wire.Invalid("Location %s is not supported: keys are global.", at)
	}
	return p, nil
}

// find returns the key of a call, and its project, to a caller that has the permission there.
func find(c *wire.Call, permission string) (*key, *iam.Project, error) {
	p, err := parentOf(c, permission)
	if err != nil {
		return nil, nil, err
	}
	k := stateOf(c.State()).Keys[fullID(p.ID, c.Vars["key"])]
	if k == nil || k.purged(c.Now) {
		return nil, nil, wire.NotFound("Key %s not found.", fullID(p.Number, c.Vars["key"]))
	}
	return k, p, nil
}

// etag is weak and quoted, as those of the API are.
func (k *key) etag() string {
	raw := fmt.Sprintf("%x.%x", k.Created.UnixNano(), k.Revision)
	return `W/"` + base64.StdEncoding.EncodeToString([]byte(raw)) + `"`
}

// show is a key as the API shows it, without its string.
func (k *key) show(p *iam.Project) map[string]any {
	m := map[string]any{
		"name": fullID(p.Number, k.ID), "uid": k.UID, "createTime": k.Created.UTC(), "updateTime": k.Updated.UTC(),
		"etag": k.etag(),
	}
	if k.DisplayName != "" {
		m["displayName"] = k.DisplayName
	}
	if len(k.Annotations) > 0 {
		m["annotations"] = k.Annotations
	}
	if len(k.Targets) > 0 {
		m["restrictions"] = map[string]any{"apiTargets": k.Targets}
	}
	if !k.Deleted.IsZero() {
		m["deleteTime"] = k.Deleted.UTC()
	}
	return m
}

// begin makes the operation of a change of a key.
func (k *key) begin(c *wire.Call, p *iam.Project, made bool) map[string]any {
	o := &operation{Key: fullID(k.Project, k.ID), UID: k.UID, Made: made}
	name := "akmf.p7-" + p.Number + "-" + newUID()
	stateOf(c.State()).Operations[name] = o
	return o.show(name, k, p)
}

// show is an operation as the API shows it. That which made a key has its string, as gcloud prints it; no other has.
func (o *operation) show(name string, k *key, p *iam.Project) map[string]any {
	shown := k.show(p)
	shown["@type"] = "type.googleapis.com/google.api.apikeys.v2.Key"
	if o.Made {
		shown["keyString"] = k.String
	}
	return map[string]any{"name": "operations/" + name, "done": true, "response": shown}
}

// getOperation shows an operation that made a key to those who may make some, others to those who may see the key.
func getOperation(c *wire.Call) (any, error) {
	refused := wire.Forbidden("The caller does not have permission")
	st := stateOf(c.State())
	o := st.Operations[c.Vars["operation"]]
	if o == nil {
		return nil, refused
	}
	k := st.Keys[o.Key]
	if k == nil || k.UID != o.UID || k.purged(c.Now) {
		return nil, refused
	}
	n, p, err := c.State().ProjectNode(k.Project)
	if err != nil {
		return nil, refused
	}
	permission := "apikeys.keys.get"
	if o.Made {
		permission = "apikeys.keys.create"
	}
	if err := c.Require(permission, n); err != nil {
		return nil, err
	}
	return o.show(c.Vars["operation"], k, p), nil
}

// input is what a client may say of a key.
type input struct {
	displayName string
	annotations map[string]string
	targets     []target
	etag        string
	set         []string // the fields that were there
}

const maxDisplayName = 63

// read reads the key in the body. What binds a key to an account, and every restriction but that to APIs, is refused: a
// key would open more here than at Google, or for somebody else.
func read(c *wire.Call) (in input, err error) {
	var restrictions json.RawMessage
	var output any // what a client may send back as it read it
	if err := c.DecodeKnown(c.Body, map[string]any{
		"displayName": &in.displayName, "annotations": &in.annotations, "restrictions": &restrictions, "etag": &in.etag,
		"name": &output, "uid": &output, "createTime": &output, "updateTime": &output,
	}); err != nil {
		return in, err
	}
	if len(in.displayName) > maxDisplayName {
		return in, wire.Invalid("The display name is longer than %d characters.", maxDisplayName)
	}
	var targets []json.RawMessage
	if err := c.DecodeKnown(restrictions, map[string]any{"apiTargets": &targets}); err != nil {
		return in, err
	}
	for _, raw := range targets {
		var t target
		if err := c.DecodeKnown(raw, map[string]any{"service": &t.Service}); err != nil {
			return in, err
		}
		if t.Service == "" {
			return in, wire.Invalid("An API target has to name a service.")
		}
		in.targets = append(in.targets, t)
	}
	var fields map[string]json.RawMessage
	if err := c.Decode(&fields); err != nil {
		return in, err
	}
	for _, f := range changeable {
		if _, ok := fields[f]; ok {
			in.set = append(in.set, strings.ToLower(f))
		}
	}
	return in, nil
}

var changeable = []string{"displayName", "restrictions", "annotations"}

var (
	keyID  = lazy.Regexp(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	uuidID = lazy.Regexp(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

func createKey(c *wire.Call) (any, error) {
	p, err := parentOf(c, "create")
	if err != nil {
		return nil, err
	}
	id, uid := c.Query("keyId"), newUID()
	switch {
	case id == "":
		id = uid
	case !keyID().MatchString(id) || uuidID().MatchString(id):
		return nil, wire.Invalid("The key id %q is not of the form [a-z]([a-z0-9-]{0,61}[a-z0-9])?, or is like a UUID.",
			id)
	}
	in, err := read(c)
	if err != nil {
		return nil, err
	}
	st := stateOf(c.State())
	if old := st.Keys[fullID(p.ID, id)]; old != nil && !old.purged(c.Now) {
		return nil, wire.AlreadyExists("Key %s already exists.", fullID(p.Number, id))
	}
	k := &key{
		ID: id, UID: uid, Project: p.ID, String: newString(), DisplayName: in.displayName, Annotations: in.annotations,
		Targets: in.targets, Created: c.Now, Updated: c.Now,
	}
	st.Keys[fullID(p.ID, id)] = k
	return k.begin(c, p, true), nil
}

// newString makes a key string: AIza, and 35 characters.
func newString() string {
	b := make([]byte, 26)
	_, _ = rand.Read(b) // never fails
	return "AIza" + base64.RawURLEncoding.EncodeToString(b)
}

// newUID makes a random UUID.
func newUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func listKeys(c *wire.Call) (any, error) {
	p, err := parentOf(c, "list")
	if err != nil {
		return nil, err
	}
	all := stateOf(c.State()).Keys
	var keys []*key
	for _, name := range wire.NamesBelow(all, fullID(p.ID, "")) {
		k := all[name]
		if k.Deleted.IsZero() || c.Query("showDeleted") == "true" && !k.purged(c.Now) {
			keys = append(keys, k)
		}
	}
	return wire.Listing(c, "keys", keys, func(_ *wire.Call, k *key) map[string]any { return k.show(p) })
}

func getKey(c *wire.Call) (any, error) {
	k, p, err := find(c, "get")
	if err != nil {
		return nil, err
	}
	return k.show(p), nil
}

func getKeyString(c *wire.Call) (any, error) {
	k, _, err := find(c, "getKeyString")
	if err != nil {
		return nil, err
	}
	return map[string]any{"keyString": k.String}, nil
}

// patchKey changes what the mask names; without one, what the body has.
func patchKey(c *wire.Call) (any, error) {
	k, p, err := find(c, "update")
	if err != nil {
		return nil, err
	}
	in, err := read(c)
	if err != nil {
		return nil, err
	}
	fields := in.set
	switch mask := c.Query("updateMask"); mask {
	case "":
	case "*":
		fields = []string{"displayname", "restrictions", "annotations"}
	default:
		if fields, err = wire.CheckMask(mask, changeable...); err != nil {
			return nil, err
		}
	}
	if err := k.check(in.etag); err != nil {
		return nil, err
	}
	for _, f := range fields {
		switch f {
		case "displayname":
			k.DisplayName = in.displayName
		case "restrictions":
			k.Targets = in.targets
		case "annotations":
			k.Annotations = in.annotations
		}
	}
	return k.changed(c, p), nil
}

// check refuses a change of a key that was deleted, or that is not as the client believes it to be.
func (k *key) check(etag string) error {
	if !k.Deleted.IsZero() {
		return wire.Precondition("The key was deleted.")
	}
	if etag != "" && etag != k.etag() {
		return wire.Fail(http.StatusConflict, "ABORTED", "aborted", "The etag does not match that of the key.")
	}
	return nil
}

// changed is the operation of a change that was made.
func (k *key) changed(c *wire.Call, p *iam.Project) map[string]any {
	k.Updated = c.Now
	k.Revision++
	return k.begin(c, p, false)
}

func deleteKey(c *wire.Call) (any, error) {
	k, p, err := find(c, "delete")
	if err != nil {
		return nil, err
	}
	if err := k.check(c.Query("etag")); err != nil {
		return nil, err
	}
	k.Deleted = c.Now
	return k.changed(c, p), nil
}

func undeleteKey(c *wire.Call) (any, error) {
	k, p, err := find(c, "undelete")
	if err != nil {
		return nil, err
	}
	if k.Deleted.IsZero() {
		return nil, wire.Precondition("The key was not deleted.")
	}
	k.Deleted = time.Time{}
	return k.changed(c, p), nil
}

// lookupKey says which key a string is of. Whoever may not know is told the same as of a string that is none.
func lookupKey(c *wire.Call) (any, error) {
	refused := wire.Forbidden("The caller does not have permission")
	text := c.Query("keyString")
	if text == "" {
		return nil, wire.Invalid("keyString is required.")
	}
	k := stateOf(c.State()).byString(text)
	if k == nil {
		return nil, refused
	}
	n, p, err := c.State().ProjectNode(k.Project)
	if err != nil || c.Require("apikeys.keys.lookup", n) != nil {
		return nil, refused
	}
	out := map[string]any{"parent": "projects/" + p.Number + "/locations/global"}
	if !k.purged(c.Now) {
		out["name"] = fullID(p.Number, k.ID)
	}
	return out, nil
}
