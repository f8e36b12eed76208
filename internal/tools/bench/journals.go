package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
)

// compareJournals measures what commands cost beside many journals of runs that are down.
func compareJournals(ctx context.Context, out io.Writer, dir, program string, rounds int) error {
	commands := [][]string{{"status"}, {"down"}, {"sweep", "--quiet"}, {"receipt", "bench"}, {"down", "--all"}}
	fmt.Fprintf(out, "Wall time of the whole program beside journals of runs that are down. \"first\" is the first\n")
	fmt.Fprintf(out, "status after they came from elsewhere: it reads each once.\n\n")
	fmt.Fprintf(out, "| journals | first |")
	line := "|---:|---:|"
	for _, words := range commands {
		fmt.Fprintf(out, " %s |", words)
		line += "---:|"
	}
	fmt.Fprintf(out, "\n%s\n", line)
	for _, n := range []int{10, 1000, 10_000} {
		c, err := open(filepath.Join(dir, fmt.Sprint(n)), program, 0, 5, "key")
		if err != nil {
			return err
		}
		err = c.manyEnded(ctx, n)
		if err == nil {
			err = c.timeBeside(ctx, out, n, rounds, commands)
		}
		c.close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *company) timeBeside(ctx context.Context, out io.Writer, n, rounds int, commands [][]string) error {
	fmt.Fprintf(out, "| %d |", n)
	for i, words := range append([][]string{{"status"}}, commands...) {
		var took []time.Duration
		for range rounds {
			begun := time.Now()
			if _, err := c.run(ctx, c.program, words...); err != nil {
				return err
			}
			if took = append(took, time.Since(begun)); i == 0 {
				break // the next one is not the first any more
			}
		}
		fmt.Fprintf(out, " %s |", median(took).Round(time.Millisecond))
	}
	fmt.Fprintln(out)
	return nil
}

var expires = regexp.MustCompile(`"expires":"[^"]*"`)

// manyEnded brings one run up and down, and writes its journal again under other ids: of the last two months.
func (c *company) manyEnded(ctx context.Context, n int) error {
	for _, words := range [][]string{{"up", c.manifest, "--quiet"}, {"down", "--quiet"}} {
		if _, err := c.run(ctx, c.program, words...); err != nil {
			return err
		}
	}
	runs := filepath.Join(filepath.Dir(c.manifest), "state", "taskiam", "runs")
	files, err := filepath.Glob(filepath.Join(runs, "*.jsonl"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("looking for the journal: %d found, %w", len(files), err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	id := bytes.TrimSuffix([]byte(filepath.Base(files[0])), []byte(".jsonl"))
	for i := range n - 1 {
		began := time.Now().Add(-time.Duration(i+2*60) * 8 * time.Minute)
		var random [5]byte
		binary.BigEndian.PutUint32(random[:], uint32(i))
		run := grants.NewRunID(began, random)
		other := expires.ReplaceAll(bytes.ReplaceAll(text, id, []byte(run)),
			fmt.Appendf(nil, `"expires":%q`, began.Add(time.Hour).UTC().Format(time.RFC3339)))
		if err := os.WriteFile(filepath.Join(runs, string(run)+".jsonl"), other, 0o600); err != nil {
			return err
		}
	}
	return nil
}
