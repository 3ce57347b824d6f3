// Node's client: an agent that keeps its connection, trailers, Expect, hints and an upgrade.
const http = require('http');
const crypto = require('crypto');

const base = new URL(process.argv[2]);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask(name, path, options = {}, write = (request) => request.end()) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: base.hostname, port: base.port, path, agent, ...options });
    request.on('information', (told) => console.log(name, 'information', told.statusCode));
    request.on('error', reject);
    request.on('response', (response) => {
      const hash = crypto.createHash('sha1');
      response.on('data', (part) => hash.update(part));
      response.on('error', reject);
      response.on('end', () => {
        const kept = response.rawHeaders.join('|').replace(/Date\|[^|]*/i, 'Date');
        console.log(name, response.statusCode, response.statusMessage, hash.digest('hex'), kept,
          JSON.stringify(response.trailers));
        resolve();
      });
    });
    write(request);
  });
}

function upgrade() {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: base.hostname, port: base.port, path: '/odd',
      headers: { Connection: 'Upgrade', Upgrade: 'odd' } });
    request.on('error', reject);
    request.on('upgrade', (response, socket) => {
      let got = '';
      socket.on('data', (part) => { got += part; });
      socket.on('end', () => { console.log('upgraded', response.statusCode, got.length); resolve(); });
      socket.end('odd words '.repeat(10000));
    });
    request.end();
  });
}

async function main() {
  await ask('small', '/small', { headers: { 'X-oDD': 'kept' } });
  await ask('unchanged', '/small', { headers: { 'If-None-Match': '"small"' } });
  await ask('head', '/small', { method: 'HEAD' });
  await ask('big', '/big');
  await ask('chunked', '/chunked');
  await ask('empty', '/empty');
  await ask('none', '/missing');
  await ask('chunks', '/echo', { method: 'POST', headers: { Trailer: 'X-Sum' } }, (request) => {
    for (let number = 0; number < 10; number++) request.write(String(number).repeat(1000));
    request.addTrailers({ 'X-Sum': '10' });
    request.end();
  });
  await ask('expecting', '/echo', { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 100000 } },
    (request) => request.on('continue', () => { console.log('continue'); request.end('y'.repeat(100000)); }));
  if (process.argv[3] === 'node') {
    await ask('hints', '/hints');
    await upgrade();
  }
  agent.destroy();
}
main().catch((error) => { console.error(error); process.exit(1); });
