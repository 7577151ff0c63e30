// An app with the real @fal-ai/client, unmodified. One scenario per run:
//   node app.mjs SCENARIO '{"model": …, "input": …}'
// prints as JSON what the app saw, or the error that it caught.
//
// FAL_HOST_URL stands where fal's hosts would: its paths are /queue, /run and
// /rest. With PROXY_URL the client is told of a proxy, as on any server of
// ours; what it sends there is its own affair.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const { createFalClient } = createRequire(`${process.env.FAL_CLIENTS}/`)("@fal-ai/client");
const { FAL_HOST_URL, PROXY_URL, ACCESS_TOKEN, TENANT } = process.env;

const hosts = [
  ["https://queue.fal.run/", `${FAL_HOST_URL}/queue/`],
  ["https://fal.run/", `${FAL_HOST_URL}/run/`],
  ["https://rest.fal.ai/", `${FAL_HOST_URL}/rest/`],
];

// In place of DNS: whatever is sent to fal itself arrives at FAL_HOST_URL.
function reach(url, init) {
  for (const [host, there] of hosts) {
    if (url.startsWith(host)) return fetch(there + url.slice(host.length), init);
  }
  return fetch(url, init);
}

function client({ access = "credentials" }) {
  const config = { fetch: reach };
  if (access === "credentials") config.credentials = ACCESS_TOKEN;
  if (PROXY_URL) config.proxyUrl = { url: PROXY_URL, when: "always" };
  const extra = {};
  if (TENANT) extra["x-clipkeep-tenant"] = TENANT;
  if (access === "bearer") extra.authorization = `Bearer ${ACCESS_TOKEN}`;
  config.requestMiddleware = async (request) => ({ ...request, headers: { ...request.headers, ...extra } });
  return createFalClient(config);
}

function withFile({ input, fileMb }) {
  return fileMb ? { ...input, image_url: `data:image/png;base64,${"A".repeat(fileMb << 20)}` } : input;
}

// How long it takes from the first event to the last.
function durationOf(stream) {
  const times = [];
  stream.on("data", () => times.push(performance.now()));
  return () => times.at(-1) - times[0];
}

const scenarios = {
  async subscribe(fal, given) {
    const seen = [];
    const logs = [];
    const result = await fal.subscribe(given.model, {
      input: withFile(given),
      logs: true,
      mode: given.mode,
      pollInterval: 20,
      webhookUrl: given.webhookUrl,
      onQueueUpdate(update) {
        seen.push(update.status);
        logs.push(...(update.logs ?? []));
      },
    });
    return { ...result, seen, logs };
  },

  async queue(fal, given) {
    const { request_id: requestId, ...submitted } = await fal.queue.submit(given.model, {
      input: given.input,
      priority: "low",
      hint: "here",
      startTimeout: 30,
      storageSettings: { expiresIn: "1d" },
    });
    const first = await fal.queue.status(given.model, { requestId, logs: true });
    const stream = await fal.queue.streamStatus(given.model, { requestId, logs: true });
    const tookMs = durationOf(stream);
    const streamed = [];
    for await (const status of stream) streamed.push(status);
    const last = await stream.done();
    const result = await fal.queue.result(given.model, { requestId });
    return { requestId, submitted, first, streamed, last, result, tookMs: tookMs() };
  },

  async submit(fal, given) {
    return await fal.queue.submit(given.model, { input: withFile(given), webhookUrl: given.webhookUrl });
  },

  async cancel(fal, given) {
    const { request_id: requestId } = await fal.queue.submit(given.model, { input: given.input });
    await fal.queue.cancel(given.model, { requestId });
    return { requestId };
  },

  async result(fal, given) {
    return await fal.queue.result(given.model, { requestId: given.requestId });
  },

  async run(fal, given) {
    return await fal.run(given.model, { input: withFile(given) });
  },

  async upload(fal, given) {
    const bytes = Buffer.alloc(given.len);
    for (let at = 0; at + 4 <= given.len; at += 4096) bytes.writeUInt32LE(at / 4096, at);
    const file = new File([bytes], given.name, { type: given.type });
    const url = await fal.storage.upload(file, { lifecycle: { expiresIn: "1h" } });
    return { url, sha256: createHash("sha256").update(bytes).digest("hex") };
  },

  // A Blob within the input is uploaded by the client on its way.
  async runWithBlob(fal, given) {
    const image = new Blob([given.text], { type: "image/png" });
    return await fal.run(given.model, { input: { ...given.input, image_url: image } });
  },

  async stream(fal, given) {
    const stream = await fal.stream(given.model, { input: given.input, connectionMode: given.mode });
    const tookMs = durationOf(stream);
    const done = stream.done();
    done.catch(() => {});
    const events = [];
    for await (const event of stream) events.push(event);
    return { events, done: await done, requestId: stream.requestId, tookMs: tookMs() };
  },
};

function told(error) {
  const { name, message, status, body, requestId, isUserTimeout } = error;
  return { name, message, status, body, requestId, isUserTimeout, cause: error.cause?.code };
}

const [name, args] = process.argv.slice(2);
const given = JSON.parse(args);
try {
  console.log(JSON.stringify(await scenarios[name](client(given), given)));
} catch (error) {
  if (error.name === "ReferenceError" || error.name === "SyntaxError") throw error;
  console.log(JSON.stringify({ error: told(error) }));
}
