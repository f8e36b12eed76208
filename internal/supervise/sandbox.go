package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/isolate"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/paths"
	"github.com/taskiam/taskiam/internal/relay"
	"github.com/taskiam/taskiam/internal/shell"
	"github.com/taskiam/taskiam/internal/worktree"
)

// SandboxConfig says where a task's command is to run.
type SandboxConfig struct {
	// Isolated means a bubblewrap sandbox, and NoNetwork that this has only its own loopback.
	// The other fields, except for UID and Command, are for bubblewrap.
	Isolated, NoNetwork bool
	// Closed means that there is one way out of a sandbox without a network: the run's proxy.
	Closed bool
	// UID is the user that it runs as; 0 is this one.
	UID     int
	Command []string
	// ReadOnly and Writable are further paths that it sees, as the operator wrote them.
	ReadOnly, Writable []string
	// Tree is how it sees the folder in which it is started.
	Tree grants.Tree
	// AllowUserns and AllowPtrace let it make namespaces, and debug its processes.
	AllowUserns, AllowPtrace bool
	// Home is the operator's home, and Environ what the command gets of the operator's environment.
	Home    string
	Environ []string
	// Delivery is where the delivery will be; "" if that is not known yet.
	Delivery string
	// Fixed are manifests, which the command must not change; Limits is what else it must not
	// reach.
	Fixed  []string
	Limits isolate.Limits
}

// Sandbox is where a task's command runs: as this user, as another one, or isolated.
type Sandbox struct {
	SandboxConfig
	user  *User // whom the command runs as; nil is this user
	bwrap string
	spec  isolate.Spec
	// box is the bubblewrap sandbox; it is set before started is closed.
	box     *isolate.Box
	started chan struct{}
	entered time.Time // before that
	streams *streams  // those of the command, if it is in a sandbox and was started
	before  []*worktree.Snapshot
}

// NewSandbox returns the sandbox, and fails if the command could not be run in it: that should
// be known before an account is made.
func NewSandbox(c SandboxConfig) (*Sandbox, error) {
	s := &Sandbox{SandboxConfig: c, started: make(chan struct{})}
	var err error
	if c.UID != 0 {
		if s.user, err = FindUser(c.UID); err != nil {
			return nil, err
		}
	}
	if !c.Isolated {
		_, err := lookPath(c.Command[0])
		return s, err
	}
	if s.bwrap, err = isolate.Find(); err != nil {
		return nil, err
	}
	if s.spec, err = s.describe(); err != nil {
		return nil, err
	}
	if err := s.spec.Pin(); err != nil {
		return nil, err
	}
	if err := s.spec.Check(c.Limits); err != nil {
		return nil, err
	}
	if err := s.try(); err != nil {
		return nil, err
	}
	for _, tree := range s.spec.Changeable() {
		s.before = append(s.before, worktree.Take(context.Background(), tree, time.Now()))
	}
	return s, nil
}

// try makes the bubblewrap sandbox once, without the delivery.
func (s *Sandbox) try() error {
	name := s.Command[0]
	s.spec.Environ = s.Environment()
	err := s.spec.Try(s.bwrap, s.user.become)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fault.WithHint(NotStarted(name, err), s.whereIs(name)...)
	case errors.Is(err, os.ErrPermission):
		return NotStarted(name, err)
	case err != nil && s.user != nil:
		return fault.WithHint(err, fmt.Sprintf(
			"user %d makes the sandbox, and must be able to reach %s, %s and what --ro and --rw name",
			s.UID, s.spec.Program, s.spec.WorkTree))
	}
	return err
}

// whereIs returns hints for a program that exists, but not in the sandbox.
func (s *Sandbox) whereIs(name string) []string {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil
	}
	return []string{"--ro " + shell.Quote(path) + "   # and the same for what else it needs"}
}

