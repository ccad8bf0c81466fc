export interface Bar {
  name: string
  /** Chooses the colour. */
  kind: 'sidecar' | 'plain' | 'peer' | 'none'
  value: number
}

export interface Chart {
  title: string
  /** Small lines below the bars. */
  notes: string[]
  bars: Bar[]
}

const WIDTH = 800
const NAMES = 230
const FIGURES = 60
const [TOP, ROW, BAR, NOTE] = [44, 26, 16, 18]

// Of one lightness each, so that they differ on white and on black alike; the second is for a dark page.
const STYLE = `text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .title { font-weight: 600; font-size: 15px }
    .note { font-size: 11px; fill: #59636e }
    .sidecar { fill: #0969da } .plain, .none { fill: #8c959f } .peer { fill: #bc6c25 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .note { fill: #9198a1 }
      .sidecar { fill: #4493f8 } .plain, .none { fill: #6e7681 } .peer { fill: #db8b42 }
    }`

/** Horizontal bars, from zero, as an SVG that stands on light and dark pages. */
export function drawBars({ title, notes, bars }: Chart): string {
  const height = TOP + bars.length * ROW + notes.length * NOTE + 16
  const scale = (WIDTH - NAMES - FIGURES) / Math.max(...bars.map(({ value }) => value))
  const rows = bars.map(({ name, kind, value }, i) => {
    const y = TOP + i * ROW
    const length = (value * scale).toFixed(1)
    return `  <text x="${NAMES - 10}" y="${y + BAR - 3}" text-anchor="end">${escaped(name)}</text>
  <rect class="${kind}" x="${NAMES}" y="${y}" width="${length}" height="${BAR}" rx="2"/>
  <text x="${NAMES + Number(length) + 6}" y="${y + BAR - 3}">${value.toFixed(0)}</text>`
  })
  const under = notes.map((note, i) => {
    const y = TOP + bars.length * ROW + (i + 1) * NOTE
    return `  <text class="note" x="10" y="${y}">${escaped(note)}</text>`
  })
  const summary = bars.map(({ name, value }) => `${name}: ${value.toFixed(0)}`).join('; ')
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">
  <title>${escaped(title)}</title>
  <desc>${escaped(summary)}</desc>
  <style>
    ${STYLE}
  </style>
  <text class="title" x="10" y="22">${escaped(title)}</text>
${[...rows, ...under].join('\n')}
</svg>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
