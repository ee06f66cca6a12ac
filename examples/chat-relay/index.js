/// <reference path="../redoubt.d.ts" />
// chat-relay: a prompt goes to a model, and its words come back as the model finds them. TLS to the model ends inside the enclave; the key of
// its provider is put into the request there and never enters this code's memory.
const PROMPT_MAX = 32768;

// Texts cut anywhere as whole lines.
function lines() {
  let rest = "";
  return new TransformStream({
    transform(text, controller) {
      const parts = (rest + text).split(/\r?\n/);
      rest = parts.pop();
      for (const part of parts) controller.enqueue(part);
    },
    flush(controller) { if (rest !== "") controller.enqueue(rest); },
  });
}

// Server-sent events of a chat completion as the words in them.
function words() {
  return new TransformStream({
    transform(line, controller) {
      const event = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (event === "[DONE]") return controller.terminate();
      const word = event === "" ? undefined : JSON.parse(event).choices?.[0]?.delta?.content;
      if (word) controller.enqueue(word);
    },
  });
}

export default {
  async fetch(request, env) {
    const prompt = request.method === "POST" ? await request.text() : "";
    if (prompt === "" || prompt.length > PROMPT_MAX) return new Response(`send a prompt of at most ${PROMPT_MAX} characters by POST\n`, { status: 400 });
    const answer = await fetch(env.URL, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${secret("MODEL_KEY")}` },
      body: JSON.stringify({ model: env.MODEL, stream: true, messages: [{ role: "user", content: prompt }] }),
    });
    if (!answer.ok) return new Response(`the model's provider says ${answer.status}\n`, { status: 502 });
    const text = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(lines()).pipeThrough(words());
    return new Response(text.pipeThrough(new TextEncoderStream()), { headers: { "content-type": "text/plain; charset=utf-8" } });
  },
};
