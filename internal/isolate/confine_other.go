//go:build !linux

package isolate

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// confine has nothing to do where there is no bubblewrap.
func confine() error { return nil }

func hideFromCommand() error { return nil }

// apart has nothing to keep what it starts apart from.
func apart(start func() error, _ <-chan struct{}) error { return start() }

// filter is of use to bubblewrap alone.
func (s Spec) filter() (*os.File, error) {
	return nil, errors.New("filtering system calls takes Linux")
}

func inMemory(string, []byte) (*os.File, error) {
	return nil, errors.New("files in memory take Linux")
}

func changed(info fs.FileInfo) time.Time { return info.ModTime() }

func identity(string) (string, error) { return "", errors.New("telling files apart takes Linux") }
