package secretmanager

import "github.com/taskiam/taskiam/emulator/internal/wire"

// patchSecret changes labels and annotations. If the body has an etag it must be that of the secret.
func patchSecret(c *wire.Call) (any, error) {
	s, n, err := findSecret(c)
	if err := c.RequireFound("secretmanager.secrets.update", n, err); err != nil {
		return nil, err
	}
	var labels, annotations map[string]string
	var etag string
	var output any // what a client may send back as it read it
	if err := c.DecodeKnown(c.Body, map[string]any{
		"labels": &labels, "annotations": &annotations, "etag": &etag, "name": &output, "createTime": &output,
		"replication": &output,
	}); err != nil {
		return nil, err
	}
	fields, err := wire.CheckMask(c.Query("updateMask"), "labels", "annotations")
	if err != nil {
		return nil, err
	}
	if etag != "" && etag != s.etag() {
		return nil, wire.Precondition("The etag does not match that of the secret.")
	}
	for _, f := range fields {
		switch f {
		case "labels":
			s.Labels = labels
		case "annotations":
			s.Annotations = annotations
		}
	}
	s.Revision++
	return showSecret(c, s)
}
