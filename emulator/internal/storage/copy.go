package storage

import (
	"maps"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// copyObject copies an object to another name, or bucket, in one answer: who copies must be able to read
// the source and to write the destination. The fields of the body take the place of the source's.
func copyObject(c *wire.Call) (*bucket, *object, error) {
	if token := c.Query("rewriteToken"); token != "" {
		return nil, nil, c.Unsupported("rewriteToken") // no rewrite here is ever unfinished
	}
	q := c.Request.URL.Query()
	from, source, err := findBucket(c)
	if err != nil {
		return nil, nil, err
	}
	name := c.Vars["object"]
	if err := c.Require("storage.objects.get", objectNode(c, from, source, name)); err != nil {
		return nil, nil, err
	}
	o := from.Objects[name]
	if o == nil || !sameGeneration(q.Get("sourceGeneration"), o.Generation) {
		if err := c.Require("storage.objects.list", source); err != nil {
			return nil, nil, err
		}
		return nil, nil, wire.NotFound("No such object: %s/%s", from.Name, name)
	}
	if err := checkCounter(q, "ifSourceGeneration", o.Generation); err != nil {
		return nil, nil, err
	}
	if err := checkCounter(q, "ifSourceMetageneration", o.Metageneration); err != nil {
		return nil, nil, err
	}
	if q.Get("destinationPredefinedAcl") != "" {
		return nil, nil, c.Unsupported("destinationPredefinedAcl")
	}
	m := objectMetadata{object: *o}
	m.StorageClass, m.Metadata = "", nil // that of the destination; the source's; unless the body says one
	if err := c.DecodeKnown(c.Body, m.fields()); err != nil {
		return nil, nil, err
	}
	if m.Metadata == nil {
		m.Metadata = maps.Clone(o.Metadata)
	}
	m.Name = c.Vars["toObject"]
	c.Vars["bucket"] = c.Vars["toBucket"]
	to, destination, err := findBucket(c)
	if err != nil {
		return nil, nil, err
	}
	if err := mayStore(c, to, destination, m.Name, q); err != nil {
		return nil, nil, err
	}
	return to, stateOf(c.State()).put(to, m.object, c.Now), nil
}

// copyTo is objects.copy, which answers with the new object.
func copyTo(c *wire.Call) (any, error) {
	b, o, err := copyObject(c)
	if err != nil {
		return nil, err
	}
	return showObject(c, b, o), nil
}

// rewriteTo is objects.rewrite, which may take several calls at Google and takes one here.
func rewriteTo(c *wire.Call) (any, error) {
	b, o, err := copyObject(c)
	if err != nil {
		return nil, err
	}
	return struct {
		Kind     string          `json:"kind"`
		Written  int             `json:"totalBytesRewritten,string"`
		Size     int             `json:"objectSize,string"`
		Done     bool            `json:"done"`
		Resource *objectResource `json:"resource"`
	}{"storage#rewriteResponse", o.Content.Len(), o.Content.Len(), true, showObject(c, b, o)}, nil
}
