import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { debianMirror } from '../../../registry-client/testing/fetch-programs.ts'
import { testCachePath } from '../../../registry-client/testing/test-cache.ts'
import { LayoutWriter, readLabLayers } from './layout.ts'

const runFile = promisify(execFile)

/** Base images that the tests build on, by name; tags as on the public registries. */
export const BASE_TAGS = { busybox: 'latest', debian: 'bookworm', node: '20' } as const
export type BaseName = keyof typeof BASE_TAGS

const ENV_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The OCI layout of a base image, or undefined when it has not been made on this machine. */
export function baseLayout(name: BaseName): string | undefined {
  const dir = layoutPath(name)
  return existsSync(join(dir, 'index.json')) ? dir : undefined
}

function layoutPath(name: BaseName): string {
  return testCachePath(`${name}-v2`)
}

/** Makes the base images that are missing. debian and node need root (debootstrap). */
export async function makeBases(log: (line: string) => void): Promise<void> {
  await makeBase('busybox', log, busybox)
  if (process.getuid?.() !== 0) return
  await makeBase('debian', log, debian)
  await makeBase('node', log, node)
}

type Maker = (rootfs: string, layout: LayoutWriter) => Promise<void>

async function makeBase(name: BaseName, log: (line: string) => void, make: Maker): Promise<void> {
  if (baseLayout(name) !== undefined) return
  log(`making the ${name} base image (once per machine)`)
  const finished = layoutPath(name)
  await mkdir(dirname(finished), { recursive: true })
  const work = await mkdtemp(join(dirname(finished), `${name}-work-`))
  try {
    const rootfs = join(work, 'rootfs')
    await mkdir(rootfs)
    await chmod(rootfs, 0o755)
    const layout = new LayoutWriter(join(work, 'layout'))
    await layout.open()
    await make(rootfs, layout)
    await rename(layout.dir, finished)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function busybox(rootfs: string, layout: LayoutWriter): Promise<void> {
  const dirs = [
    'bin',
    'etc',
    'root',
    'proc',
    'sys',
    'dev',
    'usr/bin',
    'usr/sbin',
    'sbin',
    'var',
    'home',
  ]
  for (const dir of dirs) await mkdir(join(rootfs, dir), { recursive: true })
  await mkdir(join(rootfs, 'tmp'))
  await chmod(join(rootfs, 'tmp'), 0o1777)
  const program = join(rootfs, 'bin', 'busybox')
  await cp('/bin/busybox', program)
  const { stdout } = await runFile(program, ['--list'])
  for (const applet of stdout.split('\n').filter((line) => line !== '' && line !== 'busybox')) {
    await symlink('busybox', join(rootfs, 'bin', applet))
  }
  const passwd = [
    'root:x:0:0:root:/root:/bin/sh',
    'daemon:x:1:1:daemon:/usr/sbin:/bin/false',
    'nobody:x:65534:65534:nobody:/home:/bin/false',
  ]
  await writeFile(join(rootfs, 'etc', 'passwd'), `${passwd.join('\n')}\n`)
  await writeFile(join(rootfs, 'etc', 'group'), 'root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n')
  await layout.finish(BASE_TAGS.busybox, [await layout.addLayer(rootfs)], {
    Env: [ENV_PATH],
    Cmd: ['sh'],
  })
}

async function debian(rootfs: string, layout: LayoutWriter): Promise<void> {
  const debootstrap = ['--variant=minbase', 'bookworm', rootfs, await debianMirror()]
  await runFile('debootstrap', debootstrap, { maxBuffer: 1 << 28 })
  await runFile('sh', [
    '-c',
    'rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/dev/*',
    'sh',
    rootfs,
  ])
  const conf = '/etc/apt/apt.conf.d'
  for (const file of (await readdir(conf)).filter((name) => name.startsWith('99'))) {
    await cp(join(conf, file), join(rootfs, conf, file))
  }
  const bundle = '/etc/ssl/certs/ca-certificates.crt'
  await mkdir(join(rootfs, dirname(bundle)), { recursive: true })
  if (existsSync(bundle)) await cp(bundle, join(rootfs, bundle))
  await layout.finish(BASE_TAGS.debian, [await layout.addLayer(rootfs)], {
    Env: [ENV_PATH],
    Cmd: ['bash'],
  })
}

/** debian plus this machine's node and npm. */
async function node(rootfs: string, layout: LayoutWriter): Promise<void> {
  const parent = baseLayout('debian')
  if (parent === undefined) throw new Error('the node base image needs the debian one')
  const local = join(rootfs, 'usr', 'local')
  for (const dir of ['bin', 'etc', 'lib/node_modules']) {
    await mkdir(join(local, dir), { recursive: true })
  }
  await cp(process.execPath, join(local, 'bin', 'node'))
  const { stdout } = await runFile('npm', ['root', '-g'])
  const npm = await realpath(join(stdout.trim(), 'npm'))
  await cp(npm, join(local, 'lib', 'node_modules', 'npm'), {
    recursive: true,
    verbatimSymlinks: true,
  })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin', 'npm'))
  await symlink('../lib/node_modules/npm/bin/npx-cli.js', join(local, 'bin', 'npx'))
  await writeFile(join(local, 'etc', 'npmrc'), 'cafile=/etc/ssl/certs/ca-certificates.crt\n')
  await runFile('chown', ['-R', '0:0', rootfs])
  const layers = await readLabLayers(parent)
  for (const layer of layers) await layout.copyLayer(parent, layer)
  await layout.finish(BASE_TAGS.node, [...layers, await layout.addLayer(rootfs)], {
    Env: [ENV_PATH],
    Cmd: ['node'],
  })
}
