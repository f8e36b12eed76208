// Reads an object for each BUCKET/NAME that it is given in a line, with the library that
// its argument names and application default credentials. It answers in a line: 200 and
// the text, or why not.
import readline from 'node:readline';
import { Storage } from '@google-cloud/storage';
import { GoogleAuth } from 'google-auth-library';

const libraries = {
  'google-auth-library'() {
    const auth = new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });
    return async (bucket, name) => {
      const url = `https://storage.googleapis.com/storage/v1/b/${bucket}/o/${encodeURIComponent(name)}?alt=media`;
      return (await auth.request({ url, responseType: 'text' })).data;
    };
  },
  '@google-cloud/storage'() {
    const storage = new Storage();
    return async (bucket, name) => (await storage.bucket(bucket).file(name).download())[0].toString();
  },
};

const read = libraries[process.argv[2]]();
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [bucket, ...name] = line.split('/');
  let answer;
  try {
    answer = `200 ${await read(bucket, name.join('/'))}`;
  } catch (err) {
    answer = `failed: ${err.code ?? ''} ${err.message}`;
  }
  console.log(answer.split(/\s+/).join(' '));
}
