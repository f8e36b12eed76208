//go:build race

package lifecycle_test

// crowdSize is how many runs there are at once: fewer where each takes ten times as long.
const crowdSize = 20
