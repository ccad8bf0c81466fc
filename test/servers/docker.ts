import { spawnSync } from 'node:child_process'
import { basename, dirname } from 'node:path'
import { uniqueName } from '../helpers/unique-name.ts'
import type { Command } from './program.ts'
import type { Place } from './server.ts'

export interface Container {
  image: string
  place: Place
  /** The port inside that is published as the place's first port. */
  port: number
  /** The folder inside for the data: a volume, so that they outlive the container. */
  data: string
  /** Host folders to show inside, as `host:inside`. */
  mounts?: string[]
  args: string[]
}

/** `docker run` in the foreground: the container's end is the command's end. */
export function dockerRun({ image, place, port, data, mounts = [], args }: Container): Command {
  const container = uniqueName('sallyport-test')
  const options = ['--rm', '--name', container, '-p', `127.0.0.1:${place.ports[0]}:${port}`]
  const volumes = [`${volumeOf(place)}:${data}`, ...mounts].flatMap((mount) => ['-v', mount])
  return { file: 'docker', args: ['run', ...options, ...volumes, image, ...args], container }
}

/** Deletes the volume of a place, if it has one. */
export function removeVolume(place: Place): void {
  spawnSync('docker', ['volume', 'rm', '-f', volumeOf(place)], { stdio: 'ignore' })
}

function volumeOf(place: Place): string {
  return basename(dirname(place.data))
}
