// Package supervise starts, watches and ends what lives beside a run: the task's command in
// its [Sandbox], the processes in the background ([Background]) and what they serve on
// ([Endpoint]), and the [TokenKeeper], which keeps the delivery good.
//
// A process is identified by its number and its start (startOf), because the system uses
// numbers again. It is recorded in the journal before its work begins, so that a teardown
// knows of every one.
//
// The package works from journals: it knows no manifest, no command line and no exit code.
package supervise
