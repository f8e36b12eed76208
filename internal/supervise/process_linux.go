package supervise

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// startOf returns the start of a process: the id of the boot, and the tick of that boot at
// which it was started. No other process with the same number has the same start. It is empty
// if there is no such process, or if it has ended and is a zombie.
func startOf(pid int) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the id of this boot: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if isGone(err) {
			return "", nil
		}
		return "", fmt.Errorf("looking at process %d: %w", pid, err)
	}
	// The name in parentheses may contain anything. After it come the state, which is field 3
	// in proc(5), and as field 22 the start time.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("looking at process %d: its state is not understood", pid)
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return "", nil
	}
	return strings.TrimSpace(string(boot)) + " " + string(fields[19]), nil
}
