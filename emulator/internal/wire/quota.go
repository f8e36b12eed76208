package wire

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Quotas are limits on how often something may be done. The zero value limits nothing.
type Quotas struct {
	// IAMWrites is how many writes the IAM API takes in a minute of one project. Google's
	// default is 600 (iam/quotas).
	IAMWrites int `json:"iam_writes,omitempty"`
	// AccountCreations is how many service accounts one caller may create in a minute in
	// one project. Google's number depends on the project (iam/quotas).
	AccountCreations int `json:"account_creations,omitempty"`
	// BucketUpdates is how many updates of its metadata, its policy included, a bucket
	// takes in a second. Google's number is 1 (storage/quotas).
	BucketUpdates int `json:"bucket_updates,omitempty"`
	// DatasetUpdates is how many updates of its metadata, its access list included, a
	// dataset takes in ten seconds. Google's number is 5 (bigquery/quotas).
	DatasetUpdates int `json:"dataset_updates,omitempty"`
}

// GoogleQuotas are the limits that Google documents as its defaults. For the creation of
// accounts it documents no number.
var GoogleQuotas = Quotas{IAMWrites: 600, BucketUpdates: 1, DatasetUpdates: 5}

// Usage count what was done of late.
type Usage struct {
	mu     sync.Mutex
	Limits Quotas
	recent map[string][]time.Time // by limit and what it is counted for
}

// SetQuotas limits from now on how often something may be done. What was done before
// does not count.
func (s *Server) SetQuotas(limits Quotas) {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	s.quotas.Limits, s.quotas.recent = limits, map[string][]time.Time{}
}

// Quotas returns the limits in force.
func (s *Server) Quotas() Quotas {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	return s.quotas.Limits
}

// spend counts a call that writes against the limits, and refuses it if one is reached.
// A call that is refused here is not counted; one that fails later is.
func (s *Server) spend(c *Call) error {
	if !c.Method.Writes {
		return nil
	}
	q := &s.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.Limits == (Quotas{}) {
		return nil
	}
	sv := s.state.Service(c.Method.Host)
	if sv == nil || sv.Quota == nil {
		return nil
	}
	return sv.Quota(c, q)
}

// Take counts one more under key, if fewer than limit were counted in the window before
// now. A limit of 0 is none.
func (q *Usage) Take(key string, limit int, window time.Duration, now time.Time) bool {
	if limit == 0 {
		return true
	}
	old := q.recent[key]
	for len(old) > 0 && !old[0].Add(window).After(now) {
		old = old[1:]
	}
	if len(old) >= limit {
		q.recent[key] = old
		return false
	}
	q.recent[key] = append(old, now)
	return true
}

// Set sets one of the limits by its JSON name, from text.
func (q *Quotas) Set(name, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return fmt.Errorf("setting quota %s: %q is no number of calls", name, value)
	}
	into := map[string]*int{
		"iam_writes": &q.IAMWrites, "account_creations": &q.AccountCreations,
		"bucket_updates": &q.BucketUpdates, "dataset_updates": &q.DatasetUpdates,
	}[name]
	if into == nil {
		return fmt.Errorf("there is no quota %s", name)
	}
	*into = n
	return nil
}
