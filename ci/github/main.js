// The first half of the Action. It needs nothing but node and the program taskiam.
'use strict';

const fs = require('fs');
const os = require('os');
const path = require('path');
const { spawn, spawnSync } = require('child_process');
const { env, fail, input, make, own } = require('./job.js');

// The token that fetches is for nothing else, and for no other program.
const token = input('token');
delete env.INPUT_TOKEN;

// save keeps a value for post.js. taskiam itself adds the id of the run, before it begins the run.
function save(name, value) {
  if (/[\r\n]/.test(String(value))) throw new Error(`the value of ${name} has more than one line`);
  if (!env.GITHUB_STATE) throw new Error('GITHUB_STATE is not set: what is brought up here could not be taken down');
  fs.appendFileSync(env.GITHUB_STATE, `${name}=${value}\n`);
}

// find returns where the program is, as an absolute path: what later steps put into PATH
// is not to be run when the job ends.
function find(program) {
  const places = program.includes('/') ? [path.resolve(program)] : (env.PATH || '').split(path.delimiter).map((dir) => path.resolve(dir, program));
  for (const place of places) {
    try {
      fs.accessSync(place, fs.constants.X_OK);
      if (fs.statSync(place).isFile()) return place;
    } catch { /* not here */ }
  }
  throw new Error(`there is no ${program} on this runner; install it in a step before this one, or name it in the input taskiam`);
}

// trusted returns the commit whose manifests count. A pull request's own would let
// whoever opens one grant themselves what they like, and the files in the workspace may
// be its, or have been changed by a step before this one.
function trusted() {
  const event = env.GITHUB_EVENT_PATH && fs.existsSync(env.GITHUB_EVENT_PATH) ? JSON.parse(fs.readFileSync(env.GITHUB_EVENT_PATH, 'utf8')) : {};
  if (event.pull_request) return event.pull_request.base && event.pull_request.base.sha;
  if (event.merge_group) return event.merge_group.base_sha;
  // A pull request that does not say what it is based on is refused.
  return env.GITHUB_BASE_REF || env.GITHUB_HEAD_REF ? '' : env.GITHUB_SHA;
}

// manifest writes the manifest of the trusted commit to a file, and returns its name. taskiam
// fetches the commit into a repository of its own, since objects and configuration of the
// workspace's may have been changed too.
function manifest(program, name, dir) {
  const commit = trusted();
  if (!/^[0-9a-f]{40,64}$/.test(commit || '')) throw new Error('this event does not say from which commit the manifest is to be taken');
  const file = path.posix.normalize(name);
  const vars = { ...env };
  delete vars.TASKIAM_GIT_LOGIN;
  if (token) vars.TASKIAM_GIT_LOGIN = `x-access-token:${token}`;
  const result = spawnSync(program, ['manifest', '--repository', input('repository'), '--commit', commit, file],
    { maxBuffer: 1 << 20, stdio: ['ignore', 'pipe', 'pipe'], env: vars });
  if (result.error) throw result.error;
  if (result.status !== 0) throw new Error(`reading the manifest: ${result.stderr.toString().trim()}`);
  const copy = path.join(dir, path.posix.basename(file));
  fs.writeFileSync(copy, result.stdout, { mode: 0o600 });
  console.log(`manifest: ${file} of commit ${commit}`);
  return copy;
}

// login writes application default credentials by which taskiam logs in as this job.
function login(provider, account, dir) {
  const url = env.ACTIONS_ID_TOKEN_REQUEST_URL, token = env.ACTIONS_ID_TOKEN_REQUEST_TOKEN;
  if (!url || !token) throw new Error('this job may not ask for an identity token: it needs permissions: id-token: write');
  const audience = `//iam.googleapis.com/${provider}`;
  const credentials = {
    type: 'external_account',
    audience,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: 'https://sts.googleapis.com/v1/token',
    credential_source: {
      url: `${url}${url.includes('?') ? '&' : '?'}audience=${encodeURIComponent('https:' + audience)}`,
      headers: { Authorization: `Bearer ${token}` },
      format: { type: 'json', subject_token_field_name: 'value' },
    },
  };
  if (account) {
    credentials.service_account_impersonation_url = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${account}:generateAccessToken`;
  }
  const file = path.join(dir, 'login.json');
  fs.writeFileSync(file, JSON.stringify(credentials), { mode: 0o600 });
  return file;
}

// taskiam runs the program to its end. Signals are its own to handle: an up that is
// cancelled undoes what it did.
function taskiam(program, args, vars) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], env: vars });
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ? 128 + os.constants.signals[signal] : code));
  });
}

async function main() {
  const command = input('command') || 'up';
  save('command', command); // that it is there is how post.js knows that its state is not lost
  if (![...own, 'hand-over', 'down', 'sweep'].includes(command)) throw new Error(`command is up, hand-over, run, down or sweep, not ${command}`);
  const program = find(input('taskiam') || 'taskiam');
  const dir = make();
  save('dir', dir);
  save('taskiam', program);
  for (const name of ['HOME', 'XDG_STATE_HOME']) save(name, env[name] || ''); // where journals are
  const vars = { ...env, TASKIAM_CI_INDEX: input('index') };
  save('index', vars.TASKIAM_CI_INDEX);
  const provider = input('identity-provider');
  if (provider) {
    vars.GOOGLE_APPLICATION_CREDENTIALS = login(provider, input('service-account'), dir);
    save('login', vars.GOOGLE_APPLICATION_CREDENTIALS);
  }
  if (input('operator-member')) {
    vars.TASKIAM_OPERATOR_MEMBER = input('operator-member');
    save('member', vars.TASKIAM_OPERATOR_MEMBER);
  }
  const out = input('out') ? ['--out', input('out')] : [];
  const run = path.join(dir, 'run'); // which one it was, for post.js
  if (own.includes(command)) save('down', 'yes'); // also of an up that is killed
  switch (command) {
    case 'up':
      return taskiam(program, ['up', '--ci=github', '--dotenv', run, ...out, manifest(program, input('manifest'), dir)], vars);
    case 'hand-over': // another job takes it down
      return taskiam(program, ['up', '--ci=github', ...out, manifest(program, input('manifest'), dir)], vars);
    case 'run': {
      if (!input('run')) throw new Error('command: run needs a script in the input run');
      return taskiam(program, ['run', '--ci=github', '--isolate', manifest(program, input('manifest'), dir), '--', 'bash', '-e', '-o', 'pipefail', '-c', input('run')], vars);
    }
    case 'down':
      vars.TASKIAM_CI_ACCOUNT = input('account');
      vars.TASKIAM_CI_PROJECT = input('project');
      delete vars.TASKIAM_CI_RUN;
      return taskiam(program, ['down', '--ci=github', ...(input('run-id') ? [input('run-id')] : [])], vars);
    default: {
      const projects = input('project') ? ['--project', input('project')] : [];
      const files = env.INPUT_MANIFEST && !input('project') ? [manifest(program, input('manifest'), dir)] : [];
      return taskiam(program, ['sweep', ...projects, ...files], vars);
    }
  }
}

main().then((code) => {
  process.exitCode = code;
  save('code', code);
}, (err) => {
  fail(err.message);
  process.exitCode = 1;
});
