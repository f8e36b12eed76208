// Package supervise starts, watches and ends what lives beside a run: the task's command in
// its [Sandbox], the processes in the background ([Background]) and what they serve on
// ([Endpoint]), and the [TokenKeeper], which keeps the delivery good.
//
// A process is known by its number and its start ([StartOf]), so that a number that was used
// again is never taken for the run's. It is in the journal before it begins its work, so
// that there is never one that a teardown does not know of.
//
// The package works from journals: it knows no manifest, no command line and no exit code.
package supervise
