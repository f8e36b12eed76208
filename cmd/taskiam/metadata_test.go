package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ask is a client of a metadata server, for scripts: ask PATH prints the status and the
// body of what the server in $GCE_METADATA_HOST answers.
func ask() {
	bare := flag.Bool("bare", false, "leave out the header that every client sends")
	forwarded := flag.Bool("forwarded", false, "come through a proxy")
	host := flag.String("host", "", "Host header")
	socket := flag.String("socket", "", "connect to this socket")
	method := flag.String("method", http.MethodGet, "method")
	flag.Parse()
	dial := (&net.Dialer{}).DialContext
	if *socket != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", *socket)
		}
	}
	if err := get(*method, flag.Arg(0), *host, *bare, *forwarded, dial); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func get(method, path, host string, bare, forwarded bool, dial func(context.Context, string, string) (net.Conn, error)) error {
	r, err := http.NewRequest(method, "http://"+os.Getenv("GCE_METADATA_HOST")+path, nil)
	if err != nil {
		return err
	}
	if host != "" {
		r.Host = host
	}
	if !bare {
		r.Header.Set("Metadata-Flavor", "Google")
	}
	if forwarded {
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
	}
	answer, err := (&http.Client{Transport: &http.Transport{DialContext: dial}}).Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%d %s\n", answer.StatusCode, strings.TrimSpace(string(body)))
	return nil
}

// A server whose process is not in the journal does nothing: up was killed before it
// could write that down.
func TestServerThatIsNotLetGoEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	run := s.up(s.manifest("publish-report.toml", "metadata"))
	gate, hold, err := os.Pipe()
	must(t, err)
	must(t, hold.Close())
	said, ready, err := os.Pipe()
	must(t, err)
	cmd := exec.Command("taskiam", "serve", "--spawned", run.Run)
	cmd.Env, cmd.ExtraFiles = s.environ(), []*os.File{gate, ready}
	out, err := cmd.CombinedOutput()
	must(t, errors.Join(gate.Close(), ready.Close()))
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v:\n%s", err, out)
	}
	if b, err := io.ReadAll(said); err != nil || len(b) != 0 {
		t.Errorf("it says that it is at work: %v", err)
	}
	s.ok("down")
}
