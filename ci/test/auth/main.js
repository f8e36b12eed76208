// It leaves a login in the workspace, and names it in the variables that google-github-actions/auth sets.
'use strict';
const fs = require('fs');
const path = require('path');

const file = path.join(process.env.GITHUB_WORKSPACE, 'gha-creds-0123456789abcdef.json');
fs.writeFileSync(file, JSON.stringify({ type: 'authorized_user', client_id: 'x', client_secret: 'x', refresh_token: 'x' }), { mode: 0o600 });
for (const name of ['CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE', 'GOOGLE_APPLICATION_CREDENTIALS', 'GOOGLE_GHA_CREDS_PATH']) {
  fs.appendFileSync(process.env.GITHUB_ENV, `${name}=${file}\n`);
}
for (const name of ['CLOUDSDK_CORE_PROJECT', 'CLOUDSDK_PROJECT', 'GCLOUD_PROJECT', 'GCP_PROJECT', 'GOOGLE_CLOUD_PROJECT']) {
  fs.appendFileSync(process.env.GITHUB_ENV, `${name}=acme-prod\n`);
}
