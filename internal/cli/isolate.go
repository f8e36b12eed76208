package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/supervise"
)

// isolateValue is the value of --isolate, which may be left out.
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

// IsBoolFlag tells package flag that the value can be left out.
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
			Name: flagIsolate, Value: &none, DefaultText: "off",
			Usage: "run CMD in a sandbox of bubblewrap's that has the work tree and the delivery; --" + flagIsolate + "=nonet: and no network",
		},
		&cli.StringSliceFlag{Name: "ro", Usage: "with --" + flagIsolate + ", `PATH` that CMD sees too; repeatable", TakesFile: true},
		&cli.StringSliceFlag{Name: "rw", Usage: "with --" + flagIsolate + ", `PATH` that CMD sees and may change; repeatable", TakesFile: true},
		&cli.StringSliceFlag{Name: "env", Usage: "with --" + flagIsolate + ", `NAME` of a variable of yours that CMD gets; repeatable"},
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
			return o, usage(c, "--env takes the name of a variable, whose value it has in your environment, not %q", name)
		case getenv(name) == "":
			return o, usage(c, "--env %s: it is not set", name)
		case len(credentials.Scrub([]string{name + "=" + getenv(name)})) == 0:
			return o, usage(c, "--env %s: that is an identity of yours, which CMD never gets", name)
		}
	}
	return o, nil
}

// site is where CMD is going to run.
type site struct {
	options isolateOptions
	login   *login // whom CMD runs as; nil is this user
	bwrap   string
	spec    isolate.Spec
	// box is the sandbox once there is one; started is closed then, or when there will be none.
	box     *isolate.Box
	started chan struct{}
}

// site makes sure that CMD can be run where it is to run: better to know now than
// after an account was made.
func (e *Env) site(o isolateOptions, out string, command []string) (*site, error) {
	p := &site{options: o, started: make(chan struct{})}
	if o.uid != 0 {
		var err error
		if p.login, err = findLogin(o.uid); err != nil {
			return nil, err
		}
	}
	if o.how == isolateNot {
		_, err := lookPath(command[0])
		return p, err
	}
	var err error
	if p.bwrap, err = isolate.Find(); err != nil {
		return nil, err
	}
	if p.spec, err = e.sandbox(o, command, p.login); err != nil {
		return nil, err
	}
	closed, err := e.closed()
	if err != nil {
		return nil, err
	}
	if out != "" {
		if p.spec.Delivery, err = filepath.Abs(out); err != nil {
			return nil, fmt.Errorf("finding %s: %w", out, err)
		}
		p.spec.Delivery = real(p.spec.Delivery)
	}
	if err := p.spec.Check(closed); err != nil {
		return nil, err
	}
	err = p.spec.Try(p.bwrap, func(cmd *exec.Cmd) {
		cmd.Env = p.environ(e)
		p.login.become(cmd)
	})
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fault.WithHint(notStarted(command[0], err), e.whereIs(command[0])...)
	case errors.Is(err, os.ErrPermission):
		return nil, notStarted(command[0], err)
	case err != nil && p.login != nil:
		err = fault.WithHint(err, fmt.Sprintf("user %d makes the sandbox: they have to be able to get to %s, %s and what --ro and --rw name",
			o.uid, p.spec.Program, p.spec.WorkTree))
	}
	return p, err
}

// whereIs says how to have a program in the sandbox that is outside of it.
func (e *Env) whereIs(name string) []string {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil
	}
	return []string{"--ro " + quoteShell(path) + "   # and the same for what else it needs"}
}

// sandbox describes the sandbox without its delivery.
func (e *Env) sandbox(o isolateOptions, command []string, login *login) (isolate.Spec, error) {
	s := isolate.Spec{Command: command, System: isolate.System(), Home: e.Getenv(envHome)}
	if login != nil {
		s.Home = login.home
	}
	if !filepath.IsAbs(s.Home) || filepath.Clean(s.Home) == "/" {
		s.Home = "/home/taskiam"
	}
	s.Home = filepath.Clean(s.Home)
	var err error
	if s.Program, err = os.Executable(); err == nil {
		s.Program, err = filepath.EvalSymlinks(s.Program)
	}
	if err != nil {
		return s, fmt.Errorf("finding this program: %w", err)
	}
	if o.how == isolateNoNet {
		s.Network = isolate.None
	}
	tree, err := realPaths("", ".")
	if err != nil {
		return s, fmt.Errorf("finding the work tree: %w", err)
	}
	s.WorkTree = tree[0]
	if s.ReadOnly, err = realPaths("ro", o.ro...); err != nil {
		return s, err
	}
	s.Writable, err = realPaths("rw", o.rw...)
	return s, err
}

// realPaths returns the paths, absolute and without links.
func realPaths(flag string, paths ...string) ([]string, error) {
	var out []string
	for _, path := range paths {
		real, err := filepath.Abs(path)
		if err == nil {
			real, err = filepath.EvalSymlinks(real)
		}
		if err != nil {
			return nil, fault.New(fault.Usage, "--%s: %w", flag, err)
		}
		out = append(out, real)
	}
	return out, nil
}

