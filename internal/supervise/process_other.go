//go:build !linux

package supervise

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// startOf returns the start of a process: the time. No other process with the same number has
// the same start. It is empty if there is no such process.
func startOf(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "state=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking at process %d: %w", pid, err)
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") {
		return "", nil
	}
	return strings.TrimSpace(start), nil
}
