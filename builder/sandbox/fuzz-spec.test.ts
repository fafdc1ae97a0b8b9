import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packageFile } from '../../snapshotter/index.ts'
import { encodeSpec } from './encode-spec.ts'
import type { SandboxSpec } from './spec.ts'

/** More by hand: `TSBUILD_TEST_FUZZ=100000`. */
const ROUNDS = process.env['TSBUILD_TEST_FUZZ'] ?? '500'

const SPEC: SandboxSpec = {
  stdio: 'captured',
  network: { kind: 'join', path: '/n' },
  hasCgroupNamespace: true,
  isConfined: true,
  recordsOwners: false,
  isChroot: false,
  capabilities: 1n,
  shmSizeBytes: 1024,
  root: {
    type: 'overlay',
    lowerDirs: ['/a', '/b'],
    upperDir: '/u',
    workDir: '/w',
    userXattr: true,
  },
  args: ['/bin/sh', '-c', 'true'],
  env: ['A=1', 'B=2'],
  cwd: '/work',
  user: 'app:app',
  hostname: 'h',
  maskedPaths: ['/proc/kcore'],
  readonlyPaths: ['/proc/sys'],
  cgroupProcs: ['/c'],
  mounts: [
    {
      type: 'tree',
      target: '/t',
      tree: { type: 'bind', dir: '/d' },
      source: '/',
      isReadonly: true,
    },
    { type: 'tmpfs', target: '/tmp', sizeBytes: 4096, isReadonly: true },
    { type: 'file', target: '/f', content: Buffer.from('x'), mode: 0o400, uid: 1, gid: 2 },
    { type: 'socket', target: '/s', socket: '/host' },
  ],
  limits: [{ resource: 7, soft: 1, hard: 2 }],
}

describe("sandbox-init's reading of a spec, with sanitizers", function () {
  this.timeout(300_000)

  it('accepts or refuses whatever bytes come, and does nothing else', () => {
    const source = packageFile('snapshotter/native/sandbox-init/testing/fuzz-spec.c')
    if (source === undefined) throw new Error('the sources of sandbox-init are not here')
    const directory = mkdtempSync(join(tmpdir(), 'tsbuild-fuzz-'))
    try {
      const program = join(directory, 'fuzz-spec')
      const flags = ['-std=gnu11', '-g', '-O1', '-D_GNU_SOURCE', '-fsanitize=address,undefined']
      const sources = ['spec.c', 'report.c'].map((name) => join(source, '../..', name))
      const built = spawnSync(
        'cc',
        [...flags, '-fno-sanitize-recover=all', '-o', program, source, ...sources],
        { encoding: 'utf8' },
      )
      assert.equal(built.status, 0, built.stderr)
      const seed = String(Date.now())
      const fuzzed = spawnSync(program, [ROUNDS, seed], {
        input: encodeSpec(SPEC),
        encoding: 'utf8',
        env: { ASAN_OPTIONS: 'exitcode=99:detect_leaks=0' },
      })
      assert.equal(fuzzed.status, 0, fuzzed.stderr)
      assert.match(fuzzed.stdout, /^\d+ accepted$/m)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
