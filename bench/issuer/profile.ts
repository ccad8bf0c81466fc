import type { Part } from '../cpu-profile.ts'

/** What an issuer's time goes to. */
export const ISSUER_PARTS: readonly Part[] = [
  ['MongoDB driver', /\/node_modules\/(mongodb|bson|mongodb-connection-string-url)\//],
  ['Redis driver', /\/node_modules\/(ioredis|redis-parser|standard-as-callback|redis-errors|@ioredis)\//],
  [
    'log',
    /\/node_modules\/(pino|sonic-boom|thread-stream|@pinojs|pino-std-serializers|quick-format-unescaped|safe-stable-stringify)\/|\/shared\/log\.ts|\/http\/request-log\.ts/,
  ],
  ['metrics', /\/node_modules\/prom-client\//],
  ['Kafka driver', /\/node_modules\/kafkajs\//],
  ['signing', /\/shared\/jws\.ts/],
  ['refresh token', /\/domain\/refresh-token\.ts/],
  [
    'schema checks and JSON',
    /\/node_modules\/(ajv|ajv-formats|fast-json-stringify|@fastify\/(ajv-compiler|fast-json-stringify-compiler)|rfdc|secure-json-parse)\/|\/http\/json-body\.ts/,
  ],
  [
    'framework and plugins',
    /\/node_modules\/(fastify|@fastify|find-my-way|avvio|light-my-request|cookie|helmet|reusify|fastq|process-warning|rate-limiter-flexible|proxy-addr)\//,
  ],
  ['issuer', /\/issuer\/|\/shared\//],
  ['HTTP server of Node', /node:(_http|internal\/http|http)/],
]
