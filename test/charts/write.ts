import { readFileSync, writeFileSync } from 'node:fs'
import { chartNames } from './charts.ts'
import { generated } from './generated.ts'

// node test/charts/write.ts: writes into the charts what is made from their values and from the settings.

for (const chart of chartNames) {
  for (const { file, content } of generated(chart)) {
    if (readFileSync(file, 'utf8') === content) continue
    writeFileSync(file, content)
    process.stdout.write(`${file}\n`)
  }
}
