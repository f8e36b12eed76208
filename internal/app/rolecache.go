package app

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
)

// rolesKept is how long an answer about predefined roles is used. Google changes them rarely,
// and a binding names the role and not its permissions.
const rolesKept = 24 * time.Hour

// cachedRoles keeps the answers about predefined roles in a folder: what a role holds, and
// which can be granted on a type of resource, which are megabytes. Custom roles are always
// asked about. What cannot be read or kept is asked for.
type cachedRoles struct {
	lifecycle.Roles
	of  string // whose roles they are: the cloud and its endpoint
	dir string
	key []byte // of the seals
	now func() time.Time
}

// cachedAnswer is an answer that is kept, as the second line of a file. The first is its seal,
// an HMAC of the answer with a key that lies with the journals: what a role holds decides
// whether a grant is stopped, and whoever can write to the cache must not decide that.
type cachedAnswer struct {
	Schema string        `json:"schema"` // taskiam.roles/v3
	Of     string        `json:"of"`     // the cloud, its endpoint and the question
	Asked  time.Time     `json:"asked"`
	Roles  []grants.Role `json:"roles,omitempty"`
	Names  []string      `json:"names,omitempty"` // of roles, where nothing else was asked for
}

const rolesSchema = "taskiam.roles/v3"

// Role reads a role and its permissions.
func (c cachedRoles) Role(ctx context.Context, name string) (grants.Role, error) {
	if !predefined(name) {
		return c.Roles.Role(ctx, name)
	}
	a, err := c.answer("role "+name, func() (cachedAnswer, error) {
		r, err := c.Roles.Role(ctx, name)
		return cachedAnswer{Roles: []grants.Role{r}}, err
	})
	if err != nil {
		return grants.Role{}, err
	}
	return a.Roles[0], nil
}

// RolesOn returns the predefined roles that can be granted on resources of the type of
// name, with their permissions. Custom roles are left out: they are those of one project.
func (c cachedRoles) RolesOn(ctx context.Context, name resource.Name) ([]grants.Role, error) {
	a, err := c.answer("roles on "+name.Type().ID, func() (cachedAnswer, error) {
		roles, err := c.Roles.RolesOn(ctx, name)
		roles = slices.DeleteFunc(roles, func(r grants.Role) bool { return !predefined(r.Name) })
		return cachedAnswer{Roles: roles}, err
	})
	return a.Roles, err
}

// GrantableRoles returns the names of the predefined roles that can be granted on
// resources of the type of name.
func (c cachedRoles) GrantableRoles(ctx context.Context, name resource.Name) (map[string]bool, error) {
	a, err := c.answer("names of roles on "+name.Type().ID, func() (cachedAnswer, error) {
		all, err := c.Roles.GrantableRoles(ctx, name)
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(n string) bool { return !predefined(n) })
		return cachedAnswer{Names: names}, err
	})
	names := map[string]bool{}
	for _, n := range a.Names {
		names[n] = true
	}
	return names, err
}

func predefined(role string) bool { return strings.HasPrefix(role, "roles/") }

// answer returns the answer to a question: that which is kept, or else that of the cloud, which
// is kept then. An error is never kept, nor is an answer without roles.
func (c cachedRoles) answer(question string, ask func() (cachedAnswer, error)) (cachedAnswer, error) {
	of := c.of + " " + question
	sum := sha256.Sum256([]byte(of))
	path := filepath.Join(c.dir, hex.EncodeToString(sum[:16])+".json")
	if a, ok := c.read(path, of); ok {
		return a, nil
	}
	a, err := ask()
	if err == nil && !a.empty() {
		a.Schema, a.Of, a.Asked = rolesSchema, of, c.now().UTC()
		// Without a cache it is asked again: nothing is lost.
		_ = c.write(path, a)
	}
	return a, err
}

func (a cachedAnswer) empty() bool { return len(a.Roles) == 0 && len(a.Names) == 0 }

// seal returns the HMAC of an answer, in hexadecimal digits.
func (c cachedRoles) seal(answer []byte) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write(answer)
	return hex.AppendEncode(nil, h.Sum(nil))
}

// read returns what is kept, if it is sealed, of this question, no older than it may be and
// not from the future, and if nobody else can have written it.
func (c cachedRoles) read(path, of string) (cachedAnswer, bool) {
	for _, p := range []string{c.dir, path} {
		if info, err := os.Lstat(p); err != nil || !mineAlone(info) {
			return cachedAnswer{}, false
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return cachedAnswer{}, false
	}
	seal, answer, _ := bytes.Cut(b, []byte("\n"))
	var a cachedAnswer
	if !hmac.Equal(seal, c.seal(answer)) || json.Unmarshal(answer, &a) != nil {
		return cachedAnswer{}, false
	}
	if a.Schema != rolesSchema || a.Of != of || a.empty() {
		return cachedAnswer{}, false
	}
	age := c.now().Sub(a.Asked)
	return a, age >= 0 && age < rolesKept
}

// mineAlone reports whether a folder or a file is the user's own, and no one else's to write.
func mineAlone(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0 &&
		(info.IsDir() || info.Mode().IsRegular())
}

// write keeps an answer: whole, or not at all.
func (c cachedRoles) write(path string, a cachedAnswer) error {
	answer, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	return replaceFile(path, slices.Concat(c.seal(answer), []byte("\n"), answer))
}

// replaceFile puts a file of mode 0600 in the place of the one that is there, or makes it: whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := renameio.TempFile(filepath.Dir(path), path) // 0600; WriteFile keeps the mode of what was there
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.CloseAtomicallyReplace()
	}
	return errors.Join(err, f.Cleanup())
}

// cacheDir returns the folder for what can be asked for again; "" if there is none.
func (a *App) cacheDir() string {
	if dir := a.Getenv(EnvCacheHome); filepath.IsAbs(dir) {
		return filepath.Join(dir, "taskiam")
	}
	if home := a.Getenv(envHome); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache", "taskiam")
	}
	return ""
}

// roles returns the cloud as a source of roles, with the answers kept in a folder.
func (a *App) roles(client *gcp.Client) lifecycle.Roles {
	dir := a.cacheDir()
	if dir == "" {
		return client
	}
	key, err := a.stateKey("roles")
	if err != nil {
		return client // what could be kept could not be believed
	}
	cloud, endpoint := client.Cloud()
	return cachedRoles{
		Roles: client, of: cloud + " " + endpoint, dir: filepath.Join(dir, "roles"), key: key, now: a.Now,
	}
}

// keySize is the size of a key of the state folder.
const keySize = 32

// stateKey returns the key of this name in the state folder, which nobody else can read. It is
// made when it is first needed.
func (a *App) stateKey(name string) ([]byte, error) {
	state, err := a.StateDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(state, name+".key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = a.makeKey(path); err == nil {
			key, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil || len(key) != keySize || !mineAlone(info) || info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Other,
			"reading the key %s: it is not whole, or not this user's alone; once it is removed, another is made", path)
	}
	return key, nil
}

// makeKey makes a key, whole or not at all. One that another process has made meanwhile stays.
func (a *App) makeKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	key := make([]byte, keySize)
	if _, err := io.ReadFull(a.Random, key); err != nil {
		return err
	}
	f, err := renameio.TempFile(filepath.Dir(path), path) // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(key)
	// A key that a power loss has cut short would be there for good.
	if err = errors.Join(err, f.Sync()); err == nil {
		if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return errors.Join(err, f.Cleanup())
}
