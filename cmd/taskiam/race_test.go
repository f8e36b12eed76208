//go:build race

package main

// crowdSize is how many runs there are at once: fewer where each takes ten times as long.
const crowdSize = 20

// killedEvery says which of the cells of TestKilled are played: one of so many, since each
// is several processes, which take ten times as long to start.
const killedEvery = 15
