package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/taskiam/taskiam/emulator"
)

// script is what people use today: a service account by hand, two bindings, a token
// by impersonation, and all of it taken back.
func script(account string) [][]string {
	member := "--member=serviceAccount:" + account
	project := []string{host, member, "--role=roles/pubsub.viewer", "--condition=None"}
	bucket := []string{"gs://bench-bucket-1", member, "--role=roles/storage.objectViewer"}
	return [][]string{
		{"iam", "service-accounts", "create", "bench-by-hand"},
		append([]string{"projects", "add-iam-policy-binding"}, project...),
		append([]string{"storage", "buckets", "add-iam-policy-binding"}, bucket...),
		{"auth", "print-access-token", "--impersonate-service-account=" + account},
		append([]string{"projects", "remove-iam-policy-binding"}, project...),
		append([]string{"storage", "buckets", "remove-iam-policy-binding"}, bucket...),
		{"iam", "service-accounts", "delete", account, "--quiet"},
	}
}

// compareScript prints taskiam beside the script, both through the same round trip.
func compareScript(ctx context.Context, out io.Writer, dir, program string, rtt time.Duration, rounds int) error {
	gcloud, err := exec.LookPath("gcloud")
	if errors.Is(err, exec.ErrNotFound) {
		fmt.Fprintln(out, "The script of seven gcloud calls was not measured: gcloud is not installed.")
		return nil
	}
	if err != nil {
		return err
	}
	c, err := open(dir, program, rtt, 2, "token")
	if err != nil {
		return err
	}
	defer c.close()
	token, err := os.ReadFile(filepath.Join(dir, "state", "taskiam", "emulator", "token"))
	if err != nil {
		return err
	}
	account := "bench-by-hand@" + host + ".iam.gserviceaccount.com"
	byHand := *c
	byHand.env = append(c.env, "CLOUDSDK_CONFIG="+filepath.Join(dir, "gcloud"), "CLOUDSDK_CORE_PROJECT="+host,
		"CLOUDSDK_AUTH_ACCESS_TOKEN="+string(token), "CLOUDSDK_CORE_CHECK_GCE_METADATA=false",
		"CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true",
		"CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true", "CLOUDSDK_CORE_DISABLE_FILE_LOGGING=true")
	ca := filepath.Join(dir, "state", "taskiam", "emulator", "ca.pem")
	byHand.env = append(byHand.env, emulator.ClientEnv(c.addr, ca)...)

	var scripted, ours []time.Duration
	for range min(rounds, 3) { // the script takes its time
		begun := time.Now()
		for _, args := range script(account) {
			if _, err := byHand.run(ctx, gcloud, args...); err != nil {
				return err
			}
		}
		scripted = append(scripted, time.Since(begun))

		begun = time.Now()
		if _, err := c.run(ctx, program, "up", c.manifest, "--json"); err != nil {
			return err
		}
		if _, err := c.run(ctx, program, "down", "--all", "--json"); err != nil {
			return err
		}
		ours = append(ours, time.Since(begun))
	}
	s, o := median(scripted), median(ours)
	fmt.Fprintf(out, "| up and down, 2 grants, token | wall | round trips | ratio |\n|---|---:|---:|---:|\n")
	fmt.Fprintf(out, "| seven gcloud calls, nothing checked | %s | %.1f | %.1f |\n", s.Round(time.Millisecond),
		float64(s)/float64(rtt), float64(s)/float64(o))
	fmt.Fprintf(out, "| taskiam up, taskiam down | %s | %.1f | 1 |\n", o.Round(time.Millisecond),
		float64(o)/float64(rtt))
	return nil
}

// compareStart prints how long the programs take to start.
func compareStart(ctx context.Context, out io.Writer, dir, program string, rounds int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	c := &company{env: append(os.Environ(), "XDG_STATE_HOME="+dir, "CLOUDSDK_CONFIG="+filepath.Join(dir, "gcloud"))}
	time1 := func(name string, args ...string) (time.Duration, error) {
		var took []time.Duration
		for range rounds {
			begun := time.Now()
			if _, err := c.run(ctx, name, args...); err != nil {
				return 0, err
			}
			took = append(took, time.Since(begun))
		}
		return median(took), nil
	}
	base, err := time1(program, "version")
	if err != nil {
		return err
	}
	status, err := time1(program, "status")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "| start-up | wall | ratio |\n|---|---:|---:|\n")
	row := func(what string, d time.Duration) {
		fmt.Fprintf(out, "| %s | %s | %.1f |\n", what, d.Round(100*time.Microsecond), float64(d)/float64(base))
	}
	row("taskiam version", base)
	row("taskiam status", status)
	gcloud, err := exec.LookPath("gcloud")
	if err != nil {
		fmt.Fprintln(out, "\ngcloud is not installed, so its start-up was not measured.")
		return nil
	}
	theirs, err := time1(gcloud, "version")
	if err != nil {
		return err
	}
	row("gcloud version", theirs)
	return nil
}
