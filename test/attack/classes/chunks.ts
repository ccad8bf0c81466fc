import type { Shot } from '../deployment.ts'
import { CHUNKED, chunked, post } from '../requests.ts'
import { type AttackClass, atMostOne, refused, single } from '../row.ts'

const inChunks = (body: (a: Shot) => string) => (a: Shot) => post(a, [CHUNKED], body(a))

export const CHUNKS: AttackClass = {
  id: 'chunks',
  title: 'request smuggling: chunks and trailers',
  known: ['CVE-2025-23167', 'CVE-2026-58044'],
  holds: 'a chunk is what its size says; extensions and trailers go no further',
  alsoTestedIn: ['test/attack/differential.test.ts'],
  rows: [
    refused(
      'a chunk size that is none',
      inChunks(() => chunked('ab', '2x')),
    ),
    refused(
      'a chunk size with 0x',
      inChunks(() => chunked('ab', '0x2')),
    ),
    refused(
      'a negative chunk size',
      inChunks(() => chunked('ab', '-2')),
    ),
    refused(
      'a chunk size with a plus sign',
      inChunks(() => chunked('ab', '+2')),
    ),
    refused(
      'a space before a chunk size',
      inChunks(() => chunked('ab', ' 2')),
    ),
    refused(
      'an empty chunk size',
      inChunks(() => chunked('ab', '')),
    ),
    refused(
      'a chunk size beyond 64 bits',
      inChunks(() => chunked('ab', 'fffffffffffffffff2')),
    ),
    refused(
      'a chunk longer than it says',
      inChunks(() => chunked('ab', '1')),
    ),
    refused(
      'bare LF behind a chunk size',
      inChunks(() => '2\nab\r\n0\r\n\r\n'),
    ),
    refused(
      'bare CR behind a chunk size',
      inChunks(() => '2\rab\r\n0\r\n\r\n'),
    ),
    refused(
      'bare LF behind a chunk',
      inChunks(() => '2\r\nab\n0\r\n\r\n'),
    ),
    refused(
      'bare LF in an extension, a request behind it',
      inChunks((a) => `2;\n${a.hidden}\r\nab\r\n0\r\n\r\n`),
    ),
    refused(
      'bare CR in an extension',
      inChunks(() => '2;a\rb\r\nab\r\n0\r\n\r\n'),
    ),
    refused(
      'NUL in an extension',
      inChunks(() => chunked('ab', '2;a=\0')),
    ),
    refused(
      'bare LF in place of the last line',
      inChunks((a) => `0\r\n\n${a.hidden}`),
    ),
    refused(
      'a trailer that is no field',
      inChunks(() => '2\r\nab\r\n0\r\nnonsense\r\n\r\n'),
    ),
    refused(
      'a trailer with a space before the colon',
      inChunks(() => '2\r\nab\r\n0\r\nX-A : b\r\n\r\n'),
    ),
    single(
      'an extension',
      inChunks(() => chunked('ab', '2;a=b')),
      () => ({ body: 'ab' }),
    ),
    single(
      'an extension in quotes',
      inChunks(() => chunked('ab', '2;a="b;c"')),
      () => ({ body: 'ab' }),
    ),
    single(
      'zeros before a chunk size',
      inChunks(() => chunked('ab', '0002')),
      () => ({ body: 'ab' }),
    ),
    single(
      'last chunk of many zeros',
      inChunks(() => '2\r\nab\r\n00000\r\n\r\n'),
      () => ({ body: 'ab' }),
    ),
    atMostOne(
      'extensions of 64 KiB',
      inChunks(() => `2;${'a'.repeat(65_536)}\r\nab\r\n0\r\n\r\n`),
    ),
    atMostOne(
      'an extension of 8 KiB on each of ten chunks',
      inChunks(() => `${`1;${'a'.repeat(8192)}\r\na\r\n`.repeat(10)}0\r\n\r\n`),
    ),
    ...['X-User-Id', 'X-User-Roles', 'Authorization', 'Host'].map((name) =>
      single(
        `the trailer ${name}`,
        (a) => post(a, [`Trailer: ${name}`, CHUNKED], `2\r\nab\r\n0\r\n${name}: evil-${a.marker}\r\n\r\n`),
        () => ({ body: 'ab' }),
        { never: (a) => [`evil-${a.marker}`] },
      ),
    ),
    ...['Content-Length: 0', 'Transfer-Encoding: gzip'].map((trailer) =>
      atMostOne(
        `the trailer ${trailer}`,
        inChunks(() => `2\r\nab\r\n0\r\n${trailer}\r\n\r\n`),
      ),
    ),
    atMostOne(
      'trailers of 64 KiB',
      inChunks(() => `2\r\nab\r\n0\r\n${`X-A: ${'a'.repeat(1000)}\r\n`.repeat(64)}\r\n`),
    ),
  ],
}
