// Package demo shows one run of a task on an emulator in this process: the access that the task
// gets, what it is refused, and that a stolen copy of its credential is worth nothing afterwards.
//
// It uses package app as commands do, and Google's clients as a task does.
package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
	"github.com/taskiam/taskiam/tasks"
)

// Story is what `demo --json` prints.
type Story struct {
	Schema   string    `json:"schema"` // taskiam.demo/v1
	True     bool      `json:"true"`   // whether every line is
	Chapters []Chapter `json:"chapters"`
	Elapsed  int64     `json:"elapsed_ms"`
}

// Chapter is one part of the story.
type Chapter struct {
	Title   string `json:"title"`
	Told    string `json:"told"`
	Lines   []Line `json:"lines"`
	Elapsed int64  `json:"elapsed_ms"`
}

// Line is one thing that the story claims.
type Line struct {
	What    string  `json:"what"`
	Wanted  string  `json:"wanted"`
	Got     string  `json:"got"`
	Detail  string  `json:"detail"`
	True    bool    `json:"true"`
	Elapsed float64 `json:"elapsed_ms"`
}

// stage is an emulator, and taskiam as it would be in a shell with that emulator.
type stage struct {
	app    *app.App // with the variables of the emulator, and its own state folder
	dir    string
	server *emulator.Server
	doc    Story
	hear   func(Chapter) error
}

// Tell plays the whole story, and calls hear at the end of each chapter. It fails only if the
// story could not be played to its end; whether all of it was true is in the [Story].
func Tell(ctx context.Context, w app.World, hear func(Chapter) error) (story Story, err error) {
	begun := w.Now()
	d, tearDown, err := setStage(ctx, w)
	if err != nil {
		return Story{}, err
	}
	defer func() { err = errors.Join(err, tearDown()) }()
	d.hear = hear
	if err := d.play(ctx); err != nil {
		return Story{}, err
	}
	d.doc.Schema, d.doc.Elapsed = "taskiam.demo/v1", w.Now().Sub(begun).Milliseconds()
	d.doc.True = !slices.ContainsFunc(d.doc.Chapters, func(c Chapter) bool {
		return slices.ContainsFunc(c.Lines, func(l Line) bool { return !l.True })
	})
	return d.doc, nil
}

// setStage starts an emulator on a free port. tearDown stops and removes everything.
func setStage(ctx context.Context, w app.World) (d *stage, tearDown func() error, err error) {
	dir, err := os.MkdirTemp("", "taskiam-demo-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a folder for the demo: %w", err)
	}
	undo := []func() error{func() error { return os.RemoveAll(dir) }}
	tearDown = func() error {
		var errs []error
		for _, f := range slices.Backward(undo) {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	inner, own := w, map[string]string{
		app.EnvStateHome:  filepath.Join(dir, "state"),
		app.EnvCacheHome:  filepath.Join(dir, "cache"),
		app.EnvRuntimeDir: "",
	}
	inner.Getenv = func(name string) string {
		if v, ok := own[name]; ok {
			return v
		}
		return w.Getenv(name)
	}
	a := &app.App{World: inner, Warn: func(string, ...any) {}}
	home, err := a.EmulatorHome()
	if err != nil {
		return nil, nil, errors.Join(err, tearDown())
	}
	server, err := emulator.New(emulator.Config{Now: w.Now, Dir: home.Dir})
	if err != nil {
		return nil, nil, errors.Join(err, tearDown())
	}
	undo = append(undo, server.Close)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("starting the emulator: %w", err), tearDown())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	undo = append(undo, func() error { stop(); return <-served })

	own[app.EnvEmulatorHost] = listener.Addr().String()
	own[app.EnvEmulatorToken], own[app.EnvEmulatorCA] = home.TokenFile(), home.CAFile()
	return &stage{app: a, dir: dir, server: server}, tearDown, nil
}

