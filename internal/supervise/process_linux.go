package supervise

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// StartOf returns what tells a process from every other one that has had or will
// have its number: the boot it lives in, and the tick of that boot in which it was
// started. It is empty if there is no such process, or only what its parent has not
// yet asked about.
func StartOf(pid int) (string, error) {
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
	// The name in parentheses may hold anything. Behind it come the state, field 3 of
	// proc(5), and in field 22 the start time.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("looking at process %d: its state is not understood", pid)
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return "", nil
	}
	return strings.TrimSpace(string(boot)) + " " + string(fields[19]), nil
}
