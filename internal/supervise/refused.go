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

// ear listens to what a command prints.
type ear struct {
	mu    sync.Mutex
	heard string // the first of saidWithoutUserns that was printed; "" is none
}

// on returns a writer to the given one that is listened to.
func (e *ear) on(to io.Writer) io.Writer { return &listened{Writer: to, ear: e} }

func (e *ear) has() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

type listened struct {
	io.Writer
	ear  *ear
	last []byte // the end of what was written, in which a text may have begun
}

func (l *listened) Write(b []byte) (int, error) {
	l.ear.mu.Lock()
	if l.ear.heard == "" {
		all := append(l.last, b...)
		longest := 0
		for _, text := range saidWithoutUserns {
			longest = max(longest, len(text))
			if l.ear.heard == "" && bytes.Contains(all, []byte(text)) {
				l.ear.heard = text
			}
		}
		l.last = bytes.Clone(all[max(0, len(all)-longest+1):])
	}
	l.ear.mu.Unlock()
	return l.Writer.Write(b)
}
