package cli

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

	"github.com/urfave/cli/v2"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
	"github.com/taskiam/taskiam/tasks"
)

func newDemoCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "see a task get its access, be refused everything else, and lose it again",
		UsageText: "taskiam demo",
		Description: `Shows everything on an emulator in this process: up, an agent that uses Google's own
client with the delivered credential, down, and a thief with a copy of the credential.
Nothing leaves this machine. It fails if a line is not true.`,
		Flags: []cli.Flag{newJSONFlag()},
		Action: action(
			func(c *cli.Context) (bool, error) { return c.Bool(flagJSON), noArguments(c) },
			func(ctx context.Context, asJSON bool) error { return runDemo(ctx, e, asJSON) }),
	}
}

// demoDocument is what `demo --json` prints.
type demoDocument struct {
	Schema   string    `json:"schema"` // taskiam.demo/v1
	True     bool      `json:"true"`   // whether every line is
	Chapters []chapter `json:"chapters"`
	Elapsed  int64     `json:"elapsed_ms"`
}

// chapter is one part of the story.
type chapter struct {
	Title   string     `json:"title"`
	Told    string     `json:"told"`
	Lines   []demoLine `json:"lines"`
	Elapsed int64      `json:"elapsed_ms"`
}

// demoLine is one thing that the story claims.
type demoLine struct {
	What    string  `json:"what"`
	Wanted  string  `json:"wanted"`
	Got     string  `json:"got"`
	Detail  string  `json:"detail"`
	True    bool    `json:"true"`
	Elapsed float64 `json:"elapsed_ms"`
}

// demo is the stage: an emulator, and taskiam as somebody's shell would have it.
type demo struct {
	env    *Env // with the emulator's variables, and a state folder of its own
	dir    string
	server *emulator.Server
	doc    demoDocument
	show   func(chapter) error
}

func runDemo(ctx context.Context, e *Env, asJSON bool) (err error) {
	if err := supervise.Protect(); err != nil {
		return err
	}
	begun := e.Now()
	d, strike, err := e.setStage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, strike()) }()
	d.show = func(chapter) error { return nil }
	if !asJSON {
		if err := view.Tell(e.Stdout, "A task on an emulator of Google Cloud in this process. Nothing leaves this machine."); err != nil {
			return err
		}
		d.show = func(c chapter) error { return e.print(c, false) }
	}
	if err := d.play(ctx); err != nil {
		return err
	}

	d.doc.Schema, d.doc.Elapsed = "taskiam.demo/v1", e.Now().Sub(begun).Milliseconds()
	d.doc.True = !slices.ContainsFunc(d.doc.Chapters, func(c chapter) bool {
		return slices.ContainsFunc(c.Lines, func(l demoLine) bool { return !l.True })
	})
	if asJSON {
		if err := view.JSON(e.Stdout, d.doc); err != nil {
			return err
		}
	}
	if !d.doc.True {
		return errors.New("a line of the story is not true")
	}
	if asJSON {
		return nil
	}
	return view.Tell(e.Stdout, "\nEvery line is true, after %s. Next: taskiam init, or the README for your own project.",
		view.Span(e.Now().Sub(begun)))
}

// setStage starts an emulator on a free port. strike takes everything down again.
func (e *Env) setStage(ctx context.Context) (d *demo, strike func() error, err error) {
	dir, err := os.MkdirTemp("", "taskiam-demo-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a folder for the demo: %w", err)
	}
	undo := []func() error{func() error { return os.RemoveAll(dir) }}
	strike = func() error {
		var errs []error
		for _, f := range slices.Backward(undo) {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	home := emulatorHome{filepath.Join(dir, "state", "taskiam", "emulator")}
	server, err := emulator.New(emulator.Config{Now: e.Now, Dir: home.dir})
	if err != nil {
		return nil, nil, errors.Join(err, strike())
	}
	undo = append(undo, server.Close)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("starting the emulator: %w", err), strike())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	undo = append(undo, func() error { stop(); return <-served })

	own := map[string]string{
		envStateHome:     filepath.Join(dir, "state"),
		envCacheHome:     filepath.Join(dir, "cache"),
		envRuntimeDir:    "",
		envEmulatorHost:  listener.Addr().String(),
		envEmulatorToken: home.tokenFile(),
		envEmulatorCA:    home.caFile(),
	}
	inner := *e
	inner.Getenv = func(name string) string {
		if v, ok := own[name]; ok {
			return v
		}
		return e.Getenv(name)
	}
	return &demo{env: &inner, dir: dir, server: server}, strike, nil
}

