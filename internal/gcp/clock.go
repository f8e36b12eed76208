package gcp

import (
	"net/http"
	"sync"
	"time"
)

// dated takes down what time it is at Google.
type dated struct {
	base http.RoundTripper

	mu       sync.Mutex
	answered bool // whether an answer has ever come
	known    bool
	// lost is why the cloud could not be reached, and lostAt when that was found out.
	lost   error
	lostAt time.Time
	// ahead is by how much Google's clock is ahead of this machine's: between the two.
	ahead span
}

// span is a length of time that is known to lie between two.
type span struct{ least, most time.Duration }

// nearest returns the length in the span that is nearest to none: two clocks are not said
// to differ by more than is proved.
func (s span) nearest() time.Duration {
	return max(s.least, min(s.most, 0))
}

func (d *dated) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := d.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.answered = true
	d.mu.Unlock()
	// The answer was dated after the request was sent, in a second that the header cuts
	// off, and before the answer came.
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.learn(span{date.Sub(time.Now().Round(0)), date.Add(time.Second).Sub(sent.Round(0))})
	}
	return resp, nil
}

// learn narrows down what is known of Google's clock. What contradicts it is believed
// instead, since either clock may have been set.
func (d *dated) learn(s span) {
	if s.least > s.most {
		return // this machine's clock was set back meanwhile
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if both := (span{max(s.least, d.ahead.least), min(s.most, d.ahead.most)}); d.known && both.least <= both.most {
		s = both
	}
	d.ahead, d.known = s, true
}

// reached reports whether the cloud has answered before.
func (d *dated) reached() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.answered
}

// lostFor is how long nothing else is tried after a way to the cloud was looked for in vain:
// calls that are made side by side have one answer between them.
const lostFor = 10 * time.Second

// lose takes down that there is no way to the cloud, and returns the error that was the first
// to say so.
func (d *dated) lose(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost == nil || time.Since(d.lostAt) > lostFor {
		d.lost, d.lostAt = err, time.Now()
	}
	return d.lost
}

// unreachable returns why the cloud could not be reached a moment ago, if that is so.
func (d *dated) unreachable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answered || d.lost == nil || time.Since(d.lostAt) > lostFor {
		return nil
	}
	return d.lost
}

func (d *dated) offset() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ahead.nearest()
}

// Clock returns what time it is at Google, by the Date headers of its answers; before
// the first one, what this machine's clock says. The two differ by no more than is
// certain, and a header tells no more than the second. Conditions, keys and tokens end
// by Google's clock.
func (c *Client) Clock() time.Time { return time.Now().Add(c.base.offset()) }
