#!/bin/bash
# Runs the hooks in ci/ under the systems' own runners, as far as those run offline,
# against an emulator of its own. What it needs it installs, into a cache: act and
# actionlint by go install, node and gitlab-ci-local by npm; bats, shellcheck, rsync, jq
# and bubblewrap are Debian's, and are installed by root alone. Its last line counts.
set -uo pipefail
shopt -s extglob

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
tools="${CI_HOOKS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/taskiam-ci-hooks}"
work="$(mktemp -d)"
emulator=""
finish() {
  [[ -z "$emulator" ]] || kill "$emulator"
  rm -rf "$work"
}
trap finish EXIT
give_up() {
  echo "$1" >&2
  exit 1
}

# The tools.
mkdir -p "$tools/bin"
install_go() { [[ -x "$tools/bin/$1" ]] || GOBIN="$tools/bin" go install "$2" || give_up "no $1"; }
install_go actionlint github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
install_go act github.com/nektos/act@v0.2.89
if [[ ! -e "$tools/node_modules/.installed" ]]; then
  [[ -e "$tools/package.json" ]] || echo '{"private": true}' >"$tools/package.json"
  npm install --prefix "$tools" --no-audit --no-fund node@24 gitlab-ci-local@4.75.1 js-yaml@4.1.0 ajv@8.20.0 \
    @circleci/circleci-config-parser@0.10.0-alpha.3 >"$work/npm" 2>&1 || { cat "$work/npm"; give_up "npm failed"; }
  touch "$tools/node_modules/.installed"
fi
# The Action says that it needs node 24; a runner may have an older one.
if [[ ! -e "$tools/node20/.installed" ]]; then
  npm install --prefix "$tools/node20" --no-audit --no-fund node@20 >"$work/npm" 2>&1 || { cat "$work/npm"; give_up "npm failed"; }
  touch "$tools/node20/.installed"
