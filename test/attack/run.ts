import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { CLASSES } from './classes.ts'
import { countsOf, reportObject, resultLines, summaryLines } from './report.ts'
import { runRows } from './run-rows.ts'
import { CannotAttack, survey } from './survey.ts'

const HELP = `npm run attack -- URL [options]

Sends a sidecar what attackers send, and says what held. Run it against your own deployment and no other: it sends
malformed requests, floods of up to 2 MiB on a connection, and forged tokens. Whatever is served is a GET, POST or OPTIONS
of one path, hundreds of times: choose one where that does no harm. Sessions it opens it also ends.

  URL               of the sidecar. Its path is asked for: take one that needs a token, and whose service answers with the
                    header fields it received, as the demo service does (sallyport demo); then all rows can be judged
  --echo PATH       the path, when it is not in URL
  --issuer URL      for its public keys, and to log in and out with EMAIL and PASSWORD
  --websocket PATH  where a WebSocket can be opened
  --class ID        these classes only (may be repeated): ${CLASSES.map(({ id }) => id).join(' ')}
  --ca FILE         PEM of an authority to trust
  --within S        how long all of it may take (120); rows beyond are left out
  --slow S          how long a slow client is kept up before its row is given up (25)
  --json            one JSON document

Environment: TOKEN, an access token that is good there; or EMAIL and PASSWORD of a user of the issuer's.
Exit code: 0 everything judged held, 1 something is BROKEN, 2 it could not be run.
`

/** How long an answer may take: milliseconds. */
const PATIENCE_MS = 5000
/** The staleness bound and the clocks' leeway at their defaults: a revocation that takes longer is none: milliseconds. */
const REVOCATION_MS = 65_000

const say = (line: string) => void process.stdout.write(`${line}\n`)

try {
  process.exitCode = await main()
} catch (error) {
  const isUsage = error instanceof CannotAttack || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`attack: ${isUsage ? (error as Error).message : (error as Error).stack}\n`)
  process.exitCode = 2
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      echo: { type: 'string' },
      issuer: { type: 'string' },
      websocket: { type: 'string' },
      class: { type: 'string', multiple: true },
      ca: { type: 'string' },
      within: { type: 'string', default: '120' },
      slow: { type: 'string', default: '25' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const [given, ...others] = positionals
  if (given === undefined || others.length > 0 || !URL.canParse(given))
    throw new CannotAttack(`one URL is needed\n\n${HELP}`)
  const url = values.echo === undefined ? new URL(given) : new URL(values.echo, given)
  const classes = chosen(values.class)
  const { TOKEN, EMAIL, PASSWORD } = process.env
  const surveyed = await survey({
    url: url.href,
    ...(TOKEN && { token: TOKEN }),
    ...(EMAIL && PASSWORD && { credentials: { email: EMAIL, password: PASSWORD } }),
    ...(values.issuer && { issuer: values.issuer.replace(/\/$/, '') }),
    ...(values.websocket && { websocketPath: values.websocket }),
    ...(values.ca && { ca: readFileSync(values.ca, 'utf8') }),
    patienceMs: PATIENCE_MS,
    slowMs: seconds('--slow', values.slow),
    revocationMs: REVOCATION_MS,
  })
  const total = classes.reduce((sum, { rows }) => sum + rows.length, 0)
  if (!values.json) {
    say(`${url.href}: ${total} attacks. Only ever against your own deployment.`)
    const { guarded, token, admits, echoes } = await surveyed.current()
    say(
      `${guarded ? 'needs a token' : 'public'}; ${token ? 'a good token is there' : admits ? 'served without one' : 'none is there'}; ` +
        `the service ${echoes ? 'answers with what it received' : 'does not show what it received'}`,
    )
  }
  let done = 0
  const results = await runRows(classes, {
    deployment: surveyed.current,
    deadlineMs: Date.now() + seconds('--within', values.within),
    onResult(result) {
      done++
      if (!values.json) for (const line of resultLines(result)) say(line)
      if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${total}\x1b[K\r`)
    },
  })
  await surveyed.end()
  if (values.json) say(JSON.stringify(reportObject(url.href, results), null, 2))
  else for (const line of summaryLines(results)) say(line)
  return countsOf(results).BROKEN > 0 ? 1 : 0
}

function chosen(ids: string[] | undefined) {
  if (ids === undefined) return CLASSES
  const unknown = ids.find((id) => !CLASSES.some((attackClass) => attackClass.id === id))
  if (unknown !== undefined) throw new CannotAttack(`--class ${unknown}: there is none of this name`)
  return CLASSES.filter(({ id }) => ids.includes(id))
}

/** @returns milliseconds */
function seconds(name: string, value: string): number {
  const number = Number(value)
  if (!(number > 0 && number <= 3600)) throw new CannotAttack(`${name} ${value}: seconds, from 1 to 3600`)
  return number * 1000
}
