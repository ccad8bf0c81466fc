import { port, row, type SettingsTable, section, text } from '../shared/settings.ts'

/** Every setting of the demo service. */
export const DEMO_SETTINGS = {
  ...section('Addresses', {
    DEMO_HOST: row(text, '127.0.0.1', 'the address the demo service listens on'),
    DEMO_PORT: row(port, 3000, 'the port the demo service listens on; 0 takes a free one'),
  }),
} satisfies SettingsTable
