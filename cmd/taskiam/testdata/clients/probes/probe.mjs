// Asks for what each line names, with the client that its argument names and application default credentials, and
// answers each in a line. The first word says what the answer is, by the code and reason of the error; "ok" is what was
// asked for.
import readline from 'node:readline';

const project = 'acme-agents';

const libraries = {
  async 'google-auth-library'() {
    const { GoogleAuth } = await import('google-auth-library');
    const auth = new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });
    return async (what) => {
      const [bucket, ...name] = what.split('/');
      const url = `https://storage.googleapis.com/storage/v1/b/${bucket}/o/${encodeURIComponent(name.join('/'))}?alt=media`;
      return (await auth.request({ url, responseType: 'text' })).data;
    };
  },
  async idtoken() {
    const { GoogleAuth } = await import('google-auth-library');
    return async (audience) => {
      const client = await new GoogleAuth().getIdTokenClient(audience); // it would keep the last one for an hour
      return client.idTokenProvider.fetchIdToken(audience);
    };
  },
  async '@google-cloud/storage'() {
    const { Storage } = await import('@google-cloud/storage');
    const storage = new Storage();
    return async (what) => {
      const [verb, object, text] = what.split(' ');
      const [bucket, ...name] = object.split('/');
      const file = storage.bucket(bucket).file(name.join('/'));
      if (verb === 'upload') {
        await file.save(text, { resumable: true });
      }
      return (await file.download())[0].toString();
    };
  },
  async '@google-cloud/secret-manager'() {
    const { SecretManagerServiceClient } = await import('@google-cloud/secret-manager');
    const client = new SecretManagerServiceClient();
    return async (what) => {
      const [version] = await client.accessSecretVersion({ name: `projects/${project}/secrets/${what}/versions/latest` });
      return Buffer.from(version.payload.data).toString();
    };
  },
  async '@google-cloud/pubsub'() {
    const { PubSub } = await import('@google-cloud/pubsub');
    const pubsub = new PubSub({ projectId: project });
    return async (what) => {
      const [verb, name] = what.split(' ');
      const topic = pubsub.topic(name);
      if (verb === 'publish') {
        return `messageIds ${await topic.publishMessage({ data: Buffer.from('hello') })}`;
      }
      return (await topic.getMetadata())[0].name;
    };
  },
  async '@google-cloud/bigquery'() {
    const { BigQuery } = await import('@google-cloud/bigquery');
    const bigquery = new BigQuery({ projectId: 'acme-data' });
    return async (what) => {
      const [dataset, table] = what.split('.');
      const [rows] = await bigquery.dataset(dataset).table(table).getRows();
      return rows.map((row) => Object.values(row).join(' ')).join(', ');
    };
  },
};

// kind says what an error is: the code is HTTP's, gRPC's or the system's.
function kind(err) {
  const told = [];
  for (let e = err; e && told.length < 8; e = e.cause) {
    told.push(e.code, e.status, e.response?.status, e.response?.data?.error, e.statusCode);
  }
  if (told.includes('invalid_grant')) return 'invalid_grant';
  const grpc = err.metadata !== undefined || err.statusDetails !== undefined;
  if (grpc ? told.includes(7) : told.some((c) => c === 403 || c === '403')) return `denied ${err.reason ?? err.errors?.[0]?.reason ?? ''}`;
  if (grpc ? told.includes(16) : told.some((c) => c === 401 || c === '401')) return 'unauthenticated';
  if (told.includes('ECONNREFUSED') || told.includes('ECONNRESET') || (grpc && told.includes(14))) return 'unreachable';
  return 'failed';
}

let ask;
for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer;
  try {
    ask ??= await libraries[process.argv[2]]();
    answer = `ok ${await ask(line)}`;
  } catch (err) {
    answer = `${kind(err)} ${err.message}`;
  }
  console.log(answer.split(/\s+/).join(' '));
}
process.exit(0); // connections by gRPC would keep it for minutes
