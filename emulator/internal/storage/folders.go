package storage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
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
func withFolders(s *wire.State, bucket iam.Node, name string) iam.Node {
	if len(s.Resources) == 0 {
		return bucket
	}
	n := bucket
	for i, r := range name {
		if r != '/' || i == len(name)-1 {
			continue
		}
		full := bucket.Full + managedFolders + name[:i+1]
		if f := s.Resources[full]; f != nil {
			n = n.Child(full, bucket.Name+managedFolders+name[:i+1], host+"/ManagedFolder", f.Policy)
		}
	}
	return n
}

// bucketOrFolder returns the bucket of a name, or the deepest managed folder that holds it.
func bucketOrFolder(st *wire.State, relative string) (iam.Node, bool) {
	rest, ok := strings.CutPrefix(relative, "projects/_/buckets/")
	name, _, _ := strings.Cut(rest, "/")
	b := stateOf(st).Buckets[name]
	if !ok || b == nil {
		return iam.Node{}, false
	}
	n, err := bucketNode(st, b)
	if err != nil {
		return iam.Node{}, false
	}
	_, folder, _ := folderName(relative)
	return withFolders(st, n, folder), true
}

// checkFolder refuses to seed a managed folder that Cloud Storage would not have.
func checkFolder(st *wire.State, relative string) error {
	bucket, folder, _ := folderName(relative)
	switch b := stateOf(st).Buckets[bucket]; {
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
func listManagedFolders(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	if err := c.Require("storage.managedFolders.list", n); err != nil {
		return nil, err
	}
	prefix := n.Full + managedFolders
	names, next, err := c.Page(wire.NamesBelow(c.State().Resources, prefix+c.Query("prefix")), "pageSize", 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"kind": "storage#managedFolders"}
	var items []any
	for _, name := range names {
		folder := strings.TrimPrefix(name, prefix)
		items = append(items, map[string]any{
			"kind": "storage#managedFolder", "id": b.Name + "/" + folder, "bucket": b.Name, "name": folder,
			"metageneration": "1",
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
