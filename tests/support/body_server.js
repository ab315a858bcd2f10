// What real clients of tests/e2e/real_clients talk to: node body_server.js ADDRESS PORT
//
//   any method /hash      answers the length and the SHA-256 of the request's body, as JSON, with the method
//   GET /bytes?N          N octets, each 64 KiB of them the same; without a length when ?N,chunked
//   GET /slow?MS          after so many milliseconds
'use strict';
const crypto = require('crypto');
const http = require('http');

const [address, port] = [process.argv[2], Number(process.argv[3])];
const block = crypto.createHash('sha512').update('millrace').digest();
const piece = Buffer.concat(Array(1024).fill(block));

function sendBytes(response, count) {
  let left = count;
  const more = () => {
    while (left > 0) {
      const next = left < piece.length ? piece.subarray(0, left) : piece;
      left -= next.length;
      if (!response.write(next)) {
        response.once('drain', more);
        return;
      }
    }
    response.end();
  };
  more();
}

const server = http.createServer((request, response) => {
  const [path, argument = ''] = request.url.split('?');
  if (path === '/bytes') {
    const [count, chunked] = argument.split(',');
    if (!chunked) response.setHeader('Content-Length', count);
    sendBytes(response, Number(count));
    return;
  }
  if (path === '/slow') {
    setTimeout(() => response.end('slow\n'), Number(argument));
    return;
  }
  const hash = crypto.createHash('sha256');
  let octets = 0;
  request.on('data', (data) => {
    octets += data.length;
    hash.update(data);
  });
  request.on('end', () => {
    const answer = JSON.stringify({method: request.method, octets, sha256: hash.digest('hex')}) + '\n';
    response.setHeader('Content-Length', Buffer.byteLength(answer));
    response.end(request.method === 'HEAD' ? undefined : answer);
  });
});
server.keepAliveTimeout = 60000;
server.requestTimeout = 0;
server.listen(port, address);
