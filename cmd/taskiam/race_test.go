//go:build race

package main

// withRace says that the tests, and so the program that they drive, look for races.
const withRace = true
