// The second half of the Action: it runs when the job ends, whatever happened in it.
'use strict';

const fs = require('fs');
const path = require('path');
const { spawnSync } = require('child_process');
const { env, fail, input, made, own, runIn } = require('./job.js');

const incomplete = 5; // taskiam's own code, if something stays

// lost says what is known of a run of which the runner has lost what main.js told it. Without that there is
// no program that could be trusted to take it down: what is in PATH now, any step may have put there.
function lost() {
  const runs = made().map((dir) => runIn(path.join(dir, 'run'))).filter(Boolean);
  if (runs.length === 0 && /^[0-9a-v]{15}$/.test(env.TASKIAM_CI_RUN || '')) runs.push(env.TASKIAM_CI_RUN);
  const end = runs.length === 0 ? 'which run is up, say: taskiam status, on this runner; and what is left: taskiam sweep --project PROJECT'
    : `on this runner, end it with: ${runs.map((run) => `taskiam down ${run}`).join('; ')}`;
  fail(`the state of this step is lost (the runner has none of it): ${runs.length ? `run ${runs.join(' and run ')} is perhaps still up` : 'perhaps a run is still up'}; ${end}`);
  return incomplete;
}

// down takes down what main.js brought up, and returns its exit code: 0, unless
// something stayed.
function down() {
  if (!env.STATE_command) return own.includes(input('command') || 'up') ? lost() : 0;
  if (env.STATE_down !== 'yes') return 0; // main.js did not get that far
  if (!env.STATE_dir || !env.STATE_taskiam) return lost();
  // taskiam tells which run it is before it begins it, so that without an id there is none. It is never the
  // environment that says it, which every step of the job can set, nor the job's label alone, which all of
  // its runs have. The file only chooses among runs with the label.
  const file = path.join(env.STATE_dir, 'run');
  const run = env.STATE_run || runIn(file);
  if (!run && env.STATE_code === '0') return lost();
  if (!run) {
    console.log('no run was begun here: there is nothing to take down');
    return 0;
  }
  const which = env.STATE_run ? [run] : ['--dotenv', file];
  const vars = {
    ...env, HOME: env.STATE_HOME, XDG_STATE_HOME: env.STATE_XDG_STATE_HOME, TASKIAM_CI_INDEX: env.STATE_index || '',
    TASKIAM_CI_RUN: '', TASKIAM_CI_ACCOUNT: env.STATE_account || '', TASKIAM_CI_PROJECT: env.STATE_project || '',
  };
  // The job's own login again, not a run's, nor that of an action in between. If the inputs name none,
  // taskiam's journal knows with what it logged in.
  delete vars.GOOGLE_APPLICATION_CREDENTIALS;
  if (env.STATE_login) vars.GOOGLE_APPLICATION_CREDENTIALS = env.STATE_login;
  if (env.STATE_member) vars.TASKIAM_OPERATOR_MEMBER = env.STATE_member;
  // An up that outlived main.js may still be at work on it.
  const result = spawnSync(env.STATE_taskiam, ['down', '--ci=github', '--wait', '3m', ...which], { stdio: ['ignore', 'inherit', 'inherit'], env: vars });
  if (result.error) {
    fail(`${env.STATE_taskiam} is gone: ${result.error.message}; run ${run} is still up: on this runner, end it with: taskiam down ${run}`);
    return incomplete;
  }
  return result.status === null ? incomplete : result.status;
}

process.exitCode = down();
// The file in it asks for the job's identity.
for (const dir of env.STATE_dir ? [env.STATE_dir] : made()) fs.rmSync(dir, { recursive: true, force: true });
