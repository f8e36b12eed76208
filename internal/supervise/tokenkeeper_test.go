package supervise

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/secret"
)

// What keeps a delivery good ends with the run, and learns from the journal that the end
// was moved: also if that is done at the last moment.
func TestTokenKeeperFollowsTheEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		records []journal.Record // written 5 s before the end
		later   []journal.Record // and 12 s after it
		want    time.Duration    // when it ends
	}{
		"not renewed":          {want: time.Hour},
		"renewed":              {records: []journal.Record{journal.RenewIntended{}, journal.Renewed{}}, want: 3 * time.Hour},
		"renewed just now":     {records: []journal.Record{journal.RenewIntended{}}, later: []journal.Record{journal.Renewed{}}, want: 3 * time.Hour},
		"a renewal is undone":  {records: []journal.Record{journal.RenewIntended{}}, later: []journal.Record{journal.RenewUndone{}}, want: time.Hour + 20*time.Second},
		"a renewal is cut off": {records: []journal.Record{journal.RenewIntended{}}, want: 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				journals, err := journal.OpenDir(t.TempDir(), nil)
				if err != nil {
					t.Fatal(err)
				}
				id := grants.NewRunID(began, [5]byte{1})
				j, err := journals.Create(journal.Opened{Run: id, Task: "t", Expires: began.Add(time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
				defer j.Close()
				k := NewTokenKeeper(j.Run(), nil, journals, time.Now, io.Discard)
				ended := make(chan struct{})
				go func() {
					k.follow(t.Context())
					close(ended)
				}()
				write := func(records []journal.Record) {
					for _, r := range records {
						switch r.(type) {
						case journal.RenewIntended:
							r = journal.RenewIntended{Expires: began.Add(3 * time.Hour)}
						case journal.Renewed:
							r = journal.Renewed{Expires: began.Add(3 * time.Hour)}
						}
						if err := j.Append(r); err != nil {
							t.Error(err)
						}
					}
				}
				time.Sleep(time.Hour - 5*time.Second)
				write(tt.records)
				time.AfterFunc(17*time.Second, func() { write(tt.later) })
				<-ended
				if got := time.Since(began); (got - tt.want).Abs() > 10*time.Second {
					t.Errorf("it ends after %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// pipes is a listener in memory, whose connections are clients' ends of pipes.
type pipes struct {
	clients chan net.Conn
	closed  chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.clients:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	close(l.closed)
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711} }

// get asks as clients do, and returns the status and the text of the answer.
func (l *pipes) get(t *testing.T, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			here, there := net.Pipe()
			select {
			case l.clients <- there:
				return here, nil
			case <-l.closed:
				return nil, errors.New("connection refused")
			}
		},
	}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:4711"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Metadata-Flavor", "Google")
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// minting makes tokens, of an account that is there as long as it is asked for.
type minting struct{ Tokens }

func (minting) ScopedAccessToken(_ context.Context, _ string, lifetime time.Duration, _ []string) (grants.Token, error) {
	return grants.Token{Value: secret.New("ya29.test"), Expires: time.Now().Add(lifetime)}, nil
}

func (minting) IDToken(_ context.Context, _, audience string) (grants.Token, error) {
	return grants.Token{Value: secret.New("identity for " + audience), Expires: time.Now().Add(time.Hour)}, nil
}

func (minting) Account(context.Context, string, string) (grants.Account, error) {
	return grants.Account{}, nil
}

// keeperOf returns the keeper of a run that has an hour from now on, opened as o says.
func keeperOf(t *testing.T, o journal.Opened) (*TokenKeeper, grants.RunID) {
	t.Helper()
	journals, err := journal.OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Run, o.Task, o.Expires = grants.NewRunID(time.Now(), [5]byte{1}), "t", time.Now().Add(time.Hour)
	o.Project, o.Email, o.Metadata = "acme-agents", "a@acme-agents.iam.gserviceaccount.com", "127.0.0.1:4711"
	j, err := journals.Create(o)
	if err == nil {
		err = j.Append(journal.DeliverIntended{Kind: delivery.Metadata})
	}
	if err != nil {
		t.Fatal(err)
	}
	k := NewTokenKeeper(j.Run(), minting{}, journals, time.Now, io.Discard)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return k, o.Run
}

// After the end of the run its server tells clients so, as long as CMD works, and a process of its own for an hour.
func TestTheServerTellsOfTheEnd(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]func(*TokenKeeper, context.Context, net.Listener) error{
		"run":   (*TokenKeeper).Keep,
		"alone": (*TokenKeeper).keepAlone,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				k, id := keeperOf(t, journal.Opened{})
				l := &pipes{clients: make(chan net.Conn), closed: make(chan struct{})}
				ctx, stop := context.WithCancel(t.Context())
				kept := make(chan error, 1)
				go func() { kept <- keep(k, ctx, l) }()
				const token = "/computeMetadata/v1/instance/service-accounts/default/token"
				if code, body := l.get(t, token); code != 200 || !strings.Contains(body, "ya29.test") {
					t.Errorf("before the end: %d %s", code, body)
				}
				time.Sleep(time.Until(began.Add(time.Hour + 59*time.Minute)))
				if code, body := l.get(t, token); code != 403 || !strings.Contains(body, "run "+string(id)+" expired at ") {
					t.Errorf("59 minutes after the end: %d %s", code, body)
				}
				time.Sleep(2 * time.Minute)
				if code, body := l.get(t, token); name == "run" && code != 403 || name == "alone" && code != 0 {
					t.Errorf("61 minutes after the end: %d %s", code, body)
				}
				stop()
				if err := <-kept; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Once the delivery is gone, with which down begins, no token is handed out any more: also not one that was made
// before, by a server that learns only later that its run is down.
func TestNoTokensOfARunThatIsDown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k, id := keeperOf(t, journal.Opened{DeliveryDir: dir, Audiences: []string{"https://a.example"}})
		l := &pipes{clients: make(chan net.Conn), closed: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		kept := make(chan error, 1)
		go func() { kept <- k.Keep(ctx, l) }()
		const account = "/computeMetadata/v1/instance/service-accounts/default/"
		for _, path := range []string{account + "token", account + "identity?audience=https://a.example"} {
			if code, body := l.get(t, path); code != 200 {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		for _, path := range []string{account + "token", account + "identity?audience=https://a.example"} {
			if code, body := l.get(t, path); code != 403 || !strings.Contains(body, "run "+string(id)+" has ended") {
				t.Errorf("%s after down: %d %s", path, code, body)
			}
		}
		stop()
		if err := <-kept; err != nil {
			t.Error(err)
		}
	})
}

// A run that was renewed has identity tokens up to its new end, for its audiences and no other.
func TestIdentityTokensOfARenewedRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		journals, err := journal.OpenDir(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		j, err := journals.Create(journal.Opened{
			Run: grants.NewRunID(began, [5]byte{1}), Task: "t", Project: "acme-agents", Email: "a@acme-agents.iam.gserviceaccount.com",
			Expires: began.Add(time.Hour), Metadata: "127.0.0.1:4711", Audiences: []string{"https://one.example"},
		}, journal.DeliverIntended{Kind: delivery.Metadata})
		if err != nil {
			t.Fatal(err)
		}
		k := NewTokenKeeper(j.Run(), minting{}, journals, time.Now, io.Discard)
		l := &pipes{clients: make(chan net.Conn), closed: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		kept := make(chan error, 1)
		go func() { kept <- k.Keep(ctx, l) }()
		ask := func(when, audience string, want int) {
			t.Helper()
			code, body := l.get(t, "/computeMetadata/v1/instance/service-accounts/default/identity?audience="+audience)
			if code != want || code == 200 && body != "identity for "+audience {
				t.Errorf("%s, for %s: %d %s", when, audience, code, body)
			}
		}
		end := began.Add(3 * time.Hour)
		if err := j.Append(journal.RenewIntended{Expires: end}, journal.Renewed{Expires: end}); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(end.Add(-time.Minute)))
		ask("past the old end", "https://one.example", 200)
		ask("past the old end", "https://two.example", 404)
		time.Sleep(time.Until(end))
		ask("at the new end", "https://one.example", 403)
		stop()
		if err := <-kept; err != nil {
			t.Error(err)
		}
	})
}
