//go:build !race

package main

// crowdSize is how many runs there are at once.
const crowdSize = 100

// withRace says that the tests, and so the program that they drive, look for races.
const withRace = false
