//go:build race

package main

// crowdSize is how many runs there are at once: fewer where each takes ten times as long.
const crowdSize = 20

// withRace says that the tests, and so the program that they drive, look for races.
const withRace = true
