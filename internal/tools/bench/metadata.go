package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/metadata"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/wait"
)

const (
	metadataRate    = 2000 // requests a second, whether or not they are answered
	metadataClients = 64   // connections
	metadataFor     = 5 * time.Second
	otherServer     = "github.com/salrashid123/gce_metadata_server"
)

// metadataRequest is what Google's clients send for a token.
const metadataRequest = "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n" +
	"Host: %s\r\nUser-Agent: bench\r\nMetadata-Flavor: Google\r\nAccept-Encoding: gzip\r\n\r\n"

// benchMetadata prints how long the metadata server takes for a cached token, when it is
// asked at a steady rate, and how many it answers when it is asked as fast as it can.
func benchMetadata(ctx context.Context, out io.Writer) error {
	var minted atomic.Int64
	minter := credentials.NewMinter(credentials.MinterConfig{
		AccessToken: func(_ context.Context, lifetime time.Duration, _ []string) (grants.Token, error) {
			minted.Add(1)
			// As long as one of Google's.
			return grants.Token{Value: secret.New("ya29.c." + strings.Repeat("x", 1000)),
				Expires: time.Now().Add(lifetime)}, nil
		},
	})
	defer minter.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := listener.Addr().String()
	server, err := metadata.New(metadata.Config{
		Run:     "bench0000000000",
		Account: grants.Account{Email: "ti-bench@bench-agents.iam.gserviceaccount.com", Project: host},
		Hosts:   []string{addr},
		Tokens:  minter,
		Log:     func(metadata.Event) {},
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	defer func() { stop(); <-served }()

	fmt.Fprintf(out, "The metadata server, asked for a cached token over loopback by %d connections of the same "+
		"process\n", metadataClients)
	fmt.Fprintf(out, "(GOMAXPROCS %d). At a rate, a request is due whether or not a connection is free for it.\n\n",
		runtime.GOMAXPROCS(0))
	fmt.Fprintf(out, "| asked | answers | answers/s | p50 | p90 | p99 | max | processor, client included |\n"+
		"|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, rate := range []int{metadataRate, 0} {
		asked := fmt.Sprintf("%d a second", rate)
		if rate == 0 {
			asked = "as fast as it can"
		}
		busy := processorTime()
		took, wall, err := askMetadata(ctx, addr, rate)
		if err != nil {
			return err
		}
		busy = (processorTime() - busy) / time.Duration(len(took))
		slices.Sort(took)
		at := func(p float64) time.Duration { return took[int(p*float64(len(took)-1))].Round(time.Microsecond) }
		fmt.Fprintf(out, "| %s | %d | %.0f | %s | %s | %s | %s | %s |\n", asked, len(took),
			float64(len(took))/wall.Seconds(),
			at(.5), at(.9), at(.99), at(1), busy.Round(100*time.Nanosecond))
	}
	fmt.Fprintf(out, "\nTokens made for all of them: %d.\n", minted.Load())
	return tellOtherServer(ctx, out)
}

// askMetadata asks at a rate, or as fast as it can if that is 0, and returns how long
// each answer took.
func askMetadata(ctx context.Context, addr string, rate int) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := time.Now()
	end := begun.Add(metadataFor)
	// room for all, so that nothing delays the times
	due := make(chan time.Time, metadataRate*int(metadataFor/time.Second))
	if rate > 0 {
		go func() {
			defer close(due)
			for n := 0; ; n++ {
				at := begun.Add(time.Duration(n) * time.Second / time.Duration(rate))
				if at.After(end) || ctx.Err() != nil {
					return
				}
				if wait.For(ctx, time.Until(at)) != nil {
					return
				}
				due <- time.Now() // not the planned time: a timer is late by up to a millisecond
			}
		}()
	}
	next := func() (time.Time, bool) {
		if rate > 0 {
			at, ok := <-due
			return at, ok
		}
		now := time.Now()
		return now, now.Before(end)
	}
	var (
		mu   sync.Mutex
		took []time.Duration
		wg   sync.WaitGroup
	)
	for range metadataClients {
		wg.Go(func() {
			mine, err := askOneByOne(ctx, addr, next)
			if err != nil {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	wall := time.Since(begun)
	if err := context.Cause(ctx); err != nil {
		return nil, 0, err
	}
	return took, wall, nil
}

// askOneByOne asks over one connection. It only writes and reads, so that the server is
// measured and not the client.
func askOneByOne(ctx context.Context, addr string, next func() (time.Time, bool)) ([]time.Duration, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := fmt.Appendf(nil, metadataRequest, addr)
	answer := bufio.NewReader(conn)
	var body []byte
	var took []time.Duration
	for {
		at, ok := next()
		if !ok || ctx.Err() != nil {
			return took, nil
		}
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		if body, err = readAnswer(answer, body); err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(body, []byte(`{"access_token":"ya29.`)) {
			return nil, fmt.Errorf("the metadata server answered %q", body)
		}
		took = append(took, time.Since(at))
	}
}

// readAnswer reads the body of an answer whose length is given, into a buffer.
func readAnswer(r *bufio.Reader, into []byte) ([]byte, error) {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		}
	}
	into = slices.Grow(into[:0], length)[:length]
	_, err := io.ReadFull(r, into)
	return into, err
}

// tellOtherServer says whether the metadata server that people know could be built to
// stand beside this one. It is no dependency: it is built in a folder of its own.
func tellOtherServer(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "taskiam-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := exec.CommandContext(ctx, "go", "install", otherServer+"/cmd@latest")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOPATH="+dir, "GOBIN="+dir, "GOFLAGS=-modcacherw")
	said, err := build.CombinedOutput()
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
		fmt.Fprintf(out, "\n%s does not stand beside it, because it cannot be built here: %s\n", otherServer, first)
		return nil
	}
	fmt.Fprintf(out, "\n%s can be built here.\n", otherServer)
	return nil
}
