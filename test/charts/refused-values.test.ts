import { test } from 'tap'
import { missingChartTools } from '../servers/kubeconform.ts'
import { ciValues, type Helm, prepareCharts, render } from './charts.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

/** What is wrong, and how the message names its field: schemas write paths with slashes, templates with dots. */
const rows: { chart: string; set: string[]; says: RegExp }[] = [
  { chart: 'issuer', set: ['replicaCount=many'], says: /replicaCount/ },
  { chart: 'issuer', set: ['replicaCont=2'], says: /replicaCont/ },
  { chart: 'issuer', set: ['image.tagg=1'], says: /tagg/ },
  { chart: 'issuer', set: ['image.pullPolicy=Sometimes'], says: /image.pullPolicy/ },
  { chart: 'issuer', set: ['url=login.example.com'], says: /url/ },
  { chart: 'issuer', set: ['settings.ACCESS_TOKEN_TTL=5 minutes'], says: /settings.ACCESS_TOKEN_TTL/ },
  { chart: 'issuer', set: ['settings.ACCESS_TOKEN_TLL=5m'], says: /ACCESS_TOKEN_TLL/ },
  { chart: 'issuer', set: ['settings.HASH_TIME=0'], says: /settings.HASH_TIME/ },
  { chart: 'issuer', set: ['settings.MASTER_KEY=a-secret-in-values'], says: /MASTER_KEY/ },
  { chart: 'issuer', set: ['settings.ISSUER_PORT=80'], says: /ISSUER_PORT/ },
  { chart: 'issuer', set: ['secrets.existingSecret='], says: /secrets\.existingSecret: / },
  { chart: 'issuer', set: ['secrets.keys.feedToken='], says: /secrets\.keys\.feedToken: / },
  { chart: 'issuer', set: ['secrets.externalSecret.enabled=true'], says: /secrets\.existingSecret: not together/ },
  { chart: 'issuer', set: ['mongodb.enabled=true', 'mongodb.url=mongodb://me:pass@mongo'], says: /mongodb.url/ },
  { chart: 'issuer', set: ['mongodb.enabled=true', 'secrets.keys.mongoUrl='], says: /mongodb\.url: / },
  { chart: 'issuer', set: ['redis.enabled=true', 'secrets.keys.masterKey='], says: /secrets\.keys\.masterKey: / },
  { chart: 'issuer', set: ['kafka.enabled=true'], says: /kafka\.brokers: / },
  { chart: 'issuer', set: ['kafka.brokers={kafka}'], says: /kafka.brokers/ },
  {
    chart: 'issuer',
    set: ['kafka.enabled=true', 'kafka.brokers={a:9092,b:9093}'],
    says: /networkPolicy\.egress\.kafka\.port: 9092 is let out, and kafka\.brokers has 9093/,
  },
  {
    chart: 'issuer',
    set: ['redis.enabled=true', 'redis.url=rediss://redis.data.svc:6380/0'],
    says: /networkPolicy\.egress\.redis\.port: 6379 is let out, and redis\.url has 6380/,
  },
  {
    chart: 'issuer',
    set: ['mongodb.enabled=true', 'mongodb.url=mongodb://a\\,b:27018/sallyport?tls=true'],
    says: /networkPolicy\.egress\.mongodb\.port: 27017 is let out, and mongodb\.url has 27018/,
  },
  { chart: 'issuer', set: ['kafka.sasl.mechanism=plain', 'kafka.sasl.username=u'], says: /kafka\.sasl\.mechanism: / },
  { chart: 'issuer', set: ['kafka.sasl.mechanism=gssapi'], says: /kafka.sasl.mechanism/ },
  { chart: 'issuer', set: ['kafka.strimziTopic.enabled=true'], says: /kafka\.strimziTopic\.cluster: / },
  { chart: 'issuer', set: ['replicaCount=2'], says: /replicaCount: .*mongodb\.enabled/ },
  { chart: 'issuer', set: ['autoscaling.enabled=true'], says: /autoscaling\.enabled: / },
  { chart: 'issuer', set: ['migration.mode=job'], says: /migration\.mode: / },
  { chart: 'issuer', set: ['migration.mode=later'], says: /migration.mode/ },
  { chart: 'issuer', set: ['ingress.enabled=true'], says: /ingress\.host: / },
  { chart: 'issuer', set: ['commonLabels.app\\.kubernetes\\.io/name=x'], says: /commonLabels/ },
  { chart: 'issuer', set: ['ingress.paths={/}'], says: /ingress.paths/ },
  {
    chart: 'issuer',
    set: ['ingress.paths={/auth,/metrics/}'],
    says: /ingress\.paths: \/metrics\/ would make \/metrics public/,
  },
  { chart: 'issuer', set: ['ingress.paths={/r}'], says: /ingress\.paths: \/r would make \/readyz public/ },
  { chart: 'issuer', set: ['ingress.paths={/auth/../metrics}'], says: /ingress.paths/ },
  { chart: 'issuer', set: ['service.type=LoadBalancer'], says: /networkPolicy\.from: is needed with service\.type/ },
  { chart: 'issuer', set: ['networkPolicy.from[0].podSelektor.a=b'], says: /networkPolicy.from/ },
  { chart: 'issuer', set: ['secrets.keys.smtpUrl=SMTP_URL'], says: /settings\.MAIL_FROM: / },
  { chart: 'issuer', set: ['settings.REQUIRE_VERIFIED_EMAIL=on'], says: /secrets\.keys\.smtpUrl: / },
  { chart: 'issuer', set: ['podSecurityContext.runAsNonRoot=false'], says: /podSecurityContext.runAsNonRoot/ },
  { chart: 'issuer', set: ['resources.limits.memory=lots'], says: /resources.limits.memory/ },
  { chart: 'issuer', set: ['podLabels.app\\.kubernetes\\.io/name=x'], says: /podLabels/ },
  { chart: 'issuer', set: ['podAnnotations.checksum/config=x'], says: /podAnnotations/ },
  { chart: 'issuer', set: ['global.imageRegistry=https://registry.example.com'], says: /global.imageRegistry/ },
  { chart: 'issuer', set: ['prometheusRule.whenAbsent=on'], says: /prometheusRule.whenAbsent/ },
  { chart: 'example', set: ['sidecar.isolation=none'], says: /isolation/ },
  { chart: 'example', set: ['sidecar.service.prot=3000'], says: /prot/ },
  { chart: 'example', set: ['sidecar.settings.MAX_STALENESS=soon'], says: /settings.MAX_STALENESS/ },
  { chart: 'example', set: ['sidecar.settings.FEED_TOKEN=a-secret-in-values'], says: /FEED_TOKEN/ },
  { chart: 'example', set: ['sidecar.routes[0].path=admin'], says: /routes.0.path/ },
  { chart: 'example', set: ['sidecar.routes[0].path=/a', 'sidecar.routes[0].rolls={x}'], says: /rolls/ },
  { chart: 'example', set: ['sidecar.issuer.url='], says: /sidecar\.issuer\.url: / },
  { chart: 'example', set: ['service.port=0'], says: /service.port/ },
]

for (const generation of ['helm3', 'helm4'] satisfies Helm[]) {
  for (const { chart, set, says } of rows) {
    test(`${generation} refuses ${chart}: ${set.join(', ')}`, { skip }, async (t) => {
      const files = ciValues(chart).filter((file) => /(embedded|minimal)-values/.test(file))
      t.equal(files.length, 1)
      const args = set.flatMap((value) => ['--set', value])
      await t.rejects(render(folderOf!(chart), { helm: generation, files, args }), { message: says })
    })
  }
}
