package gcp

import (
	"net/http"
	"sync/atomic"
	"time"
)

// sameClock is by how much two clocks that agree may seem to differ: the Date header
// has whole seconds, and the answer was on its way for some time.
const sameClock = 5 * time.Second

// dated takes down what time it is at Google.
type dated struct {
	base http.RoundTripper
	// ahead is by how much Google's clock was ahead of this machine's at the last answer.
	ahead atomic.Int64
}

func (d *dated) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := d.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		ahead := time.Until(date)
		if ahead.Abs() < sameClock {
			ahead = 0
		}
		d.ahead.Store(int64(ahead))
	}
	return resp, nil
}

// Clock returns what time it is at Google, as its last answer told; before the first
// one, what this machine's clock says. Conditions and keys end by Google's clock.
func (c *Client) Clock() time.Time { return time.Now().Add(time.Duration(c.base.ahead.Load())) }