// play tells the story. An error is one that keeps it from being told to the end.
func (d *demo) play(ctx context.Context) error {
	engine, err := d.env.engine(ctx, cloudOptions{})
	if err != nil {
		return err
	}
	before, err := d.server.Snapshot()
	if err != nil {
		return err
	}
	var result *lifecycle.Result
	if err := d.chapter("up", func(c *chapter) (err error) {
		result, err = d.up(ctx, engine, c)
		return err
	}); err != nil {
		return err
	}

	if err := d.chapter("the agent", func(c *chapter) error {
		c.Told = "Google's own Go client, in the environment that a task gets"
		environ, err := credentials.Environ(d.env.delivery(result.Run).Environment())
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
	if err := d.chapter("down", func(c *chapter) error {
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
	return d.chapter("a thief", func(c *chapter) error {
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
		c.add("the state of the whole cloud, byte for byte", "as before", got, fmt.Sprintf("%d bytes of snapshot", len(after)), 0)
		return nil
	})
}

func (d *demo) chapter(title string, tell func(*chapter) error) error {
	c := chapter{Title: title, Lines: []demoLine{}}
	begun := d.env.Now()
	if err := tell(&c); err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	c.Elapsed = d.env.Now().Sub(begun).Milliseconds()
	d.doc.Chapters = append(d.doc.Chapters, c)
	return d.show(c)
}

func (c *chapter) add(what, wanted, got, detail string, took time.Duration) {
	c.Lines = append(c.Lines, demoLine{
		What: what, Wanted: wanted, Got: got, Detail: detail, True: wanted == got,
		Elapsed: float64(took.Microseconds()) / 1000,
	})
}

// up brings up the task of tasks/demo.toml.
func (d *demo) up(ctx context.Context, engine *lifecycle.Engine, c *chapter) (*lifecycle.Result, error) {
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
	dir, err := d.env.deliveryDir(string(plan.Run))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	result, err := engine.Up(ctx, plan, lifecycle.UpOptions{
		ManifestPath: filepath.Join(d.dir, file), ManifestSHA256: hex.EncodeToString(sum[:]), Dir: dir, ReadyTimeout: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	c.Told = fmt.Sprintf("%s, until %s", plan.Email, view.Moment(plan.Expires))
	for i, g := range d.env.viewRun(result.Run).Grants {
		detail := g.Why
		if !g.EndsByItself {
			detail = strings.TrimPrefix(detail+"; ends with down, not by itself", "; ")
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
		c.add(g.Gives()+" on "+g.On(), "bound", got, detail, result.Grants[i].After)
	}
	return result, nil
}

// audit takes, as the operator, what the agent has published: it is what the task was
// for, and it is not to stay behind.
func (d *demo) audit(ctx context.Context, c *chapter) error {
	const subscription = "projects/acme-agents/subscriptions/reports-audit"
	_, token := d.server.Operator()
	service, err := pubsub.NewService(ctx,
		option.WithEndpoint("http://"+d.env.Getenv(envEmulatorHost)+"/"),
		bareToken(token))
	if err != nil {
		return err
	}
	begun := d.env.Now()
	pulled, err := service.Projects.Subscriptions.Pull(subscription, &pubsub.PullRequest{MaxMessages: 10}).Context(ctx).Do()
	if err != nil {
		return fmt.Errorf("pulling what the agent published: %w", err)
	}
	var acks []string
	for _, m := range pulled.ReceivedMessages {
		acks = append(acks, m.AckId)
	}
	if len(acks) > 0 {
		if _, err := service.Projects.Subscriptions.Acknowledge(subscription, &pubsub.AcknowledgeRequest{AckIds: acks}).Context(ctx).Do(); err != nil {
			return fmt.Errorf("acknowledging what the agent published: %w", err)
		}
	}
	got := "arrived"
	if len(acks) != 1 {
		got = fmt.Sprintf("%d messages", len(acks))
	}
	c.add("what it published, at the subscription", "arrived", got, "", d.env.Now().Sub(begun))
	return nil
}

// stolen is the environments of a thief who kept a copy of the delivery, and a token.
type stolen struct{ withKey, withToken []string }

func (d *demo) steal(ctx context.Context, result *lifecycle.Result) (stolen, error) {
	given := d.env.delivery(result.Run)
	loot := filepath.Join(d.dir, "loot")
	if err := os.CopyFS(loot, os.DirFS(given.Dir)); err != nil {
		return stolen{}, err
	}
	client, err := d.env.client(ctx, cloudOptions{})
	if err != nil {
		return stolen{}, err
	}
	token, err := freshToken(ctx, client, result.Run, d.env.Now())
	if err != nil {
		return stolen{}, err
	}
	// The thief reaches the same cloud, by the same way.
	var base []string
	for _, v := range (courier{emulatorHost: result.Run.Opened.Endpoint}).more(loot) {
		base = append(base, v.Name+"="+v.Value)
	}
	return stolen{
		withKey:   append(slices.Clone(base), "GOOGLE_APPLICATION_CREDENTIALS="+delivery.KeyPath(loot)),
		withToken: append(slices.Clone(base), envThief+"="+token.Value.Reveal(), "GOOGLE_APPLICATION_CREDENTIALS="+os.DevNull),
	}, nil
}

// agent runs this program as the demo's agent, and takes down what came of it.
func (d *demo) agent(ctx context.Context, c *chapter, environ []string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{demoAgent}, args...)...)
	cmd.Env = append(credentials.Scrub(d.env.Environ()), environ...)
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

// demoWidth is as much as is shown of an error; --json has all of it.
const demoWidth = 84

// Show adds a chapter to a report: a line for each claim, and below it what Google said to it.
func (c chapter) Show(r *view.Report) {
	r.Line("")
	r.Line("%-10s %s  (%s)", c.Title, c.Told, view.Span(time.Duration(c.Elapsed)*time.Millisecond))
	for _, l := range c.Lines {
		mark := "ok"
		if !l.True {
			mark = "NOT TRUE: wanted " + l.Wanted + ","
		}
		r.Line("  %s %4.0f ms  %-8s %s", mark, l.Elapsed, l.Got, l.What)
		if l.Detail != "" {
			r.Line("%21s%s", "", clip(l.Detail, demoWidth))
		}
	}
}

func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-3]) + "..."
	}
	return s
}
