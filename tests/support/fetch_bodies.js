// node's clients in all the ways that it sends and reads bodies: node fetch_bodies.js ADDRESS PORT HOST
// fetch names the address as its host; only the kept connections name HOST. Prints how many exchanges were right, and ends with 1 if one was not.
'use strict';
const crypto = require('crypto');
const http = require('http');
const {Readable} = require('stream');

const [address, port, host] = process.argv.slice(2);
const base = `http://${address}:${port}`;
const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');
let right = 0;

function expect(what, got, wanted) {
  if (got !== wanted) {
    console.error(`${what}: ${got} instead of ${wanted}`);
    process.exit(1);
  }
  ++right;
}

async function hashed(what, options, data) {
  const response = await fetch(base + '/hash', options);
  const answer = await response.json();
  expect(what + ' status', response.status, 200);
  expect(what + ' length', answer.octets, data.length);
  expect(what + ' hash', answer.sha256, sha256(data));
}

async function main() {
  for (const size of [0, 1, 1460, 65536, 3000001]) {
    const data = crypto.randomBytes(size);
    await hashed(`a buffer of ${size}`, {method: 'POST', body: data}, data);
    const pieces = [];
    for (let at = 0; at < size; at += 70001) pieces.push(data.subarray(at, at + 70001));
    await hashed(`a stream of ${size}`, {method: 'PUT', body: Readable.toWeb(Readable.from(pieces)), duplex: 'half'}, data);
    for (const suffix of ['', ',chunked']) {
      const response = await fetch(`${base}/bytes?${size}${suffix}`);
      expect(`${size} octets${suffix}`, (await response.arrayBuffer()).byteLength, size);
    }
  }
  await hashed('a form', {method: 'POST', body: new URLSearchParams({a: 'b c', d: '\u20ac'})},
               Buffer.from('a=b+c&d=%E2%82%AC'));
  const head = await fetch(base + '/hash', {method: 'HEAD'});
  expect('HEAD', head.status, 200);
  // Many at a time on few kept connections.
  const agent = new http.Agent({keepAlive: true, maxSockets: 4});
  const one = (number) => new Promise((resolve, reject) => {
    const body = Buffer.from('request ' + number);
    const request = http.request({agent, host: address, port, path: '/hash', method: 'POST',
                                  headers: {Host: host, 'Content-Length': body.length}}, (response) => {
      let text = '';
      response.on('data', (data) => { text += data; });
      response.on('end', () => resolve(JSON.parse(text).sha256 === sha256(body)));
    });
    request.on('error', reject);
    request.end(body);
  });
  const all = await Promise.all(Array.from({length: 400}, (_, number) => one(number)));
  expect('kept connections', all.filter(Boolean).length, 400);
  agent.destroy();
  // A download that is given up in the middle must not hold anything up.
  const controller = new AbortController();
  const response = await fetch(`${base}/bytes?100000000`, {signal: controller.signal});
  await response.body.getReader().read();
  controller.abort();
  expect('after a download that was given up', (await fetch(base + '/hash')).status, 200);
  console.log(`fetch=${right}`);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
