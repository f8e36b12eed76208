// The second half of the Action: it runs when the job ends, whatever happened in it.
'use strict';

const fs = require('fs');
const path = require('path');
const { spawnSync } = require('child_process');

const env = process.env;

// down takes down what main.js brought up, and returns its exit code: 0, unless
// something stayed.
function down() {
  if (env.STATE_down !== 'yes') return 0; // main.js did not get that far
  const vars = { ...env, TASKIAM_CI_INDEX: env.STATE_index || '' };
  // The job's own login again, not the run's.
  if (env.STATE_login) vars.GOOGLE_APPLICATION_CREDENTIALS = env.STATE_login;
  if (env.STATE_member) vars.TASKIAM_OPERATOR_MEMBER = env.STATE_member;
  // Which run it is, say the state of the Action, or the file beside its login, or the job's
  // label. Never the environment: every step of the job can set that.
  if (!env.STATE_run) for (const name of ['TASKIAM_CI_RUN', 'TASKIAM_CI_ACCOUNT', 'TASKIAM_CI_PROJECT']) delete vars[name];
  const which = env.STATE_run ? [env.STATE_run] : ['--dotenv', path.join(env.STATE_dir, 'run')];
  const result = spawnSync(env.STATE_taskiam, ['down', '--ci=github', ...which], { stdio: ['ignore', 'inherit', 'inherit'], env: vars });
  if (result.error) {
    console.log(`::error title=taskiam::${env.STATE_taskiam} is gone: ${result.error.message}; what it brought up ends by itself, and with the nightly sweep`);
    return 5;
  }
  return result.status === null ? 5 : result.status;
}

process.exitCode = down();
// The file in it asks for the job's identity.
if (env.STATE_dir) fs.rmSync(env.STATE_dir, { recursive: true, force: true });
