package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/guard"
	"github.com/taskiam/taskiam/internal/paths"
	"github.com/taskiam/taskiam/internal/shell"
)

// Trust remembers what manifests opened when they were last used, or accepted: in the state folder, which no sandbox of
// ours can see.
//
// A manifest is compared with what it opened the last time, and not with the most that it ever opened: who has taken
// something away meant that, and what puts it back asks again. So a manifest can be narrowed without a question and
// then stays narrow. What is remembered never becomes wider but by [Trust.Accept]: each step is one that was compared
// with the step before, and no series of harmless steps leads further than the first.
//
// A file is known by its path alone. Its task is a part of what is compared: under another name for the task the same
// file would else be one that was never seen.
type Trust struct {
	Dir string
	Now func() time.Time
}

// Trust returns what is remembered of manifests on this machine.
func (a *App) Trust() (Trust, error) {
	dir, err := a.StateDir()
	return Trust{Dir: filepath.Join(dir, "trust"), Now: a.Now}, err
}

// trusted is what is remembered of one manifest, as it is kept.
type trusted struct {
	Path   string    `json:"path"`
	SHA256 string    `json:"sha256"` // of its bytes, in hexadecimal
	At     time.Time `json:"at"`
	// Scope is read by package guard, which knows its version.
	Scope json.RawMessage `json:"scope"`
}

// Verdict is what is known of a manifest before it is used.
type Verdict struct {
	// First says that the file was never used before.
	First bool
	// Same says that its content is what it was.
	Same bool
	// Wider is what it opens beyond what it opened before; of a file that is seen for the first time, nothing.
	Wider []guard.Widening
	// Since is when it was last used, or accepted; zero for never.
	Since time.Time
	// Unreadable is why it cannot be known what the manifest opened before; nil if it can, or if it never did.
	Unreadable error
}

// Compare returns what is known of a manifest, and opens nothing. What cannot be read has opened nothing before.
func (t Trust) Compare(src Source) Verdict {
	before, was, err := t.read(src.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Verdict{First: true}
	case err != nil:
		return Verdict{Unreadable: err, Wider: guard.Wider(guard.Scope{}, src.Scope)}
	case before.SHA256 == src.SHA256:
		return Verdict{Same: true, Since: before.At}
	default:
		return Verdict{Since: before.At, Wider: guard.Wider(was, src.Scope)}
	}
}

// Use remembers a manifest that was used. Where it is wider than what is remembered by then, that stays.
func (t Trust) Use(ctx context.Context, src Source) error {
	return t.locked(ctx, func() error {
		if v := t.Compare(src); v.Same || v.Unreadable != nil || len(v.Wider) > 0 {
			return nil
		}
		return t.write(src)
	})
}

// Accept remembers a manifest whose difference a person has accepted.
func (t Trust) Accept(ctx context.Context, src Source) error {
	return t.locked(ctx, func() error { return t.write(src) })
}

// file returns where a manifest's memory is kept.
func (t Trust) file(path string) string {
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(t.Dir, hex.EncodeToString(sum[:16])+".json")
}

// read returns what is remembered of the manifest at a path. Its error is [fs.ErrNotExist] if that is nothing.
func (t Trust) read(path string) (trusted, guard.Scope, error) {
	file := t.file(path)
	info, err := os.Lstat(file)
	if err != nil {
		return trusted{}, guard.Scope{}, err
	}
	folder, err := os.Lstat(t.Dir)
	if err != nil {
		return trusted{}, guard.Scope{}, err
	}
	if !mineAlone(info) || !mineAlone(folder) {
		return trusted{}, guard.Scope{}, fmt.Errorf("%s is not this user's alone", file)
	}
	b, err := readFile(file)
	if err != nil {
		return trusted{}, guard.Scope{}, err
	}
	var before trusted
	if err := json.Unmarshal(b, &before); err != nil {
		return trusted{}, guard.Scope{}, fmt.Errorf("%s: %w", file, err)
	}
	was, err := guard.ParseScope(before.Scope)
	if err != nil {
		return trusted{}, guard.Scope{}, fmt.Errorf("%s: %w", file, err)
	}
	if before.Path != path || before.SHA256 == "" {
		return trusted{}, guard.Scope{}, fmt.Errorf("%s is of another manifest", file)
	}
	return before, was, nil
}

func (t Trust) write(src Source) error {
	scope, err := json.Marshal(src.Scope)
	if err != nil {
		return err
	}
	b, err := json.Marshal(trusted{src.Path, src.SHA256, t.Now().UTC(), scope})
	if err != nil {
		return err
	}
	return replaceFile(t.file(src.Path), append(b, '\n'))
}

// lockWithin bounds the wait for another taskiam that remembers something, which takes it milliseconds.
const lockWithin = 30 * time.Second

// locked runs do while no other process changes what is remembered.
func (t Trust) locked(ctx context.Context, do func() error) error {
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return err
	}
	if info, err := os.Lstat(t.Dir); err != nil || !mineAlone(info) {
		return fault.WithHint(errors.Join(fmt.Errorf("%s is not this user's alone", t.Dir), err),
			"chmod 700 "+shell.Quote(t.Dir))
	}
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	lock := flock.New(filepath.Join(t.Dir, "lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return fmt.Errorf("locking %s: %w", lock.Path(), err)
	}
	return errors.Join(do(), lock.Close())
}

// Beside compares a manifest with another one that is trusted, such as the one of the branch that a change is for.
func Beside(base, src Source) Verdict {
	return Verdict{Same: src.SHA256 == base.SHA256, Wider: guard.Wider(base.Scope, src.Scope)}
}

// InWorkTree returns the folder with a manifest in it that a command could write to: its git work tree, or else the
// folder in which commands are started now. It is "" if the manifest is in neither.
func InWorkTree(manifest string) string {
	real := paths.Real(manifest)
	if tree := workTree(filepath.Dir(real)); tree != "" {
		return tree
	}
	if here := paths.Real("."); paths.Within(here, real) {
		return here
	}
	return ""
}

// Refusal returns why a manifest must not be used, without a hint; nil if it may be. than is what it was compared with;
// "" is what is remembered.
func (v Verdict) Refusal(src Source, than string) error {
	if len(v.Wider) == 0 {
		return nil
	}
	switch {
	case than != "":
	case v.Unreadable != nil:
		than = fmt.Sprintf("is known of it (%v)", v.Unreadable)
	default:
		than = "it did when it was last used or accepted, at " + v.Since.Format(time.RFC3339)
	}
	return &fault.Error{Kind: fault.Usage, Err: &guard.WiderError{Manifest: src.Path, Than: than, Wider: v.Wider}}
}
