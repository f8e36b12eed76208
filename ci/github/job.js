// What both halves of the Action know: its inputs, and which folder is this use of it in this job.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const os = require('os');
const path = require('path');

const env = process.env;

// Inputs arrive as variables: upper case, with the dashes kept. The second half has them too.
function input(name) {
  return (env['INPUT_' + name.toUpperCase()] || '').trim();
}

// fail writes an error that the page of the job shows.
function fail(message) {
  console.log(`::error title=taskiam::${message.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A')}`);
}

// The commands whose run is taken down by the second half.
const own = ['up', 'run'];

function temp() {
  return env.RUNNER_TEMP || os.tmpdir();
}

// prefix begins the names of the folders of this use of the Action. GitHub names each use in a job, in
// GITHUB_ACTION, for both halves the same.
function prefix() {
  const job = ['GITHUB_SERVER_URL', 'GITHUB_REPOSITORY', 'GITHUB_RUN_ID', 'GITHUB_RUN_ATTEMPT', 'GITHUB_JOB', 'RUNNER_NAME', 'GITHUB_ACTION'];
  const text = JSON.stringify([...job.map((name) => env[name] || ''), input('index')]);
  return `taskiam-job-${crypto.createHash('sha256').update(text).digest('hex').slice(0, 20)}-`;
}

// make makes the folder.
function make() {
  return fs.mkdtempSync(path.join(temp(), prefix()));
}

// made returns the folders that there are: for the second half, if it was not told.
function made() {
  if (!fs.existsSync(temp())) return [];
  return fs.readdirSync(temp()).filter((name) => name.startsWith(prefix())).map((name) => path.join(temp(), name)).filter((dir) => {
    const stat = fs.lstatSync(dir);
    return stat.isDirectory() && (!process.getuid || stat.uid === process.getuid());
  });
}

// runIn returns the id of the run that a file names, as taskiam writes it before it begins the run.
function runIn(file) {
  let text = '';
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (err) {
    if (err.code !== 'ENOENT') throw err;
  }
  return (text.match(/^TASKIAM_CI_RUN=([0-9a-v]{15})$/m) || [])[1] || '';
}

module.exports = { env, fail, input, made, make, own, runIn };