// describe returns the sandbox without the delivery of a run.
func (s *Sandbox) describe() (isolate.Spec, error) {
	spec := isolate.Spec{
		Command: s.Command, System: isolate.System(), Home: s.Home, Fixed: s.Fixed,
		AllowUserns: s.AllowUserns, AllowPtrace: s.AllowPtrace, KeepTree: s.Tree == grants.TreeRead,
	}
	if s.user != nil {
		spec.Home = s.user.home
	}
	if !filepath.IsAbs(spec.Home) || filepath.Clean(spec.Home) == "/" {
		spec.Home = "/home/taskiam"
	}
	spec.Home = filepath.Clean(spec.Home)
	if s.Delivery != "" {
		spec.Delivery = paths.Real(s.Delivery)
	}
	if s.NoNetwork {
		spec.Network = isolate.None
	}
	var err error
	if spec.Program, err = os.Executable(); err == nil {
		spec.Program, err = filepath.EvalSymlinks(spec.Program)
	}
	if err != nil {
		return spec, fmt.Errorf("finding this program: %w", err)
	}
	tree, err := realPaths("finding the work tree", ".")
	if err != nil {
		return spec, err
	}
	spec.WorkTree = tree[0]
	if spec.ReadOnly, err = realPaths("--ro", s.ReadOnly...); err != nil {
		return spec, err
	}
	spec.Writable, err = realPaths("--rw", s.Writable...)
	return spec, err
}

// realPaths returns the paths, absolute and without links. Its errors begin with what they are for.
func realPaths(what string, paths ...string) ([]string, error) {
	var out []string
	for _, path := range paths {
		real, err := filepath.Abs(path)
		if err == nil {
			real, err = filepath.EvalSymlinks(real)
		}
		if err != nil {
			return nil, fault.New(fault.Usage, "%s: %w", what, err)
		}
		out = append(out, real)
	}
	return out, nil
}

// Environment returns the environment of the command, without what its run adds.
func (s *Sandbox) Environment() []string {
	environ := slices.Clone(s.Environ)
	if s.Isolated {
		environ = append(environ, "HOME="+s.spec.Home)
	}
	return append(environ, s.user.environ()...)
}

// EmptyHome reports whether clients find no login of gcloud's under HOME: it is the sandbox's own, and nothing that the
// sandbox shows lies where they look, or around it.
func (s *Sandbox) EmptyHome() bool {
	if !s.Isolated {
		return false
	}
	logins := filepath.Join(s.spec.Home, ".config", "gcloud")
	return !slices.ContainsFunc(slices.Concat([]string{s.spec.WorkTree}, s.spec.ReadOnly, s.spec.Writable),
		func(shown string) bool { return paths.Within(shown, logins) || paths.Within(logins, shown) })
}

// Bare reports whether the command runs as this user and sees all that this user sees.
func (s *Sandbox) Bare() bool { return !s.Isolated && s.user == nil }

// LeftBehind returns what the command has left that could give others rights, each as a
// sentence. Set-uid programs are made harmless. Call it after the end of the command, which
// chose how much there is to search: it ends with ctx.
func (s *Sandbox) LeftBehind(ctx context.Context) []string {
	if s.box == nil {
		return nil
	}
	found, err := s.spec.Privileged(ctx, s.entered)
	var out []string
	for _, f := range found {
		switch {
		case f.Cleared:
			out = append(out, fmt.Sprintf("%q was a set-uid program of the command's; it is set-uid no more", f.Path))
		case f.SetUID:
			out = append(out, fmt.Sprintf("%q is a set-uid program of the command's: remove it", f.Path))
		default:
			out = append(out, fmt.Sprintf("%q is a set-gid program of the command's: "+
				"whoever runs it gets your group's rights", f.Path))
		}
	}
	if err != nil {
		out = append(out, err.Error())
	}
	return out
}

// WorkTree returns the folder in which an isolated command is started, without links in its path.
func (s *Sandbox) WorkTree() string { return s.spec.WorkTree }