fi
missing=()
for program in bats shellcheck rsync jq; do command -v "$program" >/dev/null || missing+=("$program"); done
command -v bwrap >/dev/null || missing+=(bubblewrap)
if ((${#missing[@]})) && [[ "$(id -u)" == 0 ]]; then
  { apt-get install -y "${missing[@]}" || { apt-get update && apt-get install -y "${missing[@]}"; }; } >"$work/apt" 2>&1 || { cat "$work/apt"; give_up "apt-get failed"; }
elif ((${#missing[@]})); then
  give_up "missing: apt-get install ${missing[*]}"
fi
(cd "$root" && go build -o "$work/bin/taskiam" ./cmd/taskiam) || give_up "no taskiam"
cloudbuild="$(cd "$root" && go list -m -f '{{.Dir}}' google.golang.org/api)/cloudbuild/v1/cloudbuild-api.json"

# Nothing of the system that this runs in itself.
path="$work/bin:$tools/bin:$tools/node_modules/.bin:/usr/local/bin:/usr/bin:/bin"
mkdir -p "$work"/{home,state,cache,config,keep,tmp,shell}
# The lines of the file "vars" are the environment of every job.
printf '%s\n' "PATH=$path" "HOME=$work/home" "XDG_STATE_HOME=$work/state" "XDG_CACHE_HOME=$work/cache" "XDG_CONFIG_HOME=$work/config" \
  "TMPDIR=$work/tmp" "KEEP=$work/keep" "GIT_CONFIG_GLOBAL=$work/home/gitconfig" "LANG=C.UTF-8" "CI=true" "COLUMNS=1000" >"$work/vars" # act has a terminal
printf '[user]\n\tname = a\n\temail = a@b.c\n[safe]\n\tdirectory = *\n' >"$work/home/gitconfig"
clean() {
  local -a vars
  mapfile -t vars <"$work/vars"
  env -i "${vars[@]}" "$@"
}
mapfile -t first <"$work/vars"
env -i "${first[@]}" "$work/bin/taskiam" emulator --addr 127.0.0.1:0 >"$work/emulator.log" 2>&1 &
emulator=$!
clean taskiam emulator env --wait 60s >"$work/env" || give_up "no emulator"
sed -n "s/^export //p" "$work/env" | tr -d "'" >>"$work/vars"
clean taskiam emulator snapshot >"$work/before"

# A repository with the hooks and a task in it.
repo="$work/repo"
mkdir -p "$repo/.github/workflows"
cp -r "$root/ci" "$repo/ci"
cp "$root/tasks/demo.toml" "$repo/task.toml"
sed 's/^deliver = .*/deliver = "token"/' "$repo/task.toml" >"$repo/token.toml"
cp -r "$repo/ci/github" "$repo/ci/lost"
mv "$repo/ci/lost/main.js" "$repo/ci/lost/begin.js"
echo "process.env.GITHUB_STATE += '.lost'; require('./begin.js');" >"$repo/ci/lost/main.js"
cp "$root/ci/test/github.yml" "$repo/.github/workflows/hooks.yml"
cp "$root/ci/test/gitlab.yml" "$repo/.gitlab-ci.yml"
clean git init -q -b main "$repo"
clean git -C "$repo" add -A
clean git -C "$repo" commit -qm hooks
clean git -C "$repo" remote add origin "$repo"
printf '%s\n' "REPO=$repo" >>"$work/vars"

passed=0 failed=0
# check NAME FUNCTION runs one check, in a shell that ends at the first thing that fails. With ONLY, a pattern of bash's, it
# runs those whose names match.
check() {
  # shellcheck disable=SC2254 # a pattern
  case "$1" in ${ONLY:-*}) ;; *) return ;; esac
  rm -rf "$work/keep" && mkdir "$work/keep"
  # In the condition of an if, set -e would be switched off.
  (set -eE; trap 'echo "line $LINENO: $BASH_COMMAND"' ERR; "$2") >"$work/log" 2>&1
  local code=$?
  if ((code == 0)); then
    passed=$((passed + 1))
    echo "ok      $1"
  else
    failed=$((failed + 1))
    echo "FAILED  $1"
    sed 's/^/        /' "$work/log"
  fi
}

# as_before fails if anything of a run is left in the cloud or on this machine.
as_before() {
  clean taskiam emulator snapshot | cmp - "$work/before"
  [[ -z "$(find "$work/tmp" "$work/cache" "$work/home" -name 'taskiam-*' -not -path '*/node_modules/*' -not -path '*.git*' -print)" ]]
}
# secret_free FILE fails if a line of the key that the job has kept is in it.
secret_free() {
  jq -r .private_key "$work/keep/key.json" | grep -e '^[^-]' >"$work/lines" # no empty line, which is in everything
  [[ "$(wc -l <"$work/lines")" -gt 20 ]]
  if grep -F -f "$work/lines" "$1"; then false; fi
}
has() { grep -q -e "$1" "$2" || { cat "$2"; false; }; }
times() { [[ "$(grep -c -e "$2" "$3")" == "$1" ]] || { cat "$3"; echo "not $1 times: $2"; false; }; }
ends_with() { # CODE FILE CMD...
  local want="$1" out="$2" code=0
  shift 2
  "$@" >"$out" 2>&1 || code=$?
  [[ "$code" == "$want" ]] || { cat "$out"; echo "it ended with $code"; false; }
}

# GitHub Actions.
lint_github() {
  clean actionlint -no-color "$repo/.github/workflows/hooks.yml" "$root"/.github/workflows/*.yml "$root/ci/github/sweep.yml"
}
act_job() { cd "$repo" && clean act -P ubuntu-latest=-self-hosted --env KEEP="$work/keep" --env REPO="$repo" -W .github/workflows/hooks.yml -j "$1" push; }
github_success() {
  ends_with 0 "$work/out" act_job success
  has 'output ti-nightly-rep-.*, environment ti-nightly-rep-' "$work/out"
  has 'nothing is left' "$work/out"
  has '\*\*\*' "$work/out"
  secret_free "$work/out"
  as_before
}
github_failure() {
  ends_with 1 "$work/out" act_job failure
  has 'Failure - Main exit 3' "$work/out"
  has 'nothing is left' "$work/out"
  as_before
}
github_cancelled() {
  # In a process group of its own, as a person at a terminal would interrupt it.
  set -m
  act_job cancelled >"$work/out" 2>&1 &
  local act=$!
  set +m
  for _ in $(seq 300); do [[ -e "$work/keep/at-work" ]] && break; sleep 0.1; done
  [[ -e "$work/keep/at-work" ]]
  kill -INT -- "-$act"
  if wait "$act"; then false; fi
  has 'nothing is left' "$work/out"
  as_before
}
github_separate() {
  ends_with 0 "$work/out" act_job separate
  has 'as ti-nightly-rep-.*, emulator token none, state none' "$work/out"
  as_before
}
github_jobs() {
  ends_with 1 "$work/out" act_job down
  has 'agent as ti-nightly-rep-' "$work/out"
  has 'nothing is left' "$work/out"
  as_before
}
github_matrix() {
  ends_with 0 "$work/out" act_job matrix
  has 'one as ti-nightly-rep-' "$work/out"
  has 'two as ti-nightly-rep-' "$work/out"
  times 2 'nothing is left' "$work/out"
  as_before
}
github_twice() { # VERSION: of node
  ends_with 0 "$work/out" act_job twice
  has "^.* v$1\\." "$work/out"
  has 'as the second' "$work/out"
  times 2 'nothing is left' "$work/out"
  has 'auth removed its login' "$work/out"
  as_before
}
github_twice_20() {
  sed -i "s#^PATH=#PATH=$tools/node20/node_modules/.bin:#" "$work/vars"
  local code=0
  (set -e; github_twice 20) || code=$?
  sed -i "s#^PATH=.*#PATH=$path#" "$work/vars"
  return "$code"
}
github_twice_24() { github_twice 24; }
github_handed() {
  ends_with 0 "$work/out" act_job handed-down
  own="$(sed -n 's/.*own \([0-9a-v]\{15\}\)$/\1/p' "$work/out")" handed="$(sed -n 's/.*another job has \([0-9a-v]\{15\}\)$/\1/p' "$work/out")"
  has "run $own of nightly-report is down after.*nothing is left" "$work/out"
  has "run $handed of nightly-report is down after.*nothing is left" "$work/out"
  as_before
}
github_lost() {
  ends_with 1 "$work/out" act_job lost
  has 'all steps went well' "$work/out"
  has 'the state of this step is lost' "$work/out"
  times 1 'nothing is left' "$work/out" # of the other use of the Action
  # What it says ends it.
  clean taskiam down "$(sed -n 's/.*end it with: taskiam down \([0-9a-v]\{15\}\).*/\1/p' "$work/out" | head -1)"
  as_before
}
github_killed() {
  killing "$work/keep"
  ends_with 1 "$work/out" act_job killed
  times 2 'nothing is left' "$work/out"
  as_before
}

# GitLab.
gitlab() { cd "$repo" && clean gitlab-ci-local --force-shell-executor --variable KEEP="$work/keep" --variable TASKIAM_REPOSITORY="$repo" --variable TASKIAM_HANDOVER="$work/keep" "$@"; }
gitlab_success() {
  ends_with 0 "$work/out" gitlab success
  has 'as ti-nightly-rep-' "$work/out"
  has 'nothing is left' "$work/out"
  secret_free "$work/out"
  as_before
}
gitlab_separate() {
  ends_with 0 "$work/out" gitlab separate
  has 'as ti-nightly-rep-.*, job none' "$work/out"
  has 'nothing is left' "$work/out"
  as_before
}
gitlab_failure() {
  ends_with 1 "$work/out" gitlab failure
  has 'as ti-nightly-rep-' "$work/out"
  has 'nothing is left' "$work/out"
  as_before
}
gitlab_jobs() {
  ends_with 0 "$work/out" gitlab --needs down
  has 'agent as ti-nightly-rep-.*, login none' "$work/out"
  has 'nothing is left' "$work/out"
  as_before
}
gitlab_jobs_failure() {
  touch "$work/keep/agent-fails"
  ends_with 1 "$work/out" gitlab --needs down
  has 'agent as ti-nightly-rep-' "$work/out"
  has 'nothing is left' "$work/out"
  as_before
}
gitlab_own() {
  for job in own own-separate own-after; do
    ends_with 0 "$work/out" gitlab "$job"
    has 'as ti-nightly-rep-' "$work/out"
    has '> after$' "$work/out"
    has 'nothing is left' "$work/out"
    as_before
  done
}
gitlab_own_before() {
  ends_with 0 "$work/out" gitlab own-before
  has 'as nobody with /dev/null/' "$work/out"
  as_before
}
gitlab_stays() {
  ends_with 1 "$work/out" gitlab stays
  has 'not taken down: its journal is not here' "$work/out"
  mv "$work/state/taskiam/aside" "$work/state/taskiam/runs"
  clean taskiam down "$(grep -o -m 1 'taskiam down --ci=[a-z]* [0-9a-v]*\|run [0-9a-v]\{15\}' "$work/out" | grep -o '[0-9a-v]*$')"
  as_before
}
gitlab_killed() {
  # Kills the shell of the job, which is two above this one.
  # shellcheck disable=SC2016
  printf 'kill -KILL "$1"\n' >"$work/keep/kill"
  ends_with 1 "$work/out" gitlab killed
  has 'nothing is left' "$work/out"
  as_before
}
# killing puts a taskiam into a folder whose up is killed at work.
killing() {
  cat >"$1/taskiam" <<EOF
#!/bin/bash
[[ "\$1" == up ]] || exec $work/bin/taskiam "\$@"
touch "$1/known"
$work/bin/taskiam "\$@" &
for _ in \$(seq 3000); do
  sleep 0.002
  for journal in "\$XDG_STATE_HOME"/taskiam/runs/*.jsonl; do
    [[ "\$journal" -nt "$1/known" ]] && grep -q created "\$journal" && break 2
  done
done
kill -KILL \$!
wait \$!
EOF
  chmod +x "$1/taskiam"
}
gitlab_up_killed() {
  killing "$work/keep"
  ends_with 1 "$work/out" gitlab up-killed
  if grep 'not here' "$work/out"; then false; fi
  has 'is down after' "$work/out"
  as_before
}
gitlab_agent_own() {
  ends_with 0 "$work/out" gitlab --needs agent-own
  has 'agent as ti-nightly-rep-' "$work/out"
  ends_with 0 "$work/out" gitlab agent-own-script
  has 'as nobody with /dev/null/' "$work/out"
  ends_with 1 "$work/out" gitlab agent-alone
  has 'there is no delivery in this job' "$work/out"
  ends_with 0 "$work/out" gitlab down
  has 'nothing is left' "$work/out"
  as_before
}
gitlab_matrix() {
  ends_with 0 "$work/out" gitlab --needs matrix-down
  times 2 'nothing is left' "$work/out"
  as_before
}
gitlab_lost() {
  rm -rf "$repo/.taskiam" # other pipelines have workspaces of their own
  ends_with 1 "$work/out" gitlab lost
  has 'neither the artifact nor the dotenv report' "$work/out"
  as_before
}

# Buildkite.
lint_shell() { shellcheck "$root"/ci/buildkite/hooks/* "$root"/ci/shell/*.sh "$root"/ci/test/*.sh "$root/ci/test/buildkite.bats"; }
buildkite() {
  clean bats "$root/ci/test/buildkite.bats"
  as_before
}

# CircleCI and Cloud Build.
schemas() {
  # shellcheck disable=SC2016
  clean env CLOUDBUILD="$cloudbuild" PARAMETER_TASKIAM_PROJECT=acme-agents \
    PARAMETER_TASKIAM_COMMAND='echo "as $CLOUDSDK_CORE_ACCOUNT, job ${CIRCLE_WORKFLOW_JOB_ID:-none}"' \
    SCHEMAS="${SCHEMAS:-}" node "$root/ci/test/check.js" "$tools" "$root" "$work/shell"
  shellcheck -s bash -e SC2016 "$work"/shell/circleci-*.sh # the command is for another shell
  shellcheck -s sh -e SC1091 "$work"/shell/cloudbuild-*.sh "$work"/shell/sweep-*.sh
}
circleci() {
  local -a job=(env CIRCLECI=true CIRCLE_PROJECT_USERNAME=acme CIRCLE_PROJECT_REPONAME=app CIRCLE_WORKFLOW_JOB_ID=cafe CIRCLE_REPOSITORY_URL="$repo" BASH_ENV="$work/keep/bash_env" bash -eo pipefail)
  cd "$repo"
  ends_with 0 "$work/out" clean "${job[@]}" "$work/shell/circleci-up.sh"
  # A later step, which fails.
  # shellcheck disable=SC2016
  ends_with 3 "$work/step" clean "${job[@]}" -c 'echo "as $CLOUDSDK_CORE_ACCOUNT"; cp "$GOOGLE_APPLICATION_CREDENTIALS" "$KEEP"; exit 3'
  has '^as ti-nightly-rep-' "$work/step"
  secret_free "$work/out"
  secret_free "$work/keep/bash_env"
  ends_with 0 "$work/out" clean "${job[@]}" "$work/shell/circleci-down.sh"
  has 'nothing is left' "$work/out"
  ends_with 5 "$work/out" clean "${job[@]}" "$work/shell/circleci-down.sh" # again: what was kept is gone
  has 'taskiam down [0-9a-v]\{15\};' "$work/out"
  rm "$work/keep/bash_env" # a job of its own
  ends_with 0 "$work/out" clean "${job[@]}" "$work/shell/circleci-run.sh"
  has '^as ti-nightly-rep-.*, job none$' "$work/out"
  has 'nothing is left' "$work/out"
  ends_with 0 "$work/out" clean "${job[@]}" "$work/shell/circleci-sweep.sh"
  as_before
}
cloud_build() {
  # Its volume is at a path of the machine's root; here it is below the test's folder.
  mkdir "$work/keep/volume"
  sed -i "s#/taskiam/#$work/keep/volume/#g" "$work"/shell/cloudbuild-*.sh
  # shellcheck disable=SC2016
  printf '#!/bin/sh\necho "as $CLOUDSDK_CORE_ACCOUNT"; exit 7\n' >"$repo/agent.sh"
  chmod +x "$repo/agent.sh"
  local -a step=(env TASKIAM_CI_JOB=cloudbuild:acme:b1 XDG_STATE_HOME="$work/keep/volume/state" TMPDIR="$work/keep/volume" sh)
  cd "$repo"
  ends_with 0 "$work/out" clean "${step[@]}" "$work/shell/cloudbuild-0.sh"
  ends_with 0 "$work/out" clean sh "$work/shell/cloudbuild-1.sh"
  has '^as ti-nightly-rep-' "$work/out"
  mv "$work/keep/volume/run" "$work/keep/run"
  ends_with 5 "$work/out" clean "${step[@]}" "$work/shell/cloudbuild-2.sh"
  mv "$work/keep/run" "$work/keep/volume/run"
  ends_with 7 "$work/out" clean "${step[@]}" "$work/shell/cloudbuild-2.sh"
  has 'nothing is left' "$work/out"
  ends_with 0 "$work/out" clean env PROJECT=acme-agents sh "$work/shell/sweep-0.sh"
  as_before
}

check "GitHub: actionlint" lint_github
check "GitHub: a job that succeeds" github_success
check "GitHub: a step that fails" github_failure
check "GitHub: a job that is cancelled" github_cancelled
check "GitHub: the agent in a sandbox" github_separate
check "GitHub: hooks and agent in jobs of their own" github_jobs
check "GitHub: a matrix on one manifest" github_matrix
check "GitHub: the Action twice, after auth, with node 24" github_twice_24
check "GitHub: the same, with node 20" github_twice_20
check "GitHub: a run for another job, and one of its own" github_handed
check "GitHub: a runner that loses the state" github_lost
check "GitHub: an up that is killed" github_killed
check "GitLab: a job that succeeds" gitlab_success
check "GitLab: the agent in a sandbox" gitlab_separate
check "GitLab: a job that fails" gitlab_failure
check "GitLab: hooks and agent in jobs of their own" gitlab_jobs
check "GitLab: the same, and the agent fails" gitlab_jobs_failure
check "GitLab: before_script and after_script of the job's own" gitlab_own
check "GitLab: a script without the template's before_script" gitlab_own_before
check "GitLab: a run that cannot be taken down" gitlab_stays
check "GitLab: a job whose shell is killed" gitlab_killed
check "GitLab: an up that is killed" gitlab_up_killed
check "GitLab: jobs of the agent with scripts of their own" gitlab_agent_own
check "GitLab: a matrix on one manifest" gitlab_matrix
check "GitLab: a job of down that knows nothing" gitlab_lost
check "all: shellcheck" lint_shell
check "Buildkite: the hooks under bats" buildkite
check "CircleCI, Cloud Build: schemas, and shellcheck on what is in them" schemas
check "CircleCI: its steps" circleci
check "Cloud Build: its steps" cloud_build
[[ -n "${SCHEMAS:-}" ]] || echo "CircleCI's whole schema, and SchemaStore's others, are in no registry: SCHEMAS=FOLDER has them looked at too"
echo "$passed passed, $failed failed"
((failed == 0))
