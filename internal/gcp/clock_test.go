package gcp

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// answering answers every request with a Date header by a clock that is off, in the
// middle of the time that the answer takes.
type answering struct{ off, takes time.Duration }

func (a *answering) RoundTrip(*http.Request) (*http.Response, error) {
	time.Sleep(a.takes / 2)
	date := time.Now().Add(a.off).UTC().Format(http.TimeFormat)
	time.Sleep(a.takes / 2)
	return &http.Response{Header: http.Header{"Date": {date}}}, nil
}

func TestClock(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answers []answering
		want    time.Duration // by how much Google's clock is said to be ahead
		within  time.Duration
	}{
		{"no answer yet", nil, 0, 0},
		{"right", []answering{{0, 40 * time.Millisecond}}, 0, 0},
		{"right, and the answer slow", []answering{{0, 10 * time.Minute}}, 0, 0},
		{"a day ahead", []answering{{24 * time.Hour, 40 * time.Millisecond}}, 24 * time.Hour, time.Second},
		{"a day behind", []answering{{-24 * time.Hour, 40 * time.Millisecond}}, -24 * time.Hour, time.Second},
		{"ten minutes ahead, and the answer slow", []answering{{10 * time.Minute, time.Minute}}, 10 * time.Minute, 31 * time.Second},
		{"a slow answer does not blur a quick one", []answering{{3 * time.Minute, 40 * time.Millisecond}, {3 * time.Minute, 10 * time.Minute}}, 3 * time.Minute, time.Second},
		{"a quick answer corrects a slow one", []answering{{3 * time.Minute, 10 * time.Minute}, {3 * time.Minute, 40 * time.Millisecond}}, 3 * time.Minute, time.Second},
		{"set meanwhile", []answering{{3 * time.Minute, 0}, {0, 0}}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(300 * time.Millisecond) // not on the second
				a := &answering{}
				c := &Client{base: &dated{base: a}}
				for _, *a = range tt.answers {
					if _, err := c.base.RoundTrip(&http.Request{}); err != nil {
						t.Fatal(err)
					}
				}
				if got := time.Until(c.Clock()); (got-tt.want).Abs() > tt.within || got.Abs() > tt.want.Abs() {
					t.Errorf("Google's clock is said to be %s ahead, want %s (within %s, and not more)", got, tt.want, tt.within)
				}
			})
		})
	}
}

// A clock that was set back while an answer was on its way tells nothing.
func TestClockSetBackMeanwhile(t *testing.T) {
	t.Parallel()
	d := &dated{}
	d.learn(span{time.Minute, 2 * time.Minute})
	d.learn(span{time.Hour, -time.Hour})
	if got := d.offset(); got != time.Minute {
		t.Errorf("the offset is %s", got)
	}
}
