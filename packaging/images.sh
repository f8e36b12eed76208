#!/bin/bash
# The images of a release, by podman.
#
#   images.sh build DIST             of the archives in DIST, for amd64 and arm64
#   images.sh test DIST              builds them twice, compares, and runs those of this machine
#   images.sh push REGISTRY TAG      what was built; prints NAME=DIGEST. REGISTRY_USER and REGISTRY_TOKEN log in
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
names=(taskiam taskiam-emulator taskiam-sweep)
arches=(amd64 arm64)
fail() {
  echo "images: $1" >&2
  exit 1
}

# Images are kept apart from the user's own. Without systemd, podman needs to be told about cgroups.
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
storage="${IMAGES_STORAGE:-$here/../bin/images}"
use() {
  pod=(podman --root "$1/storage" --runroot "$1/run")
  [[ -d /run/systemd/system ]] || pod+=(--cgroup-manager cgroupfs)
  command -v crun >/dev/null || pod+=(--runtime runc)
}
limits=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000)

build() { # DIST
  local context arch name version program
  version="$(cd "$1" && ls taskiam_*_linux_amd64.tar.gz)" || fail "there are no archives in $1"
  version="${version#taskiam_}" version="${version%_linux_amd64.tar.gz}"
  context="$(mktemp -d)"
  for arch in "${arches[@]}"; do
    local root="$context/root-$arch"
    install -d -m 0755 "$root" "$root/etc/ssl/certs" "$root/usr/bin"
    install -d -m 1777 "$root/tmp"
    tar -xzf "$1/taskiam_${version}_linux_$arch.tar.gz" -C "$root/usr/bin" taskiam
    install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    echo 'taskiam:x:65532:65532::/state:/nonexistent' >"$root/etc/passwd"
    echo 'taskiam:x:65532:' >"$root/etc/group"
    program="$root/usr/bin/taskiam"
  done
  install -d -m 0755 "$context/state"
  install -d -m 0700 "$context/state/state"
  for name in "${names[@]}"; do
    "${pod[@]}" manifest rm "localhost/$name:$version" >/dev/null 2>&1 || true
    for arch in "${arches[@]}"; do
      # The health check is known to the format of docker alone.
      "${pod[@]}" build -q --format docker --isolation chroot "${limits[@]}" --platform "linux/$arch" \
        --build-arg "TARGETARCH=$arch" --build-arg "VERSION=$version" --timestamp "$(stat -c %Y "$program")" \
        --target "$name" --manifest "localhost/$name:$version" -f "$here/Containerfile" "$context" >/dev/null
    done
  done
  rm -rf "$context"
}

push() { # REGISTRY TAG
  local name version="${2#v}" digest auth="$HOME/.docker/config.json"
  mkdir -p "${auth%/*}"
  [[ -z "${REGISTRY_TOKEN:-}" ]] || "${pod[@]}" login --authfile "$auth" --username "$REGISTRY_USER" --password-stdin "${1%%/*}" <<<"$REGISTRY_TOKEN" >&2
  digest="$(mktemp)"
  for name in "${names[@]}"; do
    "${pod[@]}" manifest push --all --authfile "$auth" --digestfile "$digest" "localhost/$name:$version" "docker://$1/$name:$version" >&2
    echo "$name=$(cat "$digest")"
  done
  rm "$digest"
}

# describe prints the layers and the configuration of every image, without the name of the container that built it.
describe() { # VERSION
  local name image
  for name in "${names[@]}"; do
    for image in $("${pod[@]}" manifest inspect "localhost/$name:$1" | sed -n 's/.*"digest": "\(.*\)".*/\1/p'); do
      "${pod[@]}" image inspect --format '{{.Os}}/{{.Architecture}} {{.RootFS.Layers}} {{.Created}} {{json .HealthCheck}} {{.User}} {{json .Config.Entrypoint}} {{json .Config.Env}} {{json .Config.Labels}} {{json .Config.Volumes}} {{json .Config.ExposedPorts}}' \
        "localhost/$name@$image"
    done
  done
}

