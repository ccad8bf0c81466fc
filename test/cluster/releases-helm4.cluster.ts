import { testReleases } from './releases.ts'

await testReleases('helm4')
