package wire

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile puts a file in the place of the one that is there, or makes it. Who can read it is decided by its folder:
// files have no modes here. The file is written beside the old one and renamed, of which Windows does not promise that
// a loss of power leaves one of the two.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
