package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
)

// TestMain lets this test binary be a process in the background.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "background-") {
		if err := beInBackground(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beInBackground(how string) error {
	h, err := AwaitHandover()
	if err != nil {
		return err
	}
	fmt.Println("let go")
	if how == "background-fails" {
		return errors.New("no work today")
	}
	l, err := h.Open(context.Background(), Endpoint{Listen: "the one that is inherited"})
	if err != nil {
		return err
	}
	fmt.Println("listening on", l.Addr())
	if err := h.Ready(); err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	return c.Close()
}

func background(t *testing.T, how string) (Background, func() string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	var at Endpoint
	if err := at.Reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(at.Close)
	said := func() string {
		b, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return Background{
		Role: journal.RoleServer, Args: []string{"background-" + how}, Environ: os.Environ(), Log: log, Endpoint: at,
	}, said
}

func TestBackgroundBeginsOnceItIsRecorded(t *testing.T) {
	t.Parallel()
	b, said := background(t, "works")
	var recorded journal.ProcessStarted
	err := b.Start(t.Context(), func(p journal.ProcessStarted) error {
		recorded = p
		if text := said(); text != "" {
			t.Errorf("before it is recorded it says %q", text)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v: %s", err, said())
	}
	if recorded.Role != journal.RoleServer || !Running(recorded.PID, recorded.Start) {
		t.Errorf("recorded is %+v, which does not run", recorded)
	}
	if want := "listening on " + b.Endpoint.Listen; !strings.Contains(said(), want) {
		t.Errorf("it says %q, want %q", said(), want)
	}
	if Running(recorded.PID, recorded.Start+" and later") {
		t.Error("another process of this number is taken for it")
	}
	if err := Stop(t.Context(), recorded.PID, recorded.Start); err != nil || Running(recorded.PID, recorded.Start) {
		t.Errorf("stopping it: %v", err)
	}
}

func TestBackgroundThatIsNotRecordedEnds(t *testing.T) {
	t.Parallel()
	b, said := background(t, "works")
	cause := errors.New("the disk is full")
	var recorded journal.ProcessStarted
	err := b.Start(t.Context(), func(p journal.ProcessStarted) error { recorded = p; return cause })
	if !errors.Is(err, cause) || Running(recorded.PID, recorded.Start) || strings.Contains(said(), "let go") {
		t.Errorf("got %v; it says %q", err, said())
	}
}

func TestBackgroundThatFailsIsReported(t *testing.T) {
	t.Parallel()
	b, said := background(t, "fails")
	err := b.Start(t.Context(), func(journal.ProcessStarted) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "did not start to work") || !strings.Contains(said(), "no work today") {
		t.Errorf("got %v; it says %q", err, said())
	}
}

// A journal from before there were roles means the server.
func TestAtWorkGoesByRole(t *testing.T) {
	t.Parallel()
	start, err := startOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const proxy journal.ProcessRole = "proxy"
	run := &journal.Run{Processes: []journal.Process{
		{Role: journal.RoleServer, PID: os.Getpid(), Start: start + " before", Effect: journal.Done},
		{Role: proxy, PID: os.Getpid(), Start: start, Effect: journal.Done},
	}}
	if _, at := AtWork(run, journal.RoleServer); at {
		t.Error("a server that has crashed is at work")
	}
	if p, at := AtWork(run, proxy); !at || p.PID != os.Getpid() {
		t.Errorf("the proxy is %+v, %v", p, at)
	}
}

func TestStoppingWhatIsGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := Stop(ctx, os.Getpid(), "another boot"); err != nil {
		t.Errorf("a process of an earlier boot: %v", err)
	}
}
