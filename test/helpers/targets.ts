import fc from 'fast-check'

// Pieces of which parsers disagree on what they mean, among some of which they do not.
const PIECES = [
  ...[
    '/',
    '/',
    '/',
    'admin',
    'public',
    'a',
    'x',
    '.',
    '..',
    '%2e',
    '%2E',
    '%2f',
    '%2F',
    '%5c',
    '\\',
    ';',
    '%3b',
    ';x=1',
  ],
  ...[
    '%',
    '%25',
    '%252e',
    '%252f',
    '%61',
    '%41',
    '%7e',
    '~',
    '@',
    '%40',
    '%20',
    ' ',
    'é',
    '%C3%A9',
    '%c0%af',
    '%00',
    '?',
  ],
  ...['#', '\t', ':', '*', '[', '|', '^', '%3F', '%23', '+', '%2B', '&'],
]

/** Request targets on the edge between what is plain and what is ambiguous. */
export const targets: fc.Arbitrary<string> = fc
  .array(fc.constantFrom(...PIECES), { maxLength: 8 })
  .map((pieces) => `/${pieces.join('')}`)
