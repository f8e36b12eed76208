//go:build !race

package main

// crowdSize is how many runs there are at once.
const crowdSize = 100

// killedEvery says which of the cells of TestKilled are played: one of so many.
const killedEvery = 1
