package supervise

import (
	"os/exec"
	"testing"
)

// TestAnotherUserHasNoTerminal: in the session of root's terminal another user's command could type there.
func TestAnotherUserHasNoTerminal(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("true")
	(&User{uid: 65100, gid: 65100}).become(cmd)
	if a := cmd.SysProcAttr; a == nil || !a.Setsid || a.Setctty || a.Credential.Uid != 65100 {
		t.Errorf("the command starts with %+v", a)
	}
	ours := exec.Command("true")
	(*User)(nil).become(ours)
	if ours.SysProcAttr != nil {
		t.Errorf("ours starts with %+v", ours.SysProcAttr)
	}
}
