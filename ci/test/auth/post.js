// It removes what GOOGLE_GHA_CREDS_PATH names, and nothing without that.
'use strict';
const fs = require('fs');

const file = process.env.GOOGLE_GHA_CREDS_PATH;
if (file) fs.rmSync(file);
console.log(file ? 'auth removed its login' : 'auth does not know its login any more');
