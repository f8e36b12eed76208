package isolate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is one process of this machine. It stays the same one even if its number is
// reused.
type Process struct {
	pid int
	dir int // a descriptor of its /proc/PID
}

// Self reports whether it is this process.
func (p Process) Self() bool { return p.pid == os.Getpid() }

// Belongs reports whether the process is in the sandbox, or in one that was made inside
// it. It waits until the sandbox has started.
func (b *Box) Belongs(p Process) bool {
	<-b.known
	return b.pids != "" && p.in(b.pids)
}

// in reports whether the process is in the pid namespace of that name (pid:[INODE]),
// or in one below.
func (p Process) in(namespace string) bool {
	ns, err := unix.Openat(p.dir, "ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == nil {
		var st unix.Stat_t
		err = unix.Fstat(ns, &st)
		if err == nil && fmt.Sprintf("pid:[%d]", st.Ino) == namespace {
			_ = unix.Close(ns)
			return true
		}
		parent := -1
		if err == nil {
			// This fails at the namespace of this process itself.
			parent, err = unix.IoctlRetInt(ns, unix.NS_GET_PARENT)
		}
		_ = unix.Close(ns)
		ns = parent
	}
	return false
}

// heldBy reports whether one of the processes that belong holds the socket that is bound
// to the client's address and connected to the server's.
func heldBy(client, server net.Addr, belongs func(Process) bool) (bool, error) {
	c, ok := client.(*net.TCPAddr)
	s, ok2 := server.(*net.TCPAddr)
	if !ok || !ok2 {
		return false, fmt.Errorf("looking up who is at %s: it is no address of TCP", client)
	}
	inode, err := inodeOf(c, s)
	if err != nil || inode == "" {
		return false, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	// Newest first: the sandbox's processes are mostly younger than the machine's own.
	slices.SortFunc(pids, func(a, b int) int { return b - a })
	return slices.ContainsFunc(pids, func(pid int) bool {
		return holds(pid, "socket:["+inode+"]", belongs)
	}), nil
}

func holds(pid int, socket string, belongs func(Process) bool) bool {
	dir, err := unix.Open(filepath.Join("/proc", strconv.Itoa(pid)), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // it has ended
	}
	defer unix.Close(dir)
	if !belongs(Process{pid, dir}) {
		return false
	}
	fd, err := unix.Openat(dir, "fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	fds := os.NewFile(uintptr(fd), "fd")
	defer fds.Close()
	names, err := fds.Readdirnames(-1)
	if err != nil {
		return false
	}
	target := make([]byte, len(socket)+1)
	for _, name := range names {
		if n, err := unix.Readlinkat(fd, name, target); err == nil && string(target[:n]) == socket {
			return true
		}
	}
	return false
}

// inodeOf returns the inode of the socket between the addresses; "" if there is none.
func inodeOf(client, server *net.TCPAddr) (string, error) {
	for _, table := range []struct {
		file string
		hex  func(*net.TCPAddr) string
	}{
		{"/proc/net/tcp", hex4},
		{"/proc/net/tcp6", hex6}, // a client may speak IPv4 through a socket for IPv6
	} {
		f, err := os.Open(table.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		from, to := table.hex(client), table.hex(server)
		inode := ""
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// sl local_address rem_address st queues timer retrnsmt uid timeout inode
			if field := strings.Fields(lines.Text()); len(field) > 9 && field[1] == from && field[2] == to {
				inode = field[9]
				break
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return "", fmt.Errorf("reading %s: %w", table.file, err)
		}
		if inode != "" {
			return inode, nil
		}
	}
	return "", nil
}

// hex4 and hex6 write an address as the kernel's tables do: as words in the order of
// this machine's bytes.
func hex4(a *net.TCPAddr) string {
	ip := a.IP.To4()
	if ip == nil {
		return ""
	}
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip), a.Port)
}

func hex6(a *net.TCPAddr) string {
	ip := a.IP.To16()
	var b strings.Builder
	for i := 0; i < len(ip); i += 4 {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(ip[i:]))
	}
	fmt.Fprintf(&b, ":%04X", a.Port)
	return b.String()
}
