// check.js TOOLS ROOT OUT: holds the files for CircleCI and Cloud Build against their
// schemas, as far as a registry has them, and writes the shell in them to OUT.
//
//   CircleCI     @circleci/circleci-config-parser, CircleCI's own: orb, commands and steps
//   Cloud Build  Google's discovery document, which is in the Go module google.golang.org/api:
//                every field is one of the API's, and of its type
//
// With SCHEMAS, a folder, the files are also held against the JSON schemas in it, named
// as SchemaStore's are.
'use strict';
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

const [tools, root, out] = process.argv.slice(2);
const need = createRequire(path.join(tools, 'package.json'));
const yaml = need('js-yaml');
// GitLab's own tag, and YAML's types beside it.
const types = yaml.DEFAULT_SCHEMA.extend([new yaml.Type('!reference', { kind: 'sequence' })]);
const load = (file) => yaml.load(fs.readFileSync(path.join(root, file), 'utf8'), { schema: types });

function circle() {
  const parser = need('@circleci/circleci-config-parser');
  const orb = load('ci/circleci/orb.yml');
  parser.parseReusableCommands(orb.commands); // throws on what the schemas refuse
  for (const [name, command] of Object.entries(orb.commands)) {
    const run = command.steps[0].run;
    let text = run.command.replace(/\\<</g, '<<');
    for (const [variable, value] of Object.entries(run.environment || {})) {
      const parameter = value.match(/^<< parameters\.([a-z-]+) >>$/);
      if (!parameter || !(parameter[1] in command.parameters)) throw new Error(`${name}: ${variable} is ${value}`);
      // A value of the test's own, or the parameter's default.
      const given = process.env['PARAMETER_' + variable] || command.parameters[parameter[1]].default;
      text = `export ${variable}='${given}'\n` + text;
    }
    if (/<<\s*parameters/.test(text)) throw new Error(`${name}: a parameter is put into the shell's text`);
    fs.writeFileSync(path.join(out, `circleci-${name}.sh`), text);
  }
}

function cloudbuild(document) {
  const { schemas } = JSON.parse(fs.readFileSync(document, 'utf8'));
  const check = (value, type, at) => {
    if (type.$ref) {
      for (const [name, inner] of Object.entries(value)) {
        const field = schemas[type.$ref].properties[name];
        if (!field) throw new Error(`${at}: there is no field ${name} in ${type.$ref}`);
        check(inner, field, `${at}.${name}`);
      }
    } else if (type.type === 'array') {
      value.forEach((inner, i) => check(inner, type.items, `${at}[${i}]`));
    } else if (type.type === 'object') {
      for (const [name, inner] of Object.entries(value)) check(inner, type.additionalProperties, `${at}.${name}`);
    } else if (type.type !== typeof value && !(type.type === 'integer' && Number.isInteger(value))) {
      throw new Error(`${at}: it is a ${typeof value}, and is to be a ${type.type}`);
    } else if (type.enum && !type.enum.includes(value)) {
      throw new Error(`${at}: ${value} is none of ${type.enum}`);
    }
  };
  for (const name of ['cloudbuild', 'sweep']) {
    const build = load(`ci/cloudbuild/${name}.yaml`);
    check(build, { $ref: 'Build' }, name);
    build.steps.forEach((step, i) => fs.writeFileSync(path.join(out, `${name}-${i}.sh`), step.script));
  }
  // The check notices.
  for (const bad of [{ steps: [{ nme: 'x' }] }, { steps: [{ name: 1 }] }, { steps: [{ name: 'x', volumes: [{ mount: '/' }] }] }]) {
    try { check(bad, { $ref: 'Build' }, 'bad'); } catch { continue; }
    throw new Error(`a bad build is taken for a good one: ${JSON.stringify(bad)}`);
  }
}

function schemas(dir) {
  const Ajv = need('ajv');
  for (const [schema, file] of [['github-actions', 'ci/github/action.yml'], ['gitlab-ci', 'ci/gitlab/taskiam.gitlab-ci.yml'],
    ['circle-ci', 'ci/circleci/orb.yml'], ['cloudbuild', 'ci/cloudbuild/cloudbuild.yaml'], ['cloudbuild', 'ci/cloudbuild/sweep.yaml']]) {
    const text = JSON.parse(fs.readFileSync(path.join(dir, schema + '.json'), 'utf8'));
    delete text.$schema;
    const valid = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(text);
    if (!valid(load(file))) throw new Error(`${file}: ${JSON.stringify(valid.errors)}`);
  }
}

circle();
cloudbuild(process.env.CLOUDBUILD);
if (process.env.SCHEMAS) schemas(process.env.SCHEMAS);
