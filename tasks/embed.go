// Package tasks holds sample manifests, such as people would write for the company
// that the emulator starts with. They are examples to copy from, and each is run
// against the emulator by a test; the package knows nothing of what they mean.
package tasks

import "embed"

// Files has every manifest of this folder by its name, such as "demo.toml".
//
//go:embed *.toml
var Files embed.FS