// Review returns what the command has left that may run later, outside of the sandbox: in the work tree, and in what
// else it could write to. Call it after the end of the command; it ends with ctx.
func (s *Sandbox) Review(ctx context.Context) []worktree.Result {
	if s.box == nil {
		return nil
	}
	var all []worktree.Result
	for _, tree := range s.before {
		all = append(all, tree.Compare(ctx))
	}
	return all
}

// DropAnswers throws away what our terminal may have typed since the command's end, by answering what the command has
// printed. Call it as late as possible: nobody knows how long a terminal takes to answer.
func (s *Sandbox) DropAnswers() {
	if s.streams != nil {
		s.streams.dropAnswers()
	}
}

// UserHas returns the numbers of the processes that the command's user still has after it; "" if
// there are none, or if the command is this user's or isolated.
func (s *Sandbox) UserHas() string {
	if s.user == nil || s.Isolated {
		return ""
	}
	pids, err := processesOf(s.UID)
	if err != nil {
		return err.Error()
	}
	return numbers(pids)
}

// Enter prepares the sandbox for a run, and starts what must listen for it outside. leave stops
// both.
func (s *Sandbox) Enter(ctx context.Context, run *journal.Run) (leave func(), err error) {
	if run.Opened.Socket && s.UID != 0 {
		if err := os.Chown(socketPath(run.Opened.DeliveryDir), s.UID, -1); err != nil {
			return nil, fmt.Errorf("giving the metadata server's socket away: %w", err)
		}
	}
	if !s.Isolated {
		return func() {}, nil
	}
	s.spec.Delivery = paths.Real(run.Opened.DeliveryDir)
	if err := s.spec.CheckDelivery(); err != nil {
		return nil, err
	}
	if err := s.spec.PinDelivery(); err != nil {
		return nil, err
	}
	s.spec.Private = []string{delivery.GcloudPath(s.spec.Delivery)}
	ctx, cancel := context.WithCancel(ctx)
	if s.NoNetwork {
		if err := s.forward(ctx, run); err != nil {
			cancel()
			return nil, err
		}
	}
	for _, tree := range s.before {
		tree.Wait()
	}
	s.entered = time.Now()
	return func() {
		cancel()
		if s.box != nil {
			// An error means that it is closed already.
			_ = s.box.Close()
		}
	}, nil
}

// forward lets the sandbox reach the emulator and the run's metadata server, and nothing else.
// Each is reached at its usual address; a socket in the delivery connects the two sides.
func (s *Sandbox) forward(ctx context.Context, run *journal.Run) error {
	o := run.Opened
	if o.Socket {
		socket := socketPath(s.spec.Delivery)
		s.spec.Forwards = append(s.spec.Forwards, isolate.Forward{Address: o.Metadata, Socket: socket})
	}
	if s.Closed {
		s.spec.Forwards = append(s.spec.Forwards,
			isolate.Forward{Address: delivery.ProxyAddress, Socket: proxyPath(s.spec.Delivery)})
		return nil
	}
	if !o.OnEmulator() {
		return nil
	}
	host, _, err := net.SplitHostPort(o.Endpoint)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.New(fault.Usage, "with --isolate=nonet only an emulator on this machine's loopback can be "+
			"reached, not %s",
			o.Endpoint)
	}
	path := filepath.Join(s.spec.Delivery, "emulator.sock")
	l, err := listenUnix(path, s.UID)
	if err != nil {
		return err
	}
	s.spec.Forwards = append(s.spec.Forwards, isolate.Forward{Address: o.Endpoint, Socket: path})
	go func() {
		// If it ends early, the sandbox sees a server that does not answer any more.
		_ = relay.Relay(ctx, l, func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", o.Endpoint)
		})
	}()
	return nil
}

// Guard returns a listener that only an isolated command can connect to: other processes and
// sandboxes share the loopback. If the command is not isolated, it returns l.
func (s *Sandbox) Guard(l net.Listener) net.Listener {
	if !s.Isolated || l == nil {
		return l
	}
	return isolate.OnlyFrom(l, func(process isolate.Process) bool {
		select {
		case <-s.started:
			return s.box.Belongs(process)
		default:
			return false
		}
	})
}
