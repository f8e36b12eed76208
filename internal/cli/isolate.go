package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/supervise"
)

// isolateValue is the value of --isolate, which is optional.
type isolateValue string

const (
	isolateNot   isolateValue = ""
	isolateNet   isolateValue = "true"
	isolateNoNet isolateValue = "nonet"
)

// Set reads the value.
func (v *isolateValue) Set(text string) error {
	switch value := isolateValue(text); value {
	case "false":
		*v = isolateNot
		return nil
	case isolateNet, isolateNoNet:
		*v = value
		return nil
	}
	return fmt.Errorf("--%s stands alone or is --%s=%s", flagIsolate, flagIsolate, isolateNoNet)
}

func (v *isolateValue) String() string { return string(*v) }

// IsBoolFlag tells package flag that the value is optional.
func (*isolateValue) IsBoolFlag() bool { return true }

// isolateOptions say where CMD runs.
type isolateOptions struct {
	how    isolateValue
	ro, rw []string // as they were given
	pass   []string // names of variables
	uid    int      // 0 is this user

}

func newIsolateFlags() []cli.Flag {
	none := isolateNot
	return []cli.Flag{
		&cli.GenericFlag{
			Name:        flagIsolate,
			Value:       &none,
			DefaultText: "off",
			Usage: "run CMD in a bubblewrap sandbox that sees the work tree and the delivery; " +
				"--" + flagIsolate + "=nonet: without network",
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
		&cli.StringSliceFlag{
			Name:  "env",
			Usage: "`NAME`: with --" + flagIsolate + ", one of your variables that CMD gets; repeatable",
		},
		newUIDFlag("run CMD as the user with this `NUMBER`, and give the delivery to that one"),
	}
}

func newUIDFlag(usage string) cli.Flag { return &cli.IntFlag{Name: flagUID, Usage: usage} }

// parseUID reads the flag of newUIDFlag; 0 is this user.
func parseUID(c *cli.Context) (int, error) {
	uid := c.Int(flagUID)
	switch {
	case !c.IsSet(flagUID) || uid == os.Geteuid():
		return 0, nil
	case uid <= 0:
		return 0, usage(c, "--%s is the number of a user, and not root's", flagUID)
	}
	return uid, nil
}

func parseIsolate(c *cli.Context, getenv func(string) string) (isolateOptions, error) {
	o := isolateOptions{how: isolateNot, ro: c.StringSlice("ro"), rw: c.StringSlice("rw"), pass: c.StringSlice("env")}
	if v, ok := c.Generic(flagIsolate).(*isolateValue); ok {
		o.how = *v
	}
	var err error
	if o.uid, err = parseUID(c); err != nil {
		return o, err
	}
	if o.how == isolateNot {
		for _, name := range []string{"ro", "rw", "env"} {
			if c.IsSet(name) {
				return o, usage(c, "--%s is of use with --%s only", name, flagIsolate)
			}
		}
		return o, nil
	}
	for _, name := range o.pass {
		switch {
		case name == "" || strings.Contains(name, "="):
			return o, usage(c, "--env takes the name of a variable, whose value it has in your environment, not %q",
				name)
		case getenv(name) == "":
			return o, usage(c, "--env %s: it is not set", name)
		case len(credentials.Scrub([]string{name + "=" + getenv(name)})) == 0:
			return o, usage(c, "--env %s: that is an identity of yours, which CMD never gets", name)
		}
	}
	return o, nil
}

// sandbox describes the sandbox of a command. out is where the delivery will be; "" if that is
// not known yet.
func (o isolateOptions) sandbox(out string, command []string) supervise.SandboxConfig {
	return supervise.SandboxConfig{
		Isolated: o.how != isolateNot, NoNetwork: o.how == isolateNoNet,
		UID: o.uid, Command: command, ReadOnly: o.ro, Writable: o.rw, Pass: o.pass, Delivery: out,
	}
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
			code, err := isolate.Inside(c.Context, order, e.Stdin, e.Stdout, e.Stderr)
			if err != nil && !order.Look {
				return runFailed(supervise.NotStarted(order.Command[0], err))
			}
			return &exitError{code: exitCode(code)}
		},
	}
}
