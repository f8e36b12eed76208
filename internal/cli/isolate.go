package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/supervise"
	"github.com/taskiam/taskiam/internal/view"
)

// isolateValue is the value of --isolate, which is optional.
type isolateValue string

const (
	isolateNot   isolateValue = ""
	isolateNet   isolateValue = "true"
	isolateNoNet isolateValue = "nonet"
	// isolateClosed has one way out: a proxy that adds the credential.
	isolateClosed isolateValue = "closed"
)

// Set reads the value.
func (v *isolateValue) Set(text string) error {
	switch value := isolateValue(text); value {
	case "false":
		*v = isolateNot
		return nil
	case isolateNet, isolateNoNet, isolateClosed:
		*v = value
		return nil
	}
	return fmt.Errorf("--%s stands alone or is --%s=%s or --%s=%s", flagIsolate, flagIsolate,
		isolateNoNet, flagIsolate, isolateClosed)
}

func (v *isolateValue) String() string { return string(*v) }

// Follows reports whether the word after the flag is its value and not an argument.
func (*isolateValue) Follows(word string) bool {
	return word == string(isolateNoNet) || word == string(isolateClosed)
}

// ownNetwork reports whether the sandbox has a loopback of its own.
func (v isolateValue) ownNetwork() bool { return v == isolateNoNet || v == isolateClosed }

// IsBoolFlag tells package flag that the value is optional.
func (*isolateValue) IsBoolFlag() bool { return true }

// isolateOptions say where CMD runs.
type isolateOptions struct {
	how    isolateValue
	ro, rw []string // as they were given
	user   userOptions
	shown  app.Shown
	tree   grants.Tree // "" leaves it to the manifest
	// userns and ptrace are whether the filter of system calls lets through what they are for.
	userns, ptrace bool
}

func newIsolateFlags() []cli.Flag {
	none := isolateNot
	return append([]cli.Flag{
		&cli.GenericFlag{
			Name:        flagIsolate,
			Value:       &none,
			DefaultText: "off",
			Usage: "run CMD in a bubblewrap sandbox that sees the work tree, the delivery and the network, loopback " +
				"and a cloud machine's metadata server included; --" + flagIsolate + "=nonet: without network; " +
				"=closed: with a proxy, which adds the credential, as the one way out",
		},
		&cli.StringSliceFlag{
			Name:      "ro",
			Usage:     "`PATH`: with --" + flagIsolate + ", a file or folder that CMD can read too; repeatable",
			TakesFile: true,
		},
		&cli.StringSliceFlag{
			Name:      "rw",
			Usage:     "`PATH`: with --" + flagIsolate + ", a file or folder that CMD can read and change; repeatable",
			TakesFile: true,
		},
		&cli.StringFlag{
			Name: flagTree,
			Usage: "`HOW`: with --" + flagIsolate + ", CMD can change the folder that it is started in (direct) or " +
				"not (read); the manifest's sandbox.tree if it is left out",
		},
		&cli.StringSliceFlag{
			Name: flagEnv,
			Usage: "`NAME[=VALUE]`: one of your variables that CMD gets too, or one with this value, " +
				"which other users of the machine can see; repeatable",
		},
		&cli.BoolFlag{
			Name:  flagInheritEnv,
			Usage: "CMD gets all of your variables, except those that are known to hold a login",
		},
		&cli.BoolFlag{
			Name: flagAllowUserns,
			Usage: "with --" + flagIsolate + ", let CMD make user namespaces, as the sandboxes of Codex, Claude Code " +
				"and Chromium do",
		},
		&cli.BoolFlag{
			Name:  flagAllowPtrace,
			Usage: "with --" + flagIsolate + ", let CMD debug and trace its processes (gdb, strace)",
		},
		&cli.StringSliceFlag{
			Name: flagShowLogin,
			Usage: "`PATH`: with --" + flagIsolate + ", a file or folder that CMD is meant to see although a login " +
				"is in it; repeatable",
			TakesFile: true,
		},
	}, newUserFlags("run CMD as the user with this `NUMBER`, and give the delivery to that one")...)
}

func parseIsolate(c *cli.Context, getenv func(string) string) (isolateOptions, error) {
	o := isolateOptions{
		how: isolateNot, ro: c.StringSlice("ro"), rw: c.StringSlice("rw"),
		userns: c.Bool(flagAllowUserns), ptrace: c.Bool(flagAllowPtrace),
	}
	if v, ok := c.Generic(flagIsolate).(*isolateValue); ok {
		o.how = *v
	}
	var err error
	if o.user, err = parseUser(c); err != nil {
		return o, err
	}
	if o.shown.Environ, err = parsePassed(c, getenv); err != nil {
		return o, err
	}
	o.shown.Logins = c.StringSlice(flagShowLogin)
	if text := c.String(flagTree); text != "" {
		if o.tree, err = manifest.ParseTree(text); err != nil {
			return o, usage(c, "--%s: %v", flagTree, err)
		}
	}
	for _, name := range []string{"ro", "rw", flagTree, flagShowLogin, flagAllowUserns, flagAllowPtrace} {
		if o.how == isolateNot && c.IsSet(name) {
			return o, usage(c, "--%s is of use with --%s only", name, flagIsolate)
		}
	}
	return o, nil
}