// play plays all chapters.
func (d *stage) play(ctx context.Context) error {
	engine, err := d.app.Engine(ctx, app.Options{})
	if err != nil {
		return err
	}
	before, err := d.server.Snapshot()
	if err != nil {
		return err
	}
	var result *lifecycle.Result
	if err := d.chapter("up", func(c *Chapter) (err error) {
		result, err = d.up(ctx, engine, c)
		return err
	}); err != nil {
		return err
	}

	if err := d.chapter("the agent", func(c *Chapter) error {
		c.Told = "Google's own Go client, in the environment that a task gets"
		environ, err := credentials.Environ(d.app.Delivery(result.Run).Environment())
		if err != nil {
			return err
		}
		if err := d.agent(ctx, c, environ, agentDuring, result.Plan.Email); err != nil {
			return err
		}
		return d.audit(ctx, c)
	}); err != nil {
		return err
	}

	thief, err := d.steal(ctx, result)
	if err != nil {
		return err
	}
	if err := d.chapter("down", func(c *Chapter) error {
		down, err := engine.Down(ctx, result.Plan.Run, downWait)
		if err != nil {
			return err
		}
		c.Told = fmt.Sprintf("%d steps: disabled, unbound, deleted", len(down.Run.Steps))
		c.add("taskiam looks again at all that it touched", "clean", "clean", "nothing is left", down.Run.DownTook())
		return nil
	}); err != nil {
		return err
	}
	return d.chapter("a thief", func(c *Chapter) error {
		c.Told = "with the key and a token, copied before down"
		if err := d.agent(ctx, c, thief.withToken, agentWithToken, ""); err != nil {
			return err
		}
		if err := d.agent(ctx, c, thief.withKey, agentWithKey, ""); err != nil {
			return err
		}
		after, err := d.server.Snapshot()
		if err != nil {
			return err
		}
		got := "another one"
		if bytes.Equal(before, after) {
			got = "as before"
		}
		c.add("the state of the whole cloud, byte for byte", "as before", got,
			fmt.Sprintf("%d bytes of snapshot", len(after)), 0)
		return nil
	})
}

func (d *stage) chapter(title string, tell func(*Chapter) error) error {
	c := Chapter{Title: title, Lines: []Line{}}
	begun := d.app.Now()
	if err := tell(&c); err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	c.Elapsed = d.app.Now().Sub(begun).Milliseconds()
	d.doc.Chapters = append(d.doc.Chapters, c)
	return d.hear(c)
}

func (c *Chapter) add(what, wanted, got, detail string, took time.Duration) {
	c.Lines = append(c.Lines, Line{
		What: what, Wanted: wanted, Got: got, Detail: detail, True: wanted == got,
		Elapsed: float64(took.Microseconds()) / 1000,
	})
}

