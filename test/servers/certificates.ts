import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './command.ts'

/** A certificate with its key, in PEM files. */
export interface Certificate {
  certFile: string
  keyFile: string
  cert: string
  key: string
}

/** A certificate authority of a test's own. */
export interface Authority {
  caFile: string
  /** PEM. */
  ca: string
  /**
   * A certificate for `localhost` and 127.0.0.1, as server and as client, with a key of its own.
   * @param name of its files and its subject
   * @param organization of its subject: for Kubernetes, the group of a user
   */
  issue(name: string, organization?: string): Promise<Certificate>
}

/** Makes a certificate authority with the `openssl` on the PATH, in the given folder. */
export async function createAuthority(folder: string, name = 'ca'): Promise<Authority> {
  const [caFile, caKey] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const subject = ['-subj', `/CN=Sallyport test authority ${name}`]
  const rights = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign']
  await run('openssl', [
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    caKey,
    '-out',
    caFile,
    '-days',
    '2',
    ...subject,
    ...rights,
  ])
  return {
    caFile,
    ca: readFileSync(caFile, 'utf8'),
    async issue(name, organization) {
      const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
      const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)]
      writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n')
      const subject = `${organization ? `/O=${organization}` : ''}/CN=${name}`
      await run('openssl', ['req', '-new', ...newKey, '-keyout', keyFile, '-out', request, '-subj', subject])
      // Not counted in a file: two may be made at once.
      const serial = ['-set_serial', `0x01${randomBytes(8).toString('hex')}`]
      const signing = ['-CA', caFile, '-CAkey', caKey, ...serial, '-days', '2', '-extfile', extensions]
      await run('openssl', ['x509', '-req', '-in', request, '-out', certFile, ...signing])
      return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
    },
  }
}
