package credentials

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

// mint is what was asked of [google].
type mint struct {
	At       time.Duration // since the start
	Lifetime time.Duration
	Scopes   []string
}

// google makes tokens: numbered ones, or none while err is set.
type google struct {
	start time.Time
	rtt   time.Duration
	skew  time.Duration // of its clock against ours

	mu    sync.Mutex
	mints []mint
	err   error
}

func (g *google) accessToken(ctx context.Context, lifetime time.Duration, scopes []string) (grants.Token, error) {
	g.mu.Lock()
	g.mints = append(g.mints, mint{time.Since(g.start), lifetime, scopes})
	n, err := len(g.mints), g.err
	g.mu.Unlock()
	select {
	case <-time.After(g.rtt):
	case <-ctx.Done():
		return grants.Token{}, ctx.Err()
	}
	if err != nil {
		return grants.Token{}, err
	}
	return grants.Token{Value: secret.New(fmt.Sprintf("token-%d", n)), Expires: time.Now().Add(g.skew + lifetime)}, nil
}

func (g *google) refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *google) calls() []mint {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]mint(nil), g.mints...)
}

// newTestMinter is for the inside of a bubble: its clock is the bubble's.
func newTestMinter(t *testing.T, g *google, cfg MinterConfig) *Minter {
	t.Helper()
	g.start = time.Now()
	cfg.AccessToken = g.accessToken
	m := NewMinter(cfg)
	t.Cleanup(m.Close)
	return m
}

func ask(t *testing.T, m *Minter) grants.Token {
	t.Helper()
	token, err := m.AccessToken(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

const platform = "https://www.googleapis.com/auth/cloud-platform"

func TestMinterRenewsAheadOfNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: 50 * time.Millisecond}
		m := newTestMinter(t, g, MinterConfig{Lifetime: 15 * time.Minute})

		first := ask(t, m)
		if left := time.Until(first.Expires); left > 15*time.Minute-g.rtt || left < 14*time.Minute {
			t.Errorf("a fresh token has %s left, want what is left of 15 minutes after asking for it", left)
		}
		time.Sleep(9 * time.Minute)
		if got := ask(t, m); got.Value != first.Value {
			t.Errorf("after 9 of 15 minutes there is another token")
		}
		// In the last third the old token is still handed out, at once, and a new one is
		// made behind it.
		time.Sleep(time.Minute + time.Second)
		before := time.Now()
		if got := ask(t, m); got.Value != first.Value || !time.Now().Equal(before) {
			t.Errorf("after 10 of 15 minutes a caller waits for the next token")
		}
		synctest.Wait()
		time.Sleep(g.rtt)
		synctest.Wait()
		if got := ask(t, m); got.Value == first.Value {
			t.Errorf("the token was not renewed")
		}
		if got := len(g.calls()); got != 2 {
			t.Errorf("%d tokens were made, want 2", got)
		}
	})
}

// A minter whose run is renewed goes on: a token that was to end with the run gives way to
// one of full length.
func TestMinterOfARenewedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{}
		m := newTestMinter(t, g, MinterConfig{Lifetime: time.Hour, Expires: time.Now().Add(10 * time.Minute)})
		get := func() (grants.Token, error) { return m.AccessToken(t.Context(), nil) }
		if _, err := get(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		m.Extend(time.Now().Add(2 * time.Hour))
		for range 2 { // the first has it made, and gets the old one
			if _, err := get(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(2 * time.Minute) // past the old end
		if token, err := get(); err != nil || time.Until(token.Expires) < 50*time.Minute {
			t.Errorf("after the old end: %v, %v", token.Expires, err)
		}
		if calls := g.calls(); len(calls) != 2 || calls[0].Lifetime != 10*time.Minute || calls[1].Lifetime != time.Hour {
			t.Errorf("calls: %+v", calls)
		}
		time.Sleep(2 * time.Hour)
		if _, err := get(); !fault.Is(err, fault.Denied) {
			t.Errorf("after the new end: %v", err)
		}
	})
}

func TestMinterMakesEachTokenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: 200 * time.Millisecond}
		m := newTestMinter(t, g, MinterConfig{Lifetime: 15 * time.Minute})
		var crowd sync.WaitGroup
		var impatient atomic.Int64
		const renewals = 5
		for n := range renewals {
			for i := range 1000 {
				crowd.Go(func() {
					ctx := t.Context()
					if i%10 == 0 && n == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, g.rtt/2)
						defer cancel()
					}
					token, err := m.AccessToken(ctx, []string{platform})
					switch {
					case errors.Is(err, context.DeadlineExceeded):
						impatient.Add(1)
					case err != nil:
						t.Error(err)
					case time.Until(token.Expires) < leastLife:
						t.Errorf("a token with %s left was handed out", time.Until(token.Expires))
					}
				})
			}
			crowd.Wait()
			time.Sleep(11 * time.Minute)
		}
		if got := len(g.calls()); got != renewals {
			t.Errorf("%d tokens were made for %d renewals", got, renewals)
		}
		// Those who went away kept nobody else from the token.
		if got := impatient.Load(); got != 100 {
			t.Errorf("%d callers gave up, want 100", got)
		}
	})
}

