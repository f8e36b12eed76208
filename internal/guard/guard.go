// Package guard limits what a manifest may open: by the operator's limits, which stand above every
// manifest, and by what the same manifest opened before.
//
// It is pure: it takes values and bytes, and returns what is beyond them.
package guard
