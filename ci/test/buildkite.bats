#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test has a shell of its own
# The hooks of the Buildkite plugin, against the emulator that `make ci-hooks` has started.

setup() {
  hooks="$BATS_TEST_DIRNAME/../buildkite/hooks"
  export BUILDKITE=true BUILDKITE_ORGANIZATION_SLUG=acme BUILDKITE_PIPELINE_SLUG=app BUILDKITE_BUILD_NUMBER=9
  export BUILDKITE_JOB_ID="job-$BATS_TEST_NUMBER-$$" BUILDKITE_BUILD_URL=https://buildkite.example/9
  export BUILDKITE_PLUGIN_TASKIAM_MANIFEST="$REPO/task.toml" TMPDIR="$BATS_TEST_TMPDIR"
  mkdir "$BATS_TEST_TMPDIR/bin"
  cat >"$BATS_TEST_TMPDIR/bin/buildkite-agent" <<'AGENT'
#!/bin/sh
[ "$1 $2" = "redactor add" ] && cat >"${0%/*}/redacted"
AGENT
  chmod +x "$BATS_TEST_TMPDIR/bin/buildkite-agent"
  PATH="$BATS_TEST_TMPDIR/bin:$PATH"
}

@test "a job that succeeds, and one that fails" {
  # shellcheck source=/dev/null
  . "$hooks/environment"
  [ -n "$TASKIAM_CI_RUN" ]
  [ "$(jq -r .client_email "$GOOGLE_APPLICATION_CREDENTIALS")" = "$CLOUDSDK_CORE_ACCOUNT" ]
  jq -e 'length > 20' "$BATS_TEST_TMPDIR/bin/redacted"
  run "$hooks/pre-exit"
  [ "$status" -eq 0 ]
  [[ "$output" == *"checked: nothing is left" ]]
  [ ! -e "$TASKIAM_DELIVERY" ]
}

@test "an environment hook that fails" {
  export BUILDKITE_PLUGIN_TASKIAM_MANIFEST=/nothing.toml
  run "$hooks/environment"
  [ "$status" -eq 2 ]
  run "$hooks/pre-exit"
  [ "$status" -eq 0 ]
  [[ "$output" == *"there is nothing to take down" ]]
}

@test "a manifest of the repository is the base branch's" {
  export BUILDKITE_PLUGIN_TASKIAM_MANIFEST=task.toml BUILDKITE_REPO="$REPO" BUILDKITE_PULL_REQUEST_BASE_BRANCH=main
  cd "$BATS_TEST_TMPDIR"
  # shellcheck source=/dev/null
  . "$hooks/environment"
  run "$hooks/pre-exit"
  [ "$status" -eq 0 ]
  [[ "$output" == *"checked: nothing is left" ]]
}
