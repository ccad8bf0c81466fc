import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const CERTIFICATE = '-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n'
const TEXTS: Record<string, string> = {
  MONGO_URL: 'mongodb://mongo/sallyport',
  REDIS_URL: 'redis://redis',
  SMTP_URL: 'smtps://mail.example.com',
}

/** An environment whose files, which are in volumes, are in `folder` with something that fits. */
export function withFiles(folder: string, env: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([variable, value]) => {
      const name = /^(.*)_FILE$/.exec(variable)?.[1]
      if (name === undefined || name === 'ROUTES') return [variable, value]
      const file = join(folder, name)
      writeFileSync(
        file,
        name.endsWith('_CA') ? CERTIFICATE : (TEXTS[name] ?? `${name} that only the tests know and no one else`),
      )
      return [variable, file]
    }),
  )
}
