package supervise

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/wait"
)

// The numbers of users who exist for one run alone. systemd's list of numbers leaves them to
// nobody, and so do the usual distributions.
const (
	firstOwn = 60578
	lastOwn  = 61183
)

// claims has a file for each number that is taken. It is the machine's, because the numbers are,
// and empty after a boot, as the machine is of processes.
const claims = "/run/taskiam-users"

// OwnUser is a user who exists for one run alone.
type OwnUser struct {
	UID int
	// Claim is what is in the file of the number, as long as this run has it.
	Claim string
}

// TakeUser takes a number that is nobody's: not known to the system, without processes, and of no
// other run.
func TakeUser(random io.Reader) (OwnUser, error) {
	if os.Geteuid() != 0 {
		return OwnUser{}, fault.WithHint(
			fault.New(fault.Usage, "--uid new: only root can run a command as another user"),
			"to protect your files from CMD: --isolate")
	}
	if err := os.MkdirAll(claims, 0o700); err != nil {
		return OwnUser{}, fmt.Errorf("taking a user for the run: %w", err)
	}
	b := make([]byte, 16)
	if _, err := io.ReadFull(random, b); err != nil {
		return OwnUser{}, fmt.Errorf("taking a user for the run: %w", err)
	}
	const count = lastOwn - firstOwn + 1
	for i := range count {
		uid := firstOwn + (int(binary.NativeEndian.Uint32(b)%count)+i)%count
		if u, err := claim(uid, hex.EncodeToString(b)); u.UID != 0 || err != nil {
			return u, err
		}
	}
	return OwnUser{}, fault.WithHint(
		fault.New(fault.Locked, "taking a user for the run: all numbers from %d to %d are in use", firstOwn, lastOwn),
		"taskiam status   # and take down what is not needed", "ls "+claims)
}

// claim takes this number; zero if it is not free.
func claim(uid int, with string) (OwnUser, error) {
	if _, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return OwnUser{}, nil
	}
	f, err := os.OpenFile(claimOf(uid), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return OwnUser{}, nil
	}
	if err != nil {
		return OwnUser{}, fmt.Errorf("taking a user for the run: %w", err)
	}
	u := OwnUser{uid, with}
	_, err = f.WriteString(with)
	if err = errors.Join(err, f.Close()); err != nil {
		return OwnUser{}, errors.Join(fmt.Errorf("taking a user for the run: %w", err), os.Remove(f.Name()))
	}
	if pids, err := processesOf(uid); err != nil || len(pids) > 0 {
		return OwnUser{}, errors.Join(err, u.Free())
	}
	return u, nil
}

func claimOf(uid int) string { return filepath.Join(claims, strconv.Itoa(uid)) }

// Free gives back the number of a user who was not used. If that was done already, nothing happens,
// whoever has taken the number since.
func (u OwnUser) Free() error {
	if !u.held() {
		return nil
	}
	return os.Remove(claimOf(u.UID))
}

// held reports whether the number is still taken for this run.
func (u OwnUser) held() bool {
	if u.UID < firstOwn || u.UID > lastOwn {
		return false
	}
	now, err := os.ReadFile(claimOf(u.UID))
	return err == nil && u.Claim != "" && string(now) == u.Claim
}

// EndUser ends everything that a user of [TakeUser] has running, and gives the number back. If that
// was done already, nothing happens. Processes that the user made others by a set-uid program are
// not in reach.
func EndUser(ctx context.Context, uid int, claim string) error {
	u := OwnUser{uid, claim}
	if !u.held() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	for {
		pids, err := processesOf(uid)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			break
		}
		// That it cannot be done at once does not matter if it can be done one by one.
		killErr := killUser(uid)
		for _, pid := range pids {
			if killErr != nil {
				killErr = errors.Join(killErr, killOf(pid, uid))
			}
		}
		if wait.For(ctx, lookAgain) != nil {
			err := fmt.Errorf("ending the processes of user %d: %s do not end", uid, numbers(pids))
			return errors.Join(err, killErr)
		}
	}
	if err := u.Free(); err != nil {
		return fmt.Errorf("giving user %d back: %w", uid, err)
	}
	return nil
}

// Vacant refuses a user who has processes: they could read what is delivered to that user.
func Vacant(uid int) error {
	pids, err := processesOf(uid)
	if err != nil || len(pids) == 0 {
		return err
	}
	return fault.WithHint(
		fault.New(fault.Usage, "--uid %d: that user already has processes, which would have the run's access too: %s",
			uid, numbers(pids)),
		"--uid new, for a user of the run's own", "or, if they are meant to have it: --share-uid")
}

// numbers lists the first few of some process numbers.
func numbers(pids []int) string {
	const most = 5
	var words []string
	for _, pid := range pids[:min(most, len(pids))] {
		words = append(words, strconv.Itoa(pid))
	}
	text := strings.Join(words, ", ")
	if more := len(pids) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