// closed returns what no sandbox may see: what is taskiam's own, and the deliveries of
// all runs.
func (e *Env) closed() ([]isolate.Closed, error) {
	state, err := e.stateDir()
	if err != nil {
		return nil, err
	}
	out := []isolate.Closed{{Path: real(state), What: "taskiam's journals and the emulator's logins"}}
	if dir := e.Getenv(envRuntimeDir); filepath.IsAbs(dir) {
		out = append(out, isolate.Closed{Path: real(dir), What: "sockets and deliveries of yours"})
	}
	for name, what := range map[string]string{
		envEmulatorToken:                 "the operator's token on the emulator",
		"GOOGLE_APPLICATION_CREDENTIALS": "a credential of yours",
	} {
		if path := e.Getenv(name); path != "" {
			out = append(out, isolate.Closed{Path: real(path), What: what})
		}
	}
	journals, err := e.journals()
	if err != nil {
		return nil, err
	}
	// One that cannot be read is in the way of other commands, not of this one.
	runs, _ := allRuns(journals)
	for _, run := range runs {
		if _, err := os.Lstat(run.Opened.DeliveryDir); err == nil {
			out = append(out, isolate.Closed{Path: real(run.Opened.DeliveryDir), What: "the delivery of run " + string(run.ID())})
		}
	}
	return out, nil
}

// real returns the path, absolute and without links, as far as it is there.
func real(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return filepath.Clean(path)
}

// environ returns what CMD gets of this process's environment.
func (p *site) environ(e *Env) []string {
	environ := credentials.Scrub(e.Environ())
	if p.options.how != isolateNot {
		environ = append(isolate.Keep(environ, p.options.pass), envHome+"="+p.spec.Home)
	}
	if p.login != nil {
		environ = append(environ, p.login.environ()...)
	}
	return environ
}

// enter makes the sandbox of a run, and what has to listen for it outside. leave ends that.
func (p *site) enter(ctx context.Context, run *journal.Run) (leave func(), err error) {
	if run.Opened.Socket && p.options.uid != 0 {
		if err := os.Chown(supervise.SocketPath(run.Opened.DeliveryDir), p.options.uid, -1); err != nil {
			return nil, fmt.Errorf("giving the metadata server's socket away: %w", err)
		}
	}
	if p.options.how == isolateNot {
		return func() {}, nil
	}
	p.spec.Delivery = real(run.Opened.DeliveryDir)
	p.spec.Private = []string{credentials.GcloudPath(p.spec.Delivery)}
	ctx, cancel := context.WithCancel(ctx)
	leave = cancel
	if p.spec.Network == isolate.None {
		if err := p.forward(ctx, run); err != nil {
			cancel()
			return nil, err
		}
	}
	if p.box, err = p.spec.New(p.bwrap); err != nil {
		cancel()
		return nil, err
	}
	close(p.started)
	stop := p.handOnWindow()
	return func() {
		stop()
		cancel()
		// An error means that it is closed.
		_ = p.box.Close()
	}, nil
}

// forward lets the sandbox reach the emulator and the run's metadata server, each at its
// own address and by a socket in the delivery, and nothing else.
func (p *site) forward(ctx context.Context, run *journal.Run) error {
	if run.Opened.Socket {
		p.spec.Forwards = append(p.spec.Forwards, isolate.Forward{Address: run.Opened.Metadata, Socket: supervise.SocketPath(p.spec.Delivery)})
	}
	if run.Opened.Cloud != cloudEmulator {
		return nil
	}
	address := run.Opened.Endpoint
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.New(fault.Usage, "--%s=%s reaches an emulator on this machine's loopback, and not %s", flagIsolate, isolateNoNet, address)
	}
	path := filepath.Join(p.spec.Delivery, "emulator.sock")
	l, err := supervise.ListenUnix(path, p.options.uid)
	if err != nil {
		return err
	}
	p.spec.Forwards = append(p.spec.Forwards, isolate.Forward{Address: address, Socket: path})
	go func() {
		// What ends it before the sandbox does, the sandbox sees as a server that is gone.
		_ = isolate.Relay(ctx, l, func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		})
	}()
	return nil
}

// guard keeps a server on loopback for CMD, if CMD is in a sandbox: other sandboxes
// share the loopback.
func (p *site) guard(l net.Listener) net.Listener {
	if p.options.how == isolateNot || l == nil {
		return l
	}
	return isolate.OnlyFrom(l, func(process isolate.Process) bool {
		select {
		case <-p.started:
			return p.box.Belongs(process)
		default:
			return false
		}
	})
}

// warn says what CMD can do that is no matter of the manifest's.
func (p *site) warn(e *Env) {
	if p.options.how == isolateNot && p.login == nil {
		e.say("this is no sandbox: the command runs as you, and can read your files and logins; --%s keeps them from it", flagIsolate)
	}
}

// handOnWindow tells the sandbox when the terminal's window has changed, until the
// returned function is called: the sandbox is in a session without a terminal.
func (p *site) handOnWindow() (stop func()) {
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, unix.SIGWINCH)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-changes:
				p.box.Signal(syscall.SIGWINCH, true)
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(changes); close(done) }
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
			// What is sent to the whole group is for the command.
			defer e.interrupts.handle(func(os.Signal) {})()
			code, err := isolate.Inside(c.Context, order, e.Stdin, e.Stdout, e.Stderr)
			if err != nil && !order.Look {
				return notStarted(order.Command[0], err)
			}
			return &exitError{code: exitCode(code)}
		},
	}
}
