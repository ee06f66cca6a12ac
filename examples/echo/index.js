// Says back what arrived: method, url, headers and body.
export default {
  async fetch(request) {
    const bytes = await request.bytes();
    let text = null;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      // Not text: base64 alone tells it.
    }
    return Response.json({
      method: request.method,
      url: request.url,
      headers: Object.fromEntries(request.headers),
      body: { size: bytes.length, text, base64: bytes.toBase64() },
    });
  },
};
