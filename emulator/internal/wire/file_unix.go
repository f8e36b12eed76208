//go:build !windows

package wire

import "github.com/google/renameio/v2"

// WriteFile puts a file that this user alone can read in the place of the one that is there, or makes it: whole or not
// at all.
func WriteFile(path string, data []byte) error {
	return renameio.WriteFile(path, data, 0o600, renameio.IgnoreUmask())
}
