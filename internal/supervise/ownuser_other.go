//go:build !linux

package supervise

import (
	"errors"
	"fmt"
)

// processesOf takes Linux: elsewhere it is not known which processes a user has.
func processesOf(uid int) ([]int, error) {
	return nil, fmt.Errorf("looking for the processes of user %d: that takes Linux", uid)
}

func killUser(int) error { return errors.ErrUnsupported }

func killOf(int, int) error { return errors.ErrUnsupported }
