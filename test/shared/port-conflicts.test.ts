import { test } from 'tap'
import { type Listener, portConflicts } from '../../shared/port-conflicts.ts'

const at = (setting: string, host: string, port: number): Listener => ({ setting, host, port })

test('two servers cannot have one port of one address', async (t) => {
  const rows: [name: string, listeners: Listener[], problems: string[]][] = [
    ['other ports', [at('A', '127.0.0.1', 1), at('B', '127.0.0.1', 2)], []],
    ['other addresses', [at('A', '127.0.0.1', 1), at('B', '127.0.0.2', 1)], []],
    ['any free port', [at('A', '127.0.0.1', 0), at('B', '127.0.0.1', 0)], []],
    ['the same', [at('A', 'a', 1), at('B', 'a', 1)], ['B: 1 is the port of A as well; choose another']],
    ['every address', [at('A', '0.0.0.0', 1), at('B', 'a', 1)], ['B: 1 is the port of A as well; choose another']],
    [
      'three of four',
      [at('A', 'a', 1), at('B', '::', 1), at('C', 'a', 2), at('D', 'a', 1)],
      ['B: 1 is the port of A as well; choose another', 'D: 1 is the port of A as well; choose another'],
    ],
  ]
  for (const [name, listeners, problems] of rows) t.same(portConflicts(listeners), problems, name)
})
