package emulator

import "maps"

// copyObject copies an object to another name, or bucket, in one answer: who copies must be able to read
// the source and to write the destination. The fields of the body take the place of the source's.
func copyObject(c *call) (*bucket, *object, error) {
	if token := c.query("rewriteToken"); token != "" {
		return nil, nil, c.unsupported("rewriteToken") // no rewrite here is ever unfinished
	}
	q := c.r.URL.Query()
	from, source, err := findBucket(c)
	if err != nil {
		return nil, nil, err
	}
	name := c.vars["object"]
	if err := c.require("storage.objects.get", objectNode(c, from, source, name)); err != nil {
		return nil, nil, err
	}
	o := from.Objects[name]
	if o == nil || !sameGeneration(q.Get("sourceGeneration"), o.Generation) {
		if err := c.require("storage.objects.list", source); err != nil {
			return nil, nil, err
		}
		return nil, nil, notFound("No such object: %s/%s", from.Name, name)
	}
	if err := checkCounter(q, "ifSourceGeneration", o.Generation); err != nil {
		return nil, nil, err
	}
	if err := checkCounter(q, "ifSourceMetageneration", o.Metageneration); err != nil {
		return nil, nil, err
	}
	if q.Get("destinationPredefinedAcl") != "" {
		return nil, nil, c.unsupported("destinationPredefinedAcl")
	}
	m := objectMetadata{object: *o}
	m.StorageClass, m.Metadata = "", nil // that of the destination; the source's; unless the body says one
	if err := c.decodeKnown(c.body, m.fields()); err != nil {
		return nil, nil, err
	}
	if m.Metadata == nil {
		m.Metadata = maps.Clone(o.Metadata)
	}
	m.Name = c.vars["toObject"]
	c.vars["bucket"] = c.vars["toBucket"]
	to, destination, err := findBucket(c)
	if err != nil {
		return nil, nil, err
	}
	if err := mayStore(c, to, destination, m.Name, q); err != nil {
		return nil, nil, err
	}
	return to, storageOf(c.state()).put(to, m.object, c.now), nil
}

// copyTo is objects.copy, which answers with the new object.
func copyTo(c *call) (any, error) {
	b, o, err := copyObject(c)
	if err != nil {
		return nil, err
	}
	return showObject(c, b, o), nil
}

// rewriteTo is objects.rewrite, which may take several calls at Google and takes one here.
func rewriteTo(c *call) (any, error) {
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
	}{"storage#rewriteResponse", len(o.Content), len(o.Content), true, showObject(c, b, o)}, nil
}
