// Node's server: the same answers, early hints, trailers and an upgrade.
const http = require('http');
const crypto = require('crypto');

const server = http.createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path === '/small') {
    if (request.headers['if-none-match'] === '"small"') {
      response.writeHead(304, { ETag: '"small"' });
      response.end();
      return;
    }
    response.writeHead(200, 'Fine', ['ETag', '"small"', 'Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'Content-Length', '6']);
    response.end('hello\n');
  } else if (path === '/big') {
    response.writeHead(200, { 'Content-Length': 1 << 20 });
    response.end(Buffer.alloc(1 << 20, 'b'));
  } else if (path === '/chunked' || path === '/events') {
    response.writeHead(200, request.httpVersion === '1.0'
      ? { 'Content-Type': 'text/event-stream' } : { 'Content-Type': 'text/event-stream', Trailer: 'X-Sum' });
    let number = 0;
    const timer = setInterval(() => {
      if (number < 20) {
        response.write(`data: ${number++}\n\n`);
        return;
      }
      clearInterval(timer);
      if (request.httpVersion !== '1.0') response.addTrailers({ 'X-Sum': '20' });
      response.end();
    }, 2);
  } else if (path === '/empty') {
    response.writeHead(204);
    response.end();
  } else if (path === '/hints') {
    response.writeEarlyHints({ link: ['</a.css>; rel=preload'] });
    setTimeout(() => response.end('hinted\n'), 10);
  } else if (path === '/echo') {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts);
      const sum = crypto.createHash('sha1').update(body).digest('hex');
      response.setHeader('X-Empty', '');
      response.end(`${request.method} ${body.length} ${sum} ${request.headers['x-odd'] || 'None'}\n`);
    });
  } else {
    response.writeHead(404);
    response.end('none\n');
  }
});
server.on('upgrade', (request, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\n');
  socket.write(head);
  socket.pipe(socket);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
