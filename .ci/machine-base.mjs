// A base image as an OCI layout, made from the machine's own shell, a few tools and the shared libraries they need.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

const TOOLS = [
  'sh',
  'cat',
  'sed',
  'wc',
  'id',
  'ls',
  'mkdir',
  'rm',
  'cp',
  'mv',
  'touch',
  'sleep',
  'env',
  'chmod',
  'chown',
  'grep',
  'head',
  'true',
]

function output(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${result.stderr}`)
  return result.stdout
}

function find(tool) {
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .map((dir) => join(dir, tool))
    .find(existsSync)
  if (path === undefined) throw new Error(`this machine has no ${tool}`)
  return path
}

/** The loader and libraries of a program, as the paths it asks for; a static program has none. */
function librariesOf(program) {
  const result = spawnSync('ldd', [program], { encoding: 'utf8' })
  if (result.status !== 0) return []
  return [...result.stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1])
}

function fillRootfs(rootfs) {
  for (const dir of ['bin', 'etc', 'tmp', 'usr/local/bin', 'root'])
    mkdirSync(join(rootfs, dir), { recursive: true })
  const libraries = new Set()
  for (const tool of TOOLS) {
    const program = find(tool)
    copyFileSync(realpathSync(program), join(rootfs, 'bin', tool))
    for (const library of librariesOf(program)) libraries.add(library)
  }
  for (const library of libraries) {
    mkdirSync(join(rootfs, dirname(library)), { recursive: true })
    copyFileSync(realpathSync(library), join(rootfs, library))
  }
  symlinkSync('../bin', join(rootfs, 'usr', 'bin'))
  writeFileSync(join(rootfs, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  writeFileSync(join(rootfs, 'etc', 'group'), 'root:x:0:\n')
}

function writeLayout(layout, tar) {
  const blobs = join(layout, 'blobs', 'sha256')
  mkdirSync(blobs, { recursive: true })
  const hex = (bytes) => createHash('sha256').update(bytes).digest('hex')
  const put = (mediaType, bytes) => {
    writeFileSync(join(blobs, hex(bytes)), bytes)
    return { mediaType, digest: `sha256:${hex(bytes)}`, size: bytes.length }
  }
  const layer = put('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(tar, { level: 1 }))
  const config = put(
    'application/vnd.oci.image.config.v1+json',
    Buffer.from(
      JSON.stringify({
        architecture: { x64: 'amd64', arm64: 'arm64' }[process.arch] ?? process.arch,
        os: 'linux',
        config: { Env: ['PATH=/usr/local/bin:/bin'], Cmd: ['sh'] },
        rootfs: { type: 'layers', diff_ids: [`sha256:${hex(tar)}`] },
        history: [{ created_by: "this machine's own files" }],
      }),
    ),
  )
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = put(
    mediaType,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] })),
  )
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [manifest] }),
  )
}

/** Makes the layout at `layout` unless it is there; returns its path. */
export function makeMachineBase(layout) {
  if (existsSync(join(layout, 'index.json'))) return layout
  mkdirSync(dirname(layout), { recursive: true })
  const work = mkdtempSync(`${layout}-`)
  try {
    const rootfs = join(work, 'rootfs')
    fillRootfs(rootfs)
    const tarFile = join(work, 'rootfs.tar')
    output('tar', [
      '--sort=name',
      '--mtime=@0',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '-C',
      rootfs,
      '-cf',
      tarFile,
      '.',
    ])
    writeLayout(join(work, 'layout'), readFileSync(tarFile))
    renameSync(join(work, 'layout'), layout)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return layout
}
