package journal

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// Seal returns a store that adds a seal to all records that are appended through it, and checks those of the
// journals that it reads: see [Run.Verified]. A seal is about the records since the
// last one and about that seal, so that nothing can be added, changed or taken out without the key. What is cut
// off at the end goes unnoticed; a teardown does more then, not less.
//
// key returns the key, and makes it the first time.
func Seal(store Store, key func() ([]byte, error)) Store { return sealing{store, key} }

type sealing struct {
	Store
	key func() ([]byte, error)
}

func (s sealing) Create(open Opened, announced ...Record) (Journal, error) {
	j, err := s.Store.Create(open, s.seal(open.Run, "", announced, open)...)
	if err != nil {
		return nil, err
	}
	return sealedJournal{j, open.Run, s}, nil
}

func (s sealing) Open(ctx context.Context, run grants.RunID, wait time.Duration) (Journal, error) {
	j, err := s.Store.Open(ctx, run, wait)
	if err != nil {
		return nil, err
	}
	return sealedJournal{j, run, s}, nil
}

func (s sealing) Read(run grants.RunID) (*Run, error) {
	r, err := s.Store.Read(run)
	if err == nil {
		s.verify(r)
	}
	return r, err
}

// seal returns records with their seal, which is also about the seal and the records before them. Without a key they
// stay without a seal: what is to be recorded must not depend on it.
func (s sealing) seal(run grants.RunID, last string, records []Record, before ...Record) []Record {
	key, err := s.key()
	if err != nil || len(key) == 0 {
		return records
	}
	all := slices.Concat(before, records)
	var digests [][]byte
	for _, r := range all {
		_, e, err := encode(time.Time{}, r) // as it will be read, without secrets
		if err != nil {
			return records // the store refuses it, too
		}
		digests = append(digests, digestOf(e.record))
	}
	return append(slices.Clip(records), sealed{MAC: mac(key, run, last, digests)})
}

// verify checks all seals of a run.
func (s sealing) verify(r *Run) {
	key, err := s.key()
	r.Verified = err == nil && len(key) > 0 && len(r.seals.open) == 0
	last := ""
	for _, g := range r.seals.groups {
		r.Verified = r.Verified && hmac.Equal([]byte(g.mac), []byte(mac(key, r.ID(), last, g.digests)))
		last = g.mac
	}
}

type sealedJournal struct {
	Journal
	run grants.RunID
	by  sealing
}

func (j sealedJournal) Append(records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	return j.Journal.Append(j.by.seal(j.run, j.Journal.Run().seals.last(), records)...)
}

func (j sealedJournal) Run() *Run {
	r := j.Journal.Run()
	j.by.verify(r)
	return r
}

// digestOf returns what stands for a record in a seal.
func digestOf(r Record) []byte {
	b, err := json.Marshal(r)
	if err != nil {
		return nil // it was read from JSON, so this does not happen; nothing has this digest
	}
	sum := sha256.Sum256(append([]byte(r.kind()+"\n"), b...))
	return sum[:]
}

func mac(key []byte, run grants.RunID, last string, digests [][]byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(string(run) + "\n" + last + "\n"))
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

// last returns the last seal; "" if there is none.
func (s *seals) last() string {
	if len(s.groups) == 0 {
		return ""
	}
	return s.groups[len(s.groups)-1].mac
}

// group is some records and their seal.
type group struct {
	digests [][]byte
	mac     string
}

// addRecord notes a record, and what a seal is about.
func (s *seals) addRecord(r Record) {
	seal, ok := r.(sealed)
	if !ok {
		s.open = append(s.open, digestOf(r))
		return
	}
	s.groups = append(s.groups, group{s.open, seal.MAC})
	s.open = nil
}
