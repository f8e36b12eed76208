// Package supervise starts, watches and ends what lives beside a run: the processes in the
// background that keep its delivery good.
//
// A process is known by its number and its start ([StartOf]): a number that was used
// again is never taken for the run's.
//
// It knows no command line, no exit code and no manifest.
package supervise
