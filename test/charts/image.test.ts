import { test } from 'tap'
import { missingChartTools } from '../servers/kubeconform.ts'
import { applications, ciValues, prepareCharts, render } from './charts.ts'
import { objectOf, objectsOf } from './objects.ts'

// Where images come from: one value for a registry, and what names a registry itself is left as it is.

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

/** Every image in an output, those in the injector's template too. */
const imagesIn = (text: string) => [...text.matchAll(/^\s*(?:- )?image: (\S+)$/gm)].map(([, image]) => image!)

for (const chart of applications) {
  test(`${chart}: global.imageRegistry goes before every image whose repository names no registry`, {
    skip,
  }, async (t) => {
    for (const file of ciValues(chart)) {
      const plain = imagesIn(await render(folderOf!(chart), { files: [file] }))
      t.ok(plain.length > 0, file)
      const args = ['--set', 'global.imageRegistry=mirror.example.com/ours']
      const mirrored = imagesIn(await render(folderOf!(chart), { files: [file], args }))
      const named = /^registry\.example\.com\//
      t.same(
        mirrored,
        plain.map((image) => (named.test(image) ? image : `mirror.example.com/ours/${image}`)),
        file,
      )
    }
  })
}

for (const repository of ['registry.example.com/sallyport', 'localhost/sallyport', 'registry:5000/team/sallyport']) {
  test(`${repository} names a registry itself`, { skip }, async (t) => {
    const registry = ['--set', 'global.imageRegistry=mirror.example.com']
    for (const [chart, field] of [
      ['issuer', 'image'],
      ['injector', 'image'],
      ['injector', 'sidecar.image'],
      ['example', 'sidecar.image'],
    ] as const) {
      const files = ciValues(chart).filter((file) => /(embedded|minimal)-values/.test(file))
      const args = [...registry, '--set', `${field}.repository=${repository}`]
      const images = imagesIn(await render(folderOf!(chart), { files, args }))
      t.ok(images.includes(`${repository}:0.1.0`), `${chart} ${field}: ${images.join(', ')}`)
    }
  })
}

test('a digest comes before a tag', { skip }, async (t) => {
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
  for (const chart of applications) {
    const files = ciValues(chart).filter((file) => /(embedded|minimal)-values/.test(file))
    const args = ['--set', `image.digest=${digest}`, '--set', 'image.tag=latest']
    const { spec } = objectOf(objectsOf(await render(folderOf!(chart), { files, args })), 'Deployment').spec.template
    t.equal(spec.containers[0].image, `sallyport@${digest}`, chart)
  }
})
