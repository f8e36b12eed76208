package emulator

import (
	"errors"
	"fmt"
	"strings"
)

// A managed folder is a prefix of object names, ending in a slash, with a policy of its own. There are
// those that the seed names; nothing here makes any.

const managedFolders = "/managedFolders/"

// folderName takes a relative name of a managed folder apart.
func folderName(relative string) (bucket, folder string, ok bool) {
	rest, ok := strings.CutPrefix(relative, "projects/_/buckets/")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, managedFolders)
}

// withFolders returns the node of a bucket with the managed folders below it that hold name, the deepest
// last.
func withFolders(s *state, bucket node, name string) node {
	if len(s.Resources) == 0 {
		return bucket
	}
	n := bucket
	for i, r := range name {
		if r != '/' || i == len(name)-1 {
			continue
		}
		full := bucket.full + managedFolders + name[:i+1]
		if f := s.Resources[full]; f != nil {
			n = n.child(full, bucket.name+managedFolders+name[:i+1], storageHost+"/ManagedFolder", f.Policy)
		}
	}
	return n
}

// bucketOrFolder returns the bucket of a name, or the deepest managed folder that holds it.
func bucketOrFolder(st *state, relative string) (node, bool) {
	rest, ok := strings.CutPrefix(relative, "projects/_/buckets/")
	name, _, _ := strings.Cut(rest, "/")
	b := storageOf(st).Buckets[name]
	if !ok || b == nil {
		return node{}, false
	}
	n, err := bucketNode(st, b)
	if err != nil {
		return node{}, false
	}
	_, folder, _ := folderName(relative)
	return withFolders(st, n, folder), true
}

// checkFolder refuses to seed a managed folder that Cloud Storage would not have.
func checkFolder(st *state, relative string) error {
	bucket, folder, _ := folderName(relative)
	switch b := storageOf(st).Buckets[bucket]; {
	case b == nil:
		return fmt.Errorf("there is no bucket %s", bucket)
	case !b.Uniform:
		return errors.New("managed folders need uniform bucket-level access")
	case !strings.HasSuffix(folder, "/"):
		return errors.New("the name of a managed folder ends in a slash")
	}
	return nil
}

// listManagedFolders lists those of the bucket. gcloud asks before it deletes one.
func listManagedFolders(c *call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	if err := c.require("storage.managedFolders.list", n); err != nil {
		return nil, err
	}
	prefix := n.full + managedFolders
	names, next, err := c.page(namesBelow(c.state().Resources, prefix+c.query("prefix")), "pageSize", 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"kind": "storage#managedFolders"}
	var items []any
	for _, name := range names {
		folder := strings.TrimPrefix(name, prefix)
		items = append(items, map[string]any{
			"kind": "storage#managedFolder", "id": b.Name + "/" + folder, "bucket": b.Name, "name": folder, "metageneration": "1",
		})
	}
	if len(items) > 0 {
		answer["items"] = items
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}
