import { writeFileSync } from 'node:fs'
import { configurationPage, FILE } from './configuration.ts'

// node test/docs/write.ts: writes into docs/configuration.md what is made from the tables of settings.

writeFileSync(FILE, configurationPage())
