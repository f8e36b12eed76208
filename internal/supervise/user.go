package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"github.com/taskiam/taskiam/internal/fault"
)

// User is the user that a task's command runs as, if that is another one than ours.
type User struct {
	uid, gid   uint32
	name, home string
}

// FindUser returns the user with this number. The system need not know the number.
func FindUser(uid int) (*User, error) {
	if os.Geteuid() != 0 {
		return nil, fault.WithHint(
			fault.New(fault.Usage, "--uid %d: only root can run a command as another user, and give files to that user",
				uid),
			"to protect your files from CMD: --isolate")
	}
	u := &User{uid: uint32(uid), gid: uint32(uid), name: strconv.Itoa(uid), home: "/"}
	if known, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		gid, err := strconv.ParseUint(known.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("looking up user %d: %w", uid, err)
		}
		u.gid, u.name, u.home = uint32(gid), known.Username, known.HomeDir
	}
	return u, nil
}

// become makes the command run as the user, in a session of its own; nil is our own user and session. In the session of
// our terminal it could type there (TIOCSTI), for our shell to read. Kernels before 6.2 always allow that.
func (u *User) become(cmd *exec.Cmd) {
	if u == nil {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.uid, Gid: u.gid}, Setsid: true}
}

// environ returns the variables that say who the user is.
func (u *User) environ() []string {
	if u == nil {
		return nil
	}
	return []string{"USER=" + u.name, "LOGNAME=" + u.name, "HOME=" + u.home}
}