// parsePassed reads which variables CMD gets.
func parsePassed(c *cli.Context, getenv func(string) string) (credentials.Passed, error) {
	p := credentials.Passed{All: c.Bool(flagInheritEnv)}
	for _, word := range c.StringSlice(flagEnv) {
		name, value, set := strings.Cut(word, "=")
		if !set {
			value = getenv(name)
		}
		switch {
		case name == "":
			return p, usage(c, "--%s takes the name of a variable, and its value after = unless your environment "+
				"has it, not %q", flagEnv, word)
		case !set && value == "":
			return p, usage(c, "--%s %s: it is not set", flagEnv, name)
		case len(credentials.Scrub([]string{name + "=" + value})) == 0:
			return p, usage(c, "--%s %s: that is an identity of yours, or a setting of the run, which CMD never gets "+
				"from you", flagEnv, name)
		case set:
			p.Set = append(p.Set, word)
		default:
			p.Names = append(p.Names, name)
		}
	}
	return p, nil
}

// sandbox describes the sandbox of a command. out is where the delivery will be; "" if that is
// not known yet.
func (o isolateOptions) sandbox(out string, src app.Source, command []string) supervise.SandboxConfig {
	fixed := []string{src.Path}
	if src.Path == app.StandardInput {
		fixed = nil
	}
	return supervise.SandboxConfig{
		Isolated: o.how != isolateNot, NoNetwork: o.how.ownNetwork(), Closed: o.how == isolateClosed,
		UID: o.user.uid, Command: command, ReadOnly: o.ro, Writable: o.rw, Delivery: out,
		Fixed: fixed, Tree: cmp.Or(o.tree, src.Task.Sandbox.Tree),
		AllowUserns: o.userns, AllowPtrace: o.ptrace,
	}
}

// warnOfUserns says that a flag does not do what it seems to.
func (o isolateOptions) warnOfUserns(e *Env) {
	if o.userns && o.user.uid == 0 && os.Geteuid() == 0 {
		e.warn("warning: --%s is of little use to root, who can mount nothing even in new namespaces; "+
			"as an ordinary user: --%s %s", flagAllowUserns, flagUID, userNew)
	}
}

// sayWhere says what the command can reach that a person may not expect.
func (c *commandRun) sayWhere() {
	switch {
	case c.sandbox.Bare() && c.task.Sandbox != grants.Sandbox{}:
		c.say("not isolated: the command runs as you and can read your files and logins, and nothing of [sandbox] in "+
			"the manifest holds (use --%s)", flagIsolate)
	case c.sandbox.Bare():
		c.say("not isolated: the command runs as you and can read your files and logins (use --%s)", flagIsolate)
	case c.isolate.how == isolateNet:
		c.say("the network is this machine's: the command can reach every server on loopback, and the metadata server "+
			"of a cloud machine, which hands out that machine's login (use --%s=%s)", flagIsolate, isolateNoNet)
	}
}

// sayBefore tells the person what to know while the command has a terminal of its own.
func (c *commandRun) sayBefore() {
	if !c.quiet && !c.sandbox.Bare() && supervise.Interactive(c.Stdin, c.Stdout.Child()) {
		c.say("to end the command even if it ignores Ctrl-C: %s", supervise.EndKeys)
	}
}

// sayAfter warns of what the command has left in the work tree, and says which flag it may have failed for. It is the
// last that is done: the command chose how much there is to search, and what the terminal may still have to answer.
func (c *commandRun) sayAfter(ctx context.Context, code exitCode) {
	ctx, cancel := context.WithTimeout(ctx, searchWithin)
	defer cancel()
	p, step := c.newProgress(c.quiet), lifecycle.Event{Step: "search the work tree for what the command left"}
	step.Time, step.State = c.Now(), lifecycle.Started
	p.Step(step)
	found, review := c.sandbox.LeftBehind(ctx), view.NewReview(c.sandbox.WorkTree(), c.sandbox.Review(ctx))
	step.Time, step.State = c.Now(), lifecycle.Done
	p.Step(step)
	for _, left := range found {
		c.say("warning: %s", left)
	}
	review.Say(c.Stderr)
	if code != 0 && c.wantedUserns != "" && !c.isolate.userns {
		c.say("the command printed %q: the sandbox refuses user namespaces. If a sandbox inside this one needs them: "+
			"--%s, which also opens more of the kernel to the command", c.wantedUserns, flagAllowUserns)
	}
	c.sandbox.DropAnswers()
}

// newIsolatedCmd is the first process in a sandbox.
func newIsolatedCmd(e *Env) *cli.Command {
	return &cli.Command{
		Name: "isolated", Usage: "be the first process in a sandbox", Hidden: true, SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			order, err := isolate.ParseInside(c.Args().Slice())
			if err != nil {
				return runFailed(fault.New(fault.Usage, "%w", err))
			}
			// A signal to the whole process group is for the command.
			defer e.interrupts.handle(func(os.Signal) {})()
			code, err := isolate.Inside(c.Context, order, e.Stdin, e.Stdout.Child(), e.Stderr.Child())
			if err != nil && !order.Look {
				return runFailed(supervise.NotStarted(order.Command[0], err))
			}
			return &exitError{code: exitCode(code)}
		},
	}
}
