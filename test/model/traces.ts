import type { Run } from './commands.ts'
import type { VARIANTS } from './variants.ts'

/**
 * Runs that the search has found, cut down to what they need. Those of a wrong variant break the promise with it; the
 * code has to keep it in all of them. A search that finds another prints it as it belongs here.
 */
export const TRACES: { name: string; variant?: keyof typeof VARIANTS; run: Run }[] = [
  {
    name: 'a crash after the ledger has it, and heartbeats that do not look there',
    variant: 'a heartbeat without reading the ledger',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['interrupted', 0, 0, 2],
        ['live', 26_000, 2],
      ],
    },
  },
  {
    name: 'a heartbeat that a sidecar reads late, and the revocation after it later still',
    variant: 'freshness by arrival',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['round', 0],
        ['settle', false],
        ['logout', 0, 0, false],
        ['settle', false],
        ['tick', 12_000],
        ['tick', 12_000],
        ['fetch', 0, 0, 1],
        ['tick', 12_000],
      ],
    },
  },
  {
    name: 'a slow read of the ledger, and a crash with the entry in it meanwhile',
    variant: 'complete_until taken when sending',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['slow round', 1],
        ['interrupted', 1, 0, 2],
        ['live', 26_000, 1],
        ['settle', true],
      ],
    },
  },
  {
    name: 'a crash with the entry marked and nothing sent',
    variant: 'an entry marked before the acknowledgement',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['interrupted', 1, 0, 4],
        ['unread', 26_000, 3],
        ['fetch', 1, 0, 20],
      ],
    },
  },
  {
    name: 'the entry of an issuer that does not come back, and another that goes on',
    variant: 'an issuer that looks at its own entries only',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['interrupted', 2, 1, 3],
        ['live', 26_000, 2],
      ],
    },
  },
  {
    name: 'a session that the store brings back after its logout',
    variant: 'a refresh that does not ask the ledger',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [['logout', 0, 0, false], ['settle', false], ['resurrect'], ['refresh', 0, 0], ['settle', false]],
    },
  },
  {
    name: 'a sidecar that starts after the logout',
    variant: 'reading the topic from its end',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['logout', 2, 0, false],
        ['settle', false],
        ['restart', 1],
        ['live', 26_000, 1],
      ],
    },
  },
  {
    name: 'one partition read and the other not',
    variant: 'the partition that is furthest counts',
    run: {
      partitions: 2,
      apartMs: 0,
      commands: [
        ['logout', 0, 0, false],
        ['logout', 1, 0, false],
        ['settle', false],
        ['unread', 26_000, 1],
        ['fetch', 0, 0, 20],
        ['fetch', 1, 1, 20],
      ],
    },
  },
  {
    name: 'time that passes after a revocation was read',
    variant: 'entries that are forgotten after the staleness bound',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['logout', 0, 1, false],
        ['live', 26_000, 3],
      ],
    },
  },
  {
    name: 'a log that loses its end and is as long as before when its readers look again: the digest finds it',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['logout', 0, 0, false],
        ['live', 300, 1],
        ['logout', 1, 0, false],
        ['lose', 0, 3],
        ['live', 26_000, 2],
        ['settle', true],
      ],
    },
  },
  {
    name: 'a log that loses its end after a sidecar began to read it: it is compared once that sidecar is fresh',
    run: {
      partitions: 1,
      apartMs: 0,
      commands: [
        ['logout', 0, 0, false],
        ['tick', 6001],
        ['live', 300, 1],
        ['restart', 0],
        ['lose', 0, 3],
        ['tick', 100_000],
        ['tick', 26_000],
        ['deliver', 0, 'done'],
      ],
    },
  },
]
