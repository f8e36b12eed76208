package isolate

import (
	"os"
	"path/filepath"
	"slices"
)

// etc is what programs need of /etc. It is a list of what is shown, because any other file
// may be a secret: root can read /etc/shadow and the keys of the machine, and the user may
// be root.
var etc = []string{
	// Resolving names.
	"gai.conf", "group", "host.conf", "hosts", "nsswitch.conf", "passwd", "protocols", "resolv.conf", "services",
	// Certificates of authorities; not ssl/private and pki/tls/private.
	"ca-certificates", "ca-certificates.conf", "crypto-policies", "pki/ca-trust", "pki/tls/cert.pem", "pki/tls/certs", "pki/tls/openssl.cnf",
	"ssl/cert.pem", "ssl/certs", "ssl/openssl.cnf",
	// Finding and linking programs.
	"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
	// Languages, terminals, shells, runtimes.
	"bash.bashrc", "debian_version", "fonts", "inputrc", "locale.alias", "locale.conf", "localtime", "magic", "mime.types",
	"os-release", "perl", "profile", "profile.d", "python3", "shells", "terminfo", "timezone",
}

// switches are the parts of /proc that are about the machine and not about processes. Its
// files belong to root, and for most of them the kernel checks only the user number, no
// capability: root in a sandbox, which has root's number outside, could have the kernel
// run any program (sys/kernel/core_pattern). Bubblewrap covers only the folders that can
// themselves be written to.
var switches = []string{
	"acpi", "asound", "bus", "driver", "fs", "irq", "mtrr", "pressure", "scsi", "sys", "sysrq-trigger",
}

// hidden are files of /proc that show what no namespace covers: the keys of all users.
var hidden = []string{"key-users", "keys"}

// roots are the folders in which the machine's software may be.
var roots = []string{"/bin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/opt", "/sbin", "/usr"}

// System finds the machine's own software, read-only: /usr and what belongs to it, /opt,
// what programs need of /etc, and what of /proc is about the machine.
func System() []Mount { return system(os.Lstat, os.Readlink, filepath.Glob, os.ReadDir) }

func system(
	lstat func(string) (os.FileInfo, error), readlink func(string) (string, error), glob func(string) ([]string, error),
	readDir func(string) ([]os.DirEntry, error),
) []Mount {
	var out []Mount
	there := func(path string) bool { _, err := lstat(path); return err == nil }
	for _, path := range roots {
		if target, err := readlink(path); err == nil {
			out = append(out, Mount{Link, target, path})
		} else if there(path) {
			out = append(out, Mount{BindReadOnly, path, path})
		}
	}
	for _, name := range etc {
		if path := filepath.Join("/etc", name); there(path) {
			out = append(out, Mount{BindReadOnly, path, path})
		}
	}
	if java, err := glob("/etc/java-*"); err == nil {
		for _, path := range java {
			out = append(out, Mount{BindReadOnly, path, path})
		}
	}
	for _, name := range switches {
		if path := filepath.Join("/proc", name); there(path) {
			out = append(out, Mount{BindReadOnly, path, path})
		}
	}
	return append(out, secrets(readDir)...)
}

// secrets covers the files of /proc about the machine that are hidden, or that only root can
// read: root in a sandbox has root's number, and could.
func secrets(readDir func(string) ([]os.DirEntry, error)) []Mount {
	entries, err := readDir("/proc")
	if err != nil {
		return nil // there is nothing to hide
	}
	var out []Mount
	for _, entry := range entries {
		if !entry.Type().IsRegular() || slices.Contains(switches, entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil || info.Mode().Perm()&0o004 == 0 || slices.Contains(hidden, entry.Name()) {
			out = append(out, Mount{BindReadOnly, os.DevNull, filepath.Join("/proc", entry.Name())})
		}
	}
	return out
}
