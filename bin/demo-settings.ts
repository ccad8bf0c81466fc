import { port, type Setting, text } from '../shared/settings.ts'

export const DEMO_SETTINGS = {
  DEMO_HOST: { kind: text, default: '127.0.0.1', meaning: 'address the demo service listens on' } as Setting<string>,
  DEMO_PORT: { kind: port, default: 3000, meaning: 'port of the demo service' } as Setting<number>,
}
