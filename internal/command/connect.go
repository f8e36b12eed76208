package command

import (
	"context"
	"net/netip"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/relay"
)

// Connect declares the command that lets a port on loopback lead to a socket. run does it. All errors go through
// failed first: the codes below 125 are those of the command that it runs.
func Connect(run func(context.Context, relay.Order) error, failed func(error) error) *cli.Command {
	return &cli.Command{
		Name:  "connect",
		Usage: "let a port on loopback lead to a socket",
		UsageText: `taskiam connect --listen 127.0.0.1:8080 /run/proxy.sock
taskiam connect --listen 127.0.0.1:8080 /run/proxy.sock -- ./my-agent`,
		ArgsUsage: "SOCKET [-- CMD [ARG ...]]",
		Description: `In a sandbox without a network a program can often reach an HTTP address, and not
a socket. With CMD it connects for as long as CMD runs, and ends with CMD's exit
code; CMD finds the address in ` + relay.EnvAddress + `. Without CMD it prints the address
and connects until it is interrupted or the process that started it has ended.`,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "listen", Value: "127.0.0.1:0",
				Usage: "`ADDRESS`: where to listen, on loopback; port 0 is any that is free",
			},
		},
		OnUsageError: func(c *cli.Context, err error, sub bool) error { return failed(UsageError(c, err, sub)) },
		Action: func(c *cli.Context) error {
			return failed(Action(parseConnect, run)(c))
		},
	}
}

func parseConnect(c *cli.Context) (relay.Order, error) {
	var o relay.Order
	var err error
	if o.Listen, err = netip.ParseAddrPort(c.String("listen")); err != nil {
		return o, Usage(c, "--listen is an address and a port such as 127.0.0.1:8080, not %q", c.String("listen"))
	}
	if !o.Listen.Addr().IsLoopback() {
		return o, fault.WithHint(fault.New(fault.Usage, "--listen %s is not on loopback: whoever can reach this "+
			"machine would reach the socket", o.Listen), "--listen 127.0.0.1:8080")
	}
	args := c.Args().Slice()
	dashes := slices.Index(args, "--")
	before := args
	if dashes >= 0 {
		if before, o.Command = args[:dashes], args[dashes+1:]; len(o.Command) == 0 || o.Command[0] == "" {
			return o, Usage(c, "there is no command after --")
		}
	}
	switch {
	case len(before) == 0 || before[0] == "":
		return o, Usage(c, "the path of the socket is missing")
	case len(before) > 1 && dashes < 0:
		return o, Usage(c, "the command goes after --: taskiam connect SOCKET -- CMD")
	case len(before) > 1:
		return o, Usage(c, "connect takes one socket, not %d", len(before))
	}
	o.Socket = before[0]
	return o, nil
}
