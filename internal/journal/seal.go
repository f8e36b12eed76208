package journal

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// Seal returns a store that adds a seal to all records that are appended through it, and checks those of the
// journals that it reads: see [Run.Verified]. A seal is about the records and their times, and the seals of a
// journal are numbered, so that nothing can be added, changed, repeated or taken out without the key. What is cut
// off at the end goes unnoticed: whoever can do that can also remove the journal.
//
// key returns the key, and makes it the first time.
func Seal(store Store, key func() ([]byte, error)) Store { return sealing{store, key} }

type sealing struct {
	Store
	key func() ([]byte, error)
}

func (s sealing) Create(open Opened, announced ...Record) (Journal, error) {
	j, err := s.Store.Create(open, s.seal(open.Run, 0, announced, open)...)
	if err != nil {
		return nil, err
	}
	return s.journal(j, open.Run), nil
}

func (s sealing) Open(ctx context.Context, run grants.RunID, wait time.Duration) (Journal, error) {
	j, err := s.Store.Open(ctx, run, wait)
	if err != nil {
		return nil, err
	}
	return s.journal(j, run), nil
}

func (s sealing) Read(run grants.RunID) (*Run, error) {
	r, err := s.Store.Read(run)
	if err == nil {
		s.verify(r)
	}
	return r, err
}

func (s sealing) Select(want func(Summary) bool) ([]*Run, []Unread, error) {
	runs, unread, err := s.Store.Select(want)
	for _, r := range runs {
		s.verify(r)
	}
	return runs, unread, err
}

// seal returns records with their seal, the nth, which is also about those before them. Without a key they stay
// without a seal: what is to be recorded must not depend on it.
func (s sealing) seal(run grants.RunID, n int, records []Record, before ...Record) []Record {
	key, err := s.key()
	if err != nil || len(key) == 0 {
		return records
	}
	var about []Record
	for _, r := range slices.Concat(before, records) {
		_, e, err := encode(time.Time{}, r) // as it will be read, without secrets
		if err != nil {
			return records // the store refuses it, too
		}
		about = append(about, e.record)
	}
	return append(slices.Clip(records), unsealed{about: about, key: key, run: run, n: n})
}

// unsealed is a seal whose time is not known yet: that is when the store writes it, with what it is about.
type unsealed struct {
	sealed
	about []Record
	key   []byte
	run   grants.RunID
	n     int
}

func (u unsealed) at(at time.Time) sealed {
	var digests [][]byte
	for _, r := range u.about {
		digests = append(digests, digestOf(at, r))
	}
	return sealed{N: u.n, MAC: mac(u.key, u.run, u.n, at, digests)}
}

// verify checks all seals of a run.
func (s sealing) verify(r *Run) {
	key, err := s.key()
	r.Verified = err == nil && len(key) > 0 && len(r.seals.open) == 0
	// Those of appends that ran side by side may stand in another order.
	seen := make([]bool, len(r.seals.groups))
	for _, g := range r.seals.groups {
		numbered := g.n >= 0 && g.n < len(seen) && !seen[g.n]
		r.Verified = r.Verified && numbered && hmac.Equal([]byte(g.mac), []byte(mac(key, r.ID(), g.n, g.at, g.digests)))
		if numbered {
			seen[g.n] = true
		}
	}
}

type sealedJournal struct {
	Journal
	run    grants.RunID
	by     sealing
	opened *Run         // as it was when the journal was opened
	next   atomic.Int64 // the number of the next seal
}

func (s sealing) journal(j Journal, run grants.RunID) *sealedJournal {
	out := &sealedJournal{Journal: j, run: run, by: s, opened: j.Run()}
	for _, g := range out.opened.seals.groups {
		out.next.Store(max(out.next.Load(), int64(g.n)+1))
	}
	return out
}

func (j *sealedJournal) Append(records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	for _, r := range records { // what is refused must not use up a number
		if err := j.opened.accepts(r); err != nil {
			return fmt.Errorf("appending to the journal of run %s: %w", j.run, err)
		}
	}
	return j.Journal.Append(j.by.seal(j.run, int(j.next.Add(1)-1), records)...)
}

func (j *sealedJournal) Run() *Run {
	r := j.Journal.Run()
	j.by.verify(r)
	return r
}

// digestOf returns what stands for a record and its time in a seal.
func digestOf(at time.Time, r Record) []byte {
	b, err := json.Marshal(r)
	if err != nil {
		return nil // it was read from JSON, so this does not happen; nothing has this digest
	}
	sum := sha256.Sum256(append([]byte(at.Format(time.RFC3339Nano)+"\n"+r.kind()+"\n"), b...))
	return sum[:]
}

func mac(key []byte, run grants.RunID, n int, at time.Time, digests [][]byte) string {
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s\n%d\n%s\n", run, n, at.Format(time.RFC3339Nano))
	for _, d := range digests {
		h.Write(d)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// seals is what a run knows of the seals in its journal.
type seals struct {
	open   [][]byte // digests of the records since the last seal
	groups []group
}

// group is some records and their seal.
type group struct {
	digests [][]byte
	n       int
	at      time.Time
	mac     string
}

// addRecord notes a record, and what a seal is about.
func (s *seals) addRecord(at time.Time, r Record) {
	seal, ok := r.(sealed)
	if !ok {
		s.open = append(s.open, digestOf(at, r))
		return
	}
	s.groups = append(s.groups, group{s.open, seal.N, at, seal.MAC})
	s.open = nil
}