test_images() { # DIST
  local work version name
  command -v podman >/dev/null || { echo "images: skipped: there is no podman" && exit 0; }
  work="$(mktemp -d)"
  # shellcheck disable=SC2064
  trap "trap - EXIT; use '$work/one'; \"\${pod[@]}\" rm -f -t 0 -a >/dev/null 2>&1 || true; rm -rf '$work'" EXIT
  version="$(cd "$1" && ls taskiam_*_linux_amd64.tar.gz)"
  version="${version#taskiam_}" version="${version%_linux_amd64.tar.gz}"
  use "$work/two"
  build "$1"
  describe "$version" >"$work/second"
  use "$work/one"
  build "$1"
  describe "$version" >"$work/first"
  diff "$work/first" "$work/second" || fail "two builds are not the same"
  [[ "$(grep -c '^linux/amd64 ' "$work/first") $(grep -c '^linux/arm64 ' "$work/first")" == "3 3" ]] || fail "not every image is there for both architectures: $(cat "$work/first")"
  [[ "$(grep -c 'emulator status' "$work/first")" == 0 && "$(grep -c '"status","--wait"' "$work/first")" == 2 ]] || fail "the emulator has no health check: $(cat "$work/first")"

  # As little as there is: no network, nothing to write to but the volume, no rights.
  local bare=("${limits[@]}" --read-only --cap-drop all --security-opt no-new-privileges)
  "${pod[@]}" run --rm "${bare[@]}" --network none "localhost/taskiam:$version" version --json | grep -q "\"version\": \"v$version\"" || fail "the operator's image does not say its version"
  "${pod[@]}" run -d --name emulator "${bare[@]}" --network none -v company:/state "localhost/taskiam-emulator:$version" >/dev/null
  "${pod[@]}" exec emulator /usr/bin/taskiam emulator status --wait 60s || fail "the emulator does not answer: $("${pod[@]}" logs emulator 2>&1)"
  "${pod[@]}" healthcheck run emulator || fail "the health check fails"
  login() { sha256sum <"$("${pod[@]}" volume inspect --format '{{.Mountpoint}}' company)/taskiam/emulator/$1"; }
  token="$(login token)" ca="$(login ca.pem)"
  inside=(--network container:emulator -v company:/state -e TASKIAM_EMULATOR_HOST=127.0.0.1:8790
    -e TASKIAM_EMULATOR_TOKEN_FILE=/state/taskiam/emulator/token -e TASKIAM_EMULATOR_CA=/state/taskiam/emulator/ca.pem)
  "${pod[@]}" run --rm "${bare[@]}" "${inside[@]}" --tmpfs /tmp -v "$here/../tasks:/tasks:ro" "localhost/taskiam:$version" \
    run /tasks/demo.toml -- /usr/bin/taskiam version || fail "a task does not run in the operator's image"
  "${pod[@]}" run --rm "${bare[@]}" "${inside[@]}" --tmpfs /tmp "localhost/taskiam-sweep:$version" --project acme-agents || fail "sweep fails"
  "${pod[@]}" restart -t 20 emulator >/dev/null
  "${pod[@]}" exec emulator /usr/bin/taskiam emulator status --wait 60s || fail "the emulator does not come back"
  [[ "$token $ca" == "$(login token) $(login ca.pem)" ]] || fail "after a restart, clients would have to be set up anew"
  "${pod[@]}" stop -t 20 emulator >/dev/null
  [[ "$("${pod[@]}" inspect --format '{{.State.ExitCode}}' emulator)" == 0 ]] || fail "the emulator does not end by itself when it is told to"
  if "${pod[@]}" exec emulator /usr/bin/taskiam emulator status 2>/dev/null; then fail "an emulator that is gone is said to be healthy"; fi
  echo "images: ${#names[@]} images for ${arches[*]}, two builds the same; those of this machine run"
}

use "$storage"
case "${1:-}" in
build) build "$2" ;;
test) test_images "$2" ;;
push) push "$2" "$3" ;;
*) fail "the first word is build, test or push" ;;
esac