// up brings up the task of tasks/demo.toml.
func (d *stage) up(ctx context.Context, engine *lifecycle.Engine, c *Chapter) (*lifecycle.Result, error) {
	const file = "demo.toml"
	b, err := tasks.Files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	task, err := manifest.Parse(file, b, manifest.Limits{})
	if err != nil {
		return nil, err
	}
	plan, err := engine.NewPlan(task)
	if err != nil {
		return nil, err
	}
	dir, err := d.app.DeliveryDir(string(plan.Run))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	result, err := engine.Up(ctx, plan, lifecycle.UpOptions{
		ManifestPath: filepath.Join(d.dir, file), ManifestSHA256: hex.EncodeToString(sum[:]),
		Dir: dir, ReadyTimeout: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	c.Told = fmt.Sprintf("%s, until %s", plan.Email, view.Moment(plan.Expires))
	for i, g := range view.NewRun(result.Run, d.app.Now(), supervise.Running).Grants {
		detail := g.Why
		if !g.EndsByItself {
			detail = strings.TrimPrefix(detail+"; does not expire, only down ends it", "; ")
		}
		got := "bound"
		switch result.Grants[i].State {
		case journal.Proved:
			detail = strings.TrimSuffix("proved usable; "+detail, "; ")
		case journal.NotProvable:
			detail = "read back, not provable: " + detail
		default:
			got = "not ready"
		}
		c.add(g.Gives()+" on "+g.On(), "bound", got, detail, result.Grants[i].At.Sub(result.Run.At))
	}
	return result, nil
}

// audit reads, as the operator, what the agent has published. That was the purpose of the task,
// and nothing of it may stay behind.
func (d *stage) audit(ctx context.Context, c *Chapter) error {
	const subscription = "projects/acme-agents/subscriptions/reports-audit"
	_, token := d.server.Operator()
	service, err := pubsub.NewService(ctx,
		option.WithEndpoint("http://"+d.app.Getenv(app.EnvEmulatorHost)+"/"),
		bareToken(token))
	if err != nil {
		return err
	}
	begun := d.app.Now()
	request := &pubsub.PullRequest{MaxMessages: 10}
	pulled, err := service.Projects.Subscriptions.Pull(subscription, request).Context(ctx).Do()
	if err != nil {
		return fmt.Errorf("pulling what the agent published: %w", err)
	}
	var acks []string
	for _, m := range pulled.ReceivedMessages {
		acks = append(acks, m.AckId)
	}
	if len(acks) > 0 {
		request := &pubsub.AcknowledgeRequest{AckIds: acks}
		if _, err := service.Projects.Subscriptions.Acknowledge(subscription, request).Context(ctx).Do(); err != nil {
			return fmt.Errorf("acknowledging what the agent published: %w", err)
		}
	}
	got := "arrived"
	if len(acks) != 1 {
		got = fmt.Sprintf("%d messages", len(acks))
	}
	c.add("what it published, at the subscription", "arrived", got, "", d.app.Now().Sub(begun))
	return nil
}

// downWait is how long a teardown waits for other processes that work on the run.
const downWait = 30 * time.Second

// stolen has the environments of a thief who has a copy of the delivery and a token.
type stolen struct{ withKey, withToken []string }

func (d *stage) steal(ctx context.Context, result *lifecycle.Result) (stolen, error) {
	given := d.app.Delivery(result.Run)
	loot := filepath.Join(d.dir, "loot")
	if err := os.CopyFS(loot, os.DirFS(given.Dir)); err != nil {
		return stolen{}, err
	}
	token, err := d.app.FreshToken(ctx, result.Run)
	if err != nil {
		return stolen{}, err
	}
	// The thief reaches the same emulator in the same way.
	base := emulator.ClientEnv(result.Run.Opened.Endpoint, delivery.CAPath(loot))
	return stolen{
		withKey: append(slices.Clone(base), app.EnvCredentials+"="+delivery.KeyPath(loot)),
		withToken: append(slices.Clone(base),
			envThief+"="+token.Value.Reveal(), app.EnvCredentials+"="+os.DevNull),
	}, nil
}

// agent runs this program as the agent, and adds the results to the chapter.
func (d *stage) agent(ctx context.Context, c *Chapter, environ []string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{AgentCommand}, args...)...)
	cmd.Env = append(credentials.Passed{}.Of(d.app.Environ(), true), environ...)
	cmd.Dir = d.dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("running the agent: %w\n%s", err, stderr.String())
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("reading what the agent said: %w", err)
		}
		c.add(o.What, o.Wanted, o.Got, o.Detail, o.Elapsed)
	}
	return nil
}

// width is how many characters of an error are shown; --json has all of them.
const width = 84

// Show adds a chapter to a report: a line for each claim, and below it what Google said to it.
func (c Chapter) Show(r *view.Report) {
	r.Line("")
	r.Line("%-10s %s  (%s)", c.Title, c.Told, view.Span(time.Duration(c.Elapsed)*time.Millisecond))
	for _, l := range c.Lines {
		mark := "ok"
		if !l.True {
			mark = "NOT TRUE: wanted " + l.Wanted + ","
		}
		r.Line("  %s %4.0f ms  %-8s %s", mark, l.Elapsed, l.Got, l.What)
		if l.Detail != "" {
			r.Line("%21s%s", "", clip(l.Detail, width))
		}
	}
}

func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-3]) + "..."
	}
	return s
}