// A day of it: memory stays flat, and Google is asked once for each renewal.
func TestMinterOverADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: 50 * time.Millisecond}
		m := newTestMinter(t, g, MinterConfig{Lifetime: 15 * time.Minute})
		memory := func() uint64 {
			runtime.GC()
			runtime.GC()
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			return s.HeapAlloc
		}
		var after1h uint64
		for at := time.Duration(0); at < 24*time.Hour; at += 10 * time.Second {
			for i := range 40 { // more different sets of scopes than are kept
				token, err := m.AccessToken(t.Context(), []string{fmt.Sprintf("scope-%d", i)})
				if i < maxTokens != (err == nil) || err != nil && !fault.Is(err, fault.Denied) {
					t.Fatalf("scopes %d: %v", i, err)
				}
				if err == nil && time.Until(token.Expires) < leastLife {
					t.Fatalf("after %s: a token with %s left", at, time.Until(token.Expires))
				}
			}
			time.Sleep(10 * time.Second)
			if at == time.Hour {
				after1h = memory()
			}
		}
		// A token of 15 minutes is renewed after 10; the recorded calls are the test's.
		if got, most := len(g.calls()), maxTokens*(24*6+1); got > most || got < most-maxTokens*4 {
			t.Errorf("%d tokens were made in a day, want about %d", got, most)
		}
		recorded := uint64(len(g.calls())) * 200
		if end := memory(); end > after1h+recorded+64<<10 {
			t.Errorf("memory grew from %d KiB after an hour to %d KiB after a day", after1h>>10, end>>10)
		}
		if got := len(m.tokens); got != maxTokens {
			t.Errorf("%d tokens are kept, want %d", got, maxTokens)
		}
	})
}

func TestMinterLeavesGoogleAloneAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: 10 * time.Millisecond}
		g.refuse(&fault.Error{Kind: fault.Denied, Code: 403})
		m := newTestMinter(t, g, MinterConfig{})
		for range 100_000 { // ten minutes of a hundred a second and more
			if _, err := m.AccessToken(t.Context(), nil); !fault.Is(err, fault.Denied) {
				t.Fatalf("got %v, want the refusal", err)
			}
			time.Sleep(6 * time.Millisecond)
		}
		var at []time.Duration
		for _, c := range g.calls() {
			at = append(at, c.At.Round(time.Second))
		}
		s := time.Second
		want := []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s, 31 * s, 63 * s}
		for last := 63 * s; last+60*s <= 600*s; {
			last += 60 * s
			want = append(want, last)
		}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("Google was asked (-want +got):\n%s", diff)
		}

		// Once it answers again, so does the minter, and the next refusal starts anew.
		g.refuse(nil)
		time.Sleep(longestPause)
		ask(t, m)
	})
}

func TestMinterWaitsAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{}
		g.refuse(&fault.Error{Kind: fault.Throttled, RetryAfter: 20 * time.Second})
		m := newTestMinter(t, g, MinterConfig{})
		for range 190 {
			if _, err := m.AccessToken(t.Context(), nil); !fault.Is(err, fault.Throttled) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := len(g.calls()); got != 1 {
			t.Errorf("Google was asked %d times within the 20 s that it asked for", got)
		}
	})
}

func TestMinterKeepsAGoodTokenWhileRenewingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: time.Millisecond}
		m := newTestMinter(t, g, MinterConfig{Lifetime: 15 * time.Minute})
		first := ask(t, m)
		g.refuse(&fault.Error{Kind: fault.Unavailable})
		for time.Until(g.start.Add(15*time.Minute)) > leastLife+time.Second {
			if got := ask(t, m); got.Value != first.Value {
				t.Fatal("there is another token, from nowhere")
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		if _, err := m.AccessToken(t.Context(), nil); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v, want why there is no other token", err)
		}
		if got := len(g.calls()); got > 12 {
			t.Errorf("Google was asked %d times in five minutes of failing", got)
		}
		g.refuse(nil)
		time.Sleep(longestPause)
		if got := ask(t, m); got.Value == first.Value {
			t.Error("the old token came back")
		}
	})
}

func TestMinterEndsWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: 50 * time.Millisecond}
		end := time.Now().Add(40*time.Minute + 500*time.Millisecond)
		m := newTestMinter(t, g, MinterConfig{Lifetime: 15 * time.Minute, Expires: end})
		served := 0
		for time.Now().Before(end.Add(time.Minute)) {
			token, err := m.AccessToken(t.Context(), nil)
			left := time.Until(end)
			switch {
			case err == nil && token.Expires.After(end):
				t.Fatalf("a token outlives the run by %s", token.Expires.Sub(end))
			case err == nil:
				served++
			case left > lastCall+time.Second:
				t.Fatalf("with %s left: %v", left, err)
			case !fault.Is(err, fault.Denied):
				t.Fatalf("at the end: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, c := range g.calls() {
			if made := g.start.Add(c.At + c.Lifetime); made.After(end) {
				t.Errorf("a token was asked for that outlives the run by %s", made.Sub(end))
			}
			if c.Lifetime != c.Lifetime.Truncate(time.Second) || c.Lifetime < leastLife {
				t.Errorf("a token of %s was asked for", c.Lifetime)
			}
		}
		// At 0, 10, 20 and 30 minutes; the last one lasts to the end.
		if got := len(g.calls()); got != 4 {
			t.Errorf("%d tokens were made, want 4: %v", got, g.calls())
		}
		if served < 23_000 {
			t.Errorf("only %d callers got a token", served)
		}
	})
}

