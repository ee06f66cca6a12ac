// Says back each message of a WebSocket with its number; "bye" ends it. Every event is a call of its own: the number is kept in state.
export default {
  fetch: () => new Response('open a WebSocket here\n', { status: 426, headers: { upgrade: 'websocket' } }),
  websocket: {
    open(socket, request) {
      if (socket.protocols.includes('echo')) socket.protocol = 'echo';
      socket.state = { number: 0, origin: request.headers.get('origin') };
    },
    message(socket, data) {
      socket.state.number++;
      if (typeof data !== 'string') socket.send(data);
      else if (data === 'bye') socket.close(1000, `after ${socket.state.number}`);
      else socket.send(`${socket.state.number}: ${data}`);
    },
  },
};
