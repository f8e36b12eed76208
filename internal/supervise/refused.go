package supervise

import (
	"bytes"
	"io"
	"sync"
)

// saidWithoutUserns is what programs print that could not make a user namespace: bubblewrap, unshare
// and Chromium. The filter of system calls tells nobody what it has refused, so this is all there is
// to go by.
var saidWithoutUserns = []string{
	"No permissions to create new namespace",
	"Creating new namespace failed: Operation not permitted",
	"unshare failed: Operation not permitted",
	"No usable sandbox!",
	"Failed to move to new namespace",
}

// overheard is what was heard of what a command prints.
type overheard struct {
	mu    sync.Mutex
	heard string // the first of saidWithoutUserns that was printed; "" is none
}

// on returns a writer to the given one that is listened to.
func (e *overheard) on(to io.Writer) io.Writer { return &listened{Writer: to, overheard: e} }

func (e *overheard) has() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

type listened struct {
	io.Writer
	overheard *overheard
	last      []byte // the end of what was written, in which a text may have begun
}

func (l *listened) Write(b []byte) (int, error) {
	l.overheard.mu.Lock()
	if l.overheard.heard == "" {
		all := append(l.last, b...)
		longest := 0
		for _, text := range saidWithoutUserns {
			longest = max(longest, len(text))
			if l.overheard.heard == "" && bytes.Contains(all, []byte(text)) {
				l.overheard.heard = text
			}
		}
		l.last = bytes.Clone(all[max(0, len(all)-longest+1):])
	}
	l.overheard.mu.Unlock()
	return l.Writer.Write(b)
}
