//go:build !race

package lifecycle_test

// crowdSize is how many runs there are at once.
const crowdSize = 100