// Whatever the clocks say, no token is said to live longer than it does.
func TestMinterAndClocksThatDiffer(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, -5 * time.Minute, -time.Second, time.Second, 5 * time.Minute, time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &google{rtt: 50 * time.Millisecond, skew: skew}
				m := newTestMinter(t, g, MinterConfig{Lifetime: 15 * time.Minute})
				for range 3600 {
					asked := time.Now()
					token := ask(t, m)
					calls := g.calls()
					var n int
					if _, err := fmt.Sscanf(token.Value.Reveal(), "token-%d", &n); err != nil {
						t.Fatal(err)
					}
					if real := g.start.Add(calls[n-1].At + 15*time.Minute); token.Expires.After(real) {
						t.Fatalf("token %d is said to end %s too late", n, token.Expires.Sub(real))
					}
					if !token.Expires.After(asked) {
						t.Fatalf("token %d is over", n)
					}
					time.Sleep(time.Second)
				}
				if got := len(g.calls()); got > 10 {
					t.Errorf("%d tokens were made in an hour", got)
				}
			})
		})
	}
}

// Between times of which one has no monotonic half, the wall clock counts.
func TestMintedLeft(t *testing.T) {
	t.Parallel()
	asked := time.Now()
	token := minted{secret.New("x"), asked, 15 * time.Minute}
	if got := token.left(asked.Add(time.Second)); got != 15*time.Minute-time.Second {
		t.Errorf("after a second %s is left", got)
	}
	if got := token.left(asked.Round(0).Add(time.Hour)); got != -45*time.Minute {
		t.Errorf("after an hour by the wall clock %s is left", got)
	}
	if got := (minted{lifetime: time.Hour}).left(asked); got != 0 {
		t.Errorf("of no token %s is left", got)
	}
}

func TestMinterKeepsScopesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{}
		m := newTestMinter(t, g, MinterConfig{Scopes: []string{"b", "a"}})
		for _, scopes := range [][]string{nil, {"a", "b"}, {"b", "a", "b"}, {"a"}, {"b"}, {"a"}} {
			if _, err := m.AccessToken(t.Context(), scopes); err != nil {
				t.Fatal(err)
			}
		}
		var got [][]string
		for _, c := range g.calls() {
			got = append(got, c.Scopes)
		}
		if diff := cmp.Diff([][]string{{"a", "b"}, {"a"}, {"b"}}, got); diff != "" {
			t.Errorf("tokens were made with (-want +got):\n%s", diff)
		}
	})
}

func TestMinterIdentityTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var audiences []string
		end := time.Now().Add(3 * time.Hour)
		m := NewMinter(MinterConfig{Expires: end, IDToken: func(_ context.Context, audience string) (grants.Token, error) {
			audiences = append(audiences, audience)
			return grants.Token{Value: secret.New("jwt"), Expires: time.Now().Add(time.Hour)}, nil
		}})
		defer m.Close()
		for range 170 {
			if _, err := m.IDToken(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(time.Minute)
		}
		if got := len(audiences); got != 5 { // every 40 minutes
			t.Errorf("%d identity tokens were made in 170 minutes", got)
		}
		time.Sleep(10 * time.Minute)
		if _, err := m.IDToken(t.Context(), "a"); !fault.Is(err, fault.Denied) {
			t.Errorf("after the run's end: %v", err)
		}
		if _, err := m.AccessToken(t.Context(), nil); !fault.Is(err, fault.Denied) {
			t.Errorf("an access token that nobody makes: %v", err)
		}
	})
}

func TestMinterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: time.Hour}
		m := newTestMinter(t, g, MinterConfig{})
		waited := make(chan error)
		go func() {
			_, err := m.AccessToken(context.Background(), nil)
			waited <- err
		}()
		synctest.Wait()
		m.Close()
		if err := <-waited; !fault.Is(err, fault.Denied) {
			t.Errorf("who waited got %v", err)
		}
		if _, err := m.AccessToken(t.Context(), nil); !fault.Is(err, fault.Denied) {
			t.Errorf("who came later got %v", err)
		}
		if got := time.Since(g.start); got != 0 {
			t.Errorf("closing took %s", got)
		}
		m.Close() // again is fine
	})
}

func TestMinterGivesUpOnAMintingThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &google{rtt: time.Hour}
		m := newTestMinter(t, g, MinterConfig{})
		if _, err := m.AccessToken(t.Context(), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(g.start); got != mintTimeout {
			t.Errorf("it took %s", got)
		}
	})
}
