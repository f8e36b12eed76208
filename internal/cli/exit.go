package cli

import (
	"errors"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/supervise"
)

// exitCode is what the process ends with. docs/exit-codes.md is the table for
// people; a test holds the two together.
type exitCode int

const (
	exitOK         exitCode = 0 // what was asked for is done
	exitFailure    exitCode = 1 // it failed, and for none of the reasons below
	exitUsage      exitCode = 2 // the command line or the manifest is wrong; nothing was called
	exitDenied     exitCode = 3 // not logged in, or not allowed
	exitConflict   exitCode = 4 // somebody else is at work on it, or it is already there
	exitIncomplete exitCode = 5 // a teardown left something behind
	exitNotReady   exitCode = 6 // up, but not all of the access is usable yet; or what is done was not reported

	exitRunFailed exitCode = 125 // run: taskiam failed, or could not tear down
	exitNoExec    exitCode = 126 // run: CMD was found but cannot be run
	exitNotFound  exitCode = 127 // run: CMD was not found
)

// exitError ends the process with a certain code. Its err is printed if it is not nil.
type exitError struct {
	code exitCode
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "exit"
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// codeOf returns the code that err ends the process with.
func codeOf(err error) exitCode {
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	switch fault.KindOf(err) {
	case fault.Usage:
		return exitUsage
	case fault.Unauthenticated, fault.Denied:
		return exitDenied
	case fault.Exists, fault.Conflict, fault.Locked:
		return exitConflict
	case fault.Incomplete:
		return exitIncomplete
	case fault.NotReady:
		return exitNotReady
	case fault.Other, fault.NotFound, fault.Precondition, fault.Invalid, fault.Throttled, fault.Unavailable:
		return exitFailure
	default:
		return exitFailure
	}
}

// runFailed gives an error without an exit code one that is not CMD's: under run, every code
// below 125 is the code of CMD.
func runFailed(err error) error {
	var exit *exitError
	if err == nil || errors.As(err, &exit) {
		return err
	}
	code := exitRunFailed
	if start, ok := errors.AsType[*supervise.StartError](err); ok {
		code = exitNoExec
		if start.NotFound {
			code = exitNotFound
		}
	}
	return &exitError{code, err}
}
