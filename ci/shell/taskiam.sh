# shellcheck shell=sh
# taskiam in a shell script that may have your rights. For an agent, take instead
#
#     taskiam run --ci=generic --isolate task.toml -- ./my-agent
#
# Here, source this, then
#
#     taskiam_up task.toml
#     ./my-agent
#
# The manifest is read as it lies there: from a workspace, if that is where it is.
#
# It can be called again: what follows acts as the last run. What was brought up is taken down when the script ends, also when it fails, is told to
# end, or hangs up. A script that is killed (SIGKILL) takes nothing down: its access ends
# by itself, and `taskiam sweep` takes away the rest.

taskiam_up() {
  # By this label down finds its run if up was cut off.
  if [ -z "${TASKIAM_CI_JOB:-}" ]; then
    TASKIAM_CI_JOB="$(uname -n):$$:$(date +%s)"
    export TASKIAM_CI_JOB
  fi
  trap taskiam_down EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # In two steps: the code of a substitution inside eval would get lost.
  taskiam_begun=yes
  taskiam_access="$(taskiam up --ci=generic "$@")" || exit
  eval "$taskiam_access"
  taskiam_runs="${taskiam_runs:-} $TASKIAM_CI_RUN" # which is not exported: another program could set it
  unset taskiam_access taskiam_begun
}

# taskiam_down ends the script with its own code, or if that is 0, with that of down.
taskiam_down() {
  taskiam_code=$?
  trap - EXIT
  trap '' HUP INT TERM
  taskiam_stays=0
  for taskiam_run in ${taskiam_runs:-}; do
    taskiam down --ci=generic "$taskiam_run" || taskiam_stays=5
  done
  if [ -n "${taskiam_begun:-}" ]; then # and has failed, or was cut off
    taskiam down --ci=generic || taskiam_stays=5
  fi
  [ "$taskiam_code" -ne 0 ] || taskiam_code=$taskiam_stays
  exit "$taskiam_code"
}
