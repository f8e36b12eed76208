#!/bin/bash
# Follows docs/install.md for Linux, in containers without a network in which nothing of taskiam is: each line as it
# stands there, as an ordinary user with sudo, against a server that stands for the one of releases. Each line is run
# once with the files of DIST, and once with a byte of one of them changed, which has to be refused.
#
#   install-check.sh DIST            needs podman, debootstrap and Go; ROOTFS names a Debian root that is there already
#
# What stands in: the rpm package is installed by rpm in Debian, whose rpm wants --force-debian; there is no dnf here.
set -euo pipefail
self="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$(basename "${BASH_SOURCE[0]}")"
repo="${self%/*}/.."
fail() {
  echo "install-check: $1" >&2
  exit 1
}

# line prints the first block below a heading of docs/install.md.
line() { awk -v heading="## $1" '$0 == heading { on = 1 } on && /^```$/ { exit } on && block { print } on && /^```sh$/ { block = 1 }' "$repo/docs/install.md"; }

# Inside of a container: inside SYSTEM CHANGED, with the line on standard input.
inside() {
  cat >/tmp/line
  useradd -m -s /bin/bash somebody
  echo 'somebody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/somebody
  printf '#!/bin/sh\nexec /usr/bin/rpm --force-debian "$@"\n' >/usr/local/sbin/rpm && chmod 755 /usr/local/sbin/rpm
  mkfifo /tmp/ready
  /tool serve -dir /dist -trust /usr/local/share/ca-certificates/release.crt -change "$2" >/tmp/ready &
  read -r _ </tmp/ready
  update-ca-certificates >/dev/null 2>&1
  find / -xdev -path /proc -prune -o -print | sort >/tmp/before
  cd /home/somebody
  if ! su somebody -c 'set -e; . /tmp/line' >/tmp/said 2>&1; then
    [[ -n "$2" ]] || { cat /tmp/said && fail "the line for $1 fails"; }
    ! command -v taskiam >/dev/null || fail "a changed file of $1 was installed"
    grep -q "$2: FAILED" /tmp/said || { cat /tmp/said && fail "it was refused for something else"; }
    return
  fi
  [[ -z "$2" ]] || fail "a changed file of $1 was accepted"
  su somebody -c 'taskiam version' || fail "the program does not run"
  su somebody -c 'MANPAGER=cat man taskiam-run' | grep -q 'taskiam run task.toml -- ' || fail "there is no manual of run"
  case "$1" in
  deb) [[ -e /usr/share/bash-completion/completions/taskiam && -e /usr/share/doc/taskiam/THIRD_PARTY_NOTICES.txt ]] || fail "the package lacks something" ;;
  rpm) [[ -e /usr/share/zsh/site-functions/_taskiam && -e /usr/share/doc/taskiam/copyright ]] || fail "the package lacks something" ;;
  esac
  case "$1" in
  deb) apt-get remove -y --purge taskiam >/tmp/said 2>&1 ;;
  rpm) rpm -e taskiam >/tmp/said 2>&1 ;;
  *) rm -r /usr/local/bin/taskiam /usr/local/share/man/man1/taskiam*.1 ;;
  esac || { cat /tmp/said && fail "$1 cannot be removed"; }
  rm -rf /home/somebody/*
  find / -xdev -path /proc -prune -o -print | sort | comm -13 /tmp/before - | grep taskiam && fail "this is left of $1"
  return 0
}

if [[ "${1:-}" == inside ]]; then
  inside "$2" "$3"
  exit
fi

dist="$(cd "${1:?the folder of the release}" && pwd)"
for program in podman debootstrap; do
  command -v "$program" >/dev/null || { echo "install-check: skipped: there is no $program" && exit 0; }
done
work="$(mktemp -d)"
export STORAGE_DRIVER=vfs
pod=(podman --root "$work/storage" --runroot "$work/run")
[[ -d /run/systemd/system ]] || pod+=(--cgroup-manager cgroupfs)
command -v crun >/dev/null || pod+=(--runtime runc)
trap '"${pod[@]}" rm -f -t 0 -a >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
rootfs="${ROOTFS:-$work/rootfs}"
[[ -d "$rootfs/usr" ]] || debootstrap --variant=minbase --include=bubblewrap,ca-certificates,curl,man-db,procps,rpm,sudo bookworm "$rootfs" >"$work/log" 2>&1 ||
  { tail "$work/log" && fail "debootstrap failed"; }
# A minimal image may leave the manual out; this is about systems that have one.
tar -C "$rootfs" --exclude ./proc/* --exclude ./sys/* --exclude ./dev/* -c . | "${pod[@]}" import - debian:check >/dev/null
(cd "$repo" && CGO_ENABLED=0 go build -tags urfave_cli_no_docs -o "$work/tool" ./internal/tools/release)

version="$(cd "$dist" && ls taskiam_*_linux_amd64.tar.gz)"
version="${version#taskiam_}" version="${version%_linux_amd64.tar.gz}"
arch="$(dpkg --print-architecture)"
try() { # SYSTEM HEADING FILE
  local changed text
  text="$(line "$2")"
  [[ "$text" == *"sha256sum --check"* ]] || fail "docs/install.md has no line that verifies below: $2"
  for changed in "" "$3"; do
    # The documents name the last release; another version is played by its number.
    printf '%s\n' "${text//0.1.0/$version}" | "${pod[@]}" run -i --rm --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --network none \
      --add-host github.com:127.0.0.1 -v "$work/tool:/tool:ro" -v "$dist:/dist:ro" -v "$self:/check:ro" debian:check \
      bash /check inside "$1" "$changed" || fail "$2${changed:+, with a changed file}"
    [[ -z "$changed" ]] && echo "install-check: $2: works, verifies, and is removed cleanly" || echo "install-check: $2: a changed file is refused"
  done
}
try deb "Debian, Ubuntu" "taskiam_${version}_$arch.deb"
try rpm "Fedora, RHEL, openSUSE" "taskiam-$version-1.$(uname -m).rpm"
try tar "Any Linux" "taskiam_${version}_linux_$arch.tar.gz"
