import type { Part } from '../cpu-profile.ts'

/** What a sidecar's time goes to, by the innermost that matches. */
export const SIDECAR_PARTS: readonly Part[] = [
  [
    'sockets and streams (node:net, system calls)',
    /^node:(net|stream|events|internal\/(stream_base_commons|streams\/|net|js_stream_socket))/,
  ],
  ['timers and microtasks of Node', /^node:(timers|internal\/(timers|process\/|async_hooks|promise_hooks))/],
  ['the decision: target, route, token, revoked, fresh', /\/sidecar\/domain\/|\/shared\/|\/node_modules\/lru-cache\//],
  ['signatures and hashes (node:crypto)', /^node:(crypto|internal\/crypto)/],
  ['proxy: heads, forwarding, open streams', /\/sidecar\//],
  ['metrics', /\/node_modules\/prom-client\//],
  ['undici: the connection to the service', /\/node_modules\/undici\//],
  ['Fastify', /\/node_modules\/(fastify|@fastify|find-my-way|avvio|light-my-request|reusify|fastq|toad-cache|pino)\//],
  ["Node's HTTP server", /^node:(http|_http|internal\/http)/],
]
