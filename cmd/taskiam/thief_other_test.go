//go:build !linux

package main

func thief() {}
