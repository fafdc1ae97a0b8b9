import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { digestOf } from '../../registry-client/oci/index.ts'
import type { PackEntry } from '../../snapshotter/index.ts'
import { readContents } from '../../snapshotter/index.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { startWorker } from './start-worker.ts'
import type { PackTarget } from './protocol.ts'
import { allDead, type ProcessInfo, processesBelow } from './testing/processes.ts'
import { labRequest, labStore, SandboxLab } from './testing/sandbox-lab.ts'

const never = new AbortController().signal

describe('the worker', () => {
  requires('root', 'overlay')
  let lab: SandboxLab
  before(async () => {
    lab = await SandboxLab.open()
  })
  after(async () => {
    // There is none where the tests are skipped.
    await lab?.[Symbol.asyncDispose]()
  })

  function target(extra: Partial<PackTarget> = {}): PackTarget {
    return {
      output: lab.path(),
      compression: 'gzip',
      level: undefined,
      contents: lab.path(),
      ...extra,
    }
  }

  async function namesIn(contents: string): Promise<string[]> {
    const names: string[] = []
    for await (const batch of readContents(contents))
      names.push(...batch.map(({ type, path }) => `${type} ${path}`))
    return names
  }

  it('says how it isolates steps', () => {
    assert.equal(lab.worker.info.rung, 'root')
    assert.equal(lab.worker.info.driver, 'overlay')
  })

  it('runs steps side by side', async () => {
    const runs = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) => lab.run(`echo ${name}; exit 1`)),
    )
    assert.deepEqual(
      runs.map(({ stdout, exitCode }) => [stdout, exitCode]),
      [
        ['a\n', 1],
        ['b\n', 1],
        ['c\n', 1],
        ['d\n', 1],
      ],
    )
  })

  it('leaves nothing of a step that failed', async () => {
    const commitTo = lab.path()
    const { exitCode, diff } = await lab.run('echo x > /f; exit 3', { commitTo })
    assert.deepEqual([exitCode, diff], [3, undefined])
    await assert.rejects(stat(commitTo), { code: 'ENOENT' })
    assert.deepEqual(await readdir(join(lab.directory, 'lease/worker')), [])
  })

  it('packs what a step wrote, and unpacks it again for the next one', async () => {
    const { diff } = await lab.run(
      'rm -r /mnt; mkdir /d; echo hello > /d/f; ln /d/f /d/g; touch -d @1000000000 /d; chown 7:8 /d',
      { commitTo: lab.path() },
    )
    assert.ok(diff !== undefined)
    const packTarget = target()
    const packed = await lab.worker.packRun({ ...packTarget, diff, parentContents: [] }, never)
    const names = await namesIn(packTarget.contents)
    assert.deepEqual(names, [
      'dir d',
      'file d/f',
      'hardlink d/g',
      'dir dev',
      'whiteout mnt',
      'dir proc',
      'dir sys',
    ])
    assert.equal(packed.digest, digestOf(await readFile(packTarget.output ?? '')))

    const layer = { path: lab.path() }
    const unpack = {
      blob: packTarget.output ?? '',
      compression: 'auto',
      directory: layer.path,
      contents: lab.path(),
    } as const
    const expect = { diffId: packed.diffId, digest: packed.digest }
    await lab.worker.unpackLayer({ ...unpack, expect }, never)
    const { stdout } = await lab.run('ls /mnt 2>/dev/null; cat /d/g; stat -c "%u:%g %Y" /d', {
      layers: [lab.base, layer],
    })
    assert.equal(stdout, 'hello\n7:8 1000000000\n')
    assert.equal(
      Buffer.from(await lab.worker.readFile(layer, 'd/f', 100, never)).toString(),
      'hello\n',
    )
    await assert.rejects(lab.worker.readFile(layer, 'd/f', 3, never), { code: 'file-too-large' })
  })

  it('leaves nothing of a blob that is not what it was said to be', async () => {
    const { diff } = await lab.run('echo hello > /f', { commitTo: lab.path() })
    const packTarget = target()
    const packed = await lab.worker.packRun(
      { ...packTarget, diff: diff ?? '', parentContents: [] },
      never,
    )
    const wrong = digestOf(Buffer.from('another'))
    const unpack = {
      blob: packTarget.output ?? '',
      compression: 'auto',
      directory: lab.path(),
      contents: lab.path(),
    } as const
    for (const [expect, code] of [
      [{ diffId: packed.diffId, digest: wrong }, 'digest-mismatch'],
      [{ diffId: wrong as unknown as typeof packed.diffId, digest: undefined }, 'diff-id-mismatch'],
    ] as const) {
      await assert.rejects(lab.worker.unpackLayer({ ...unpack, expect }, never), { code })
      await assert.rejects(stat(unpack.directory), { code: 'ENOENT' })
      await assert.rejects(stat(unpack.contents), { code: 'ENOENT' })
    }
  })

  it('packs entries that stream in, however many', async () => {
    async function* entries(): AsyncGenerator<readonly PackEntry[]> {
      for (let batch = 0; batch < 30; batch++) {
        yield Array.from({ length: 100 }, (_, index): PackEntry => {
          const path = `f${String(batch * 100 + index).padStart(5, '0')}`
          const bytes = Buffer.from(path)
          return {
            type: 'file',
            path,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtimeSec: 1,
            sizeBytes: bytes.length,
            source: { kind: 'bytes', bytes },
          }
        })
      }
    }
    const packTarget = target()
    await lab.worker.packEntries(entries(), packTarget, never)
    assert.equal((await namesIn(packTarget.contents)).length, 3000)
  })

  it('gives up a packing whose entries fail to come, with their own error', async () => {
    const reason = new Error('the source is gone')
    async function* failing(): AsyncGenerator<readonly PackEntry[]> {
      yield []
      throw reason
    }
    const packTarget = target()
    await assert.rejects(lab.worker.packEntries(failing(), packTarget, never), reason)
    await assert.rejects(stat(packTarget.output ?? ''), { code: 'ENOENT' })
  })

  it('tells what a step wrote before it is packed, page by page', async () => {
    const script = 'mkdir /d; for i in $(seq 600); do : > /d/$i; done; rm -r /mnt'
    const { diff, hidesDirectories } = await lab.run(script, { commitTo: lab.path() })
    assert.ok(diff !== undefined)
    assert.equal(hidesDirectories, false)
    const first = await lab.worker.readDiff({ diff, page: 0 }, never)
    const second = await lab.worker.readDiff({ diff, page: 1 }, never)
    assert.equal(first?.pageCount, 2)
    const names = [...first.entries, ...(second?.entries ?? [])].map(({ path }) => path)
    assert.equal(names.filter((path) => path.startsWith('d/')).length, 600)
    assert.ok(names.includes('mnt'))
    await lab.worker.packRun({ ...target(), diff, parentContents: [] }, never)
    assert.equal(await lab.worker.readDiff({ diff, page: 0 }, never), undefined)
  })

  it('makes a layer of entries, and leaves nothing of one that cannot be made', async () => {
    const source = lab.path()
    await writeFile(source, 'bytes')
    const metadata = { mode: 0o644, uid: 7, gid: 8, mtimeSec: 1 }
    const entry = (sizeBytes: number): PackEntry => ({
      ...{ type: 'file', path: 'f', ...metadata, sizeBytes },
      source: { kind: 'path', root: dirname(source), path: basename(source) },
    })
    async function* entries(sizeBytes: number): AsyncGenerator<readonly PackEntry[]> {
      yield [entry(sizeBytes)]
    }
    const directory = lab.path()
    const atFirst: string[] = []
    await lab.worker.makeLayer(entries(5), { directory }, never, () => {
      atFirst.push(readFileSync(join(directory, 'fs/f'), 'utf8'))
    })
    assert.deepEqual(atFirst, ['bytes'])
    const { uid, gid } = await stat(join(directory, 'fs/f'))
    assert.deepEqual([uid, gid], [7, 8])
    const failed = lab.path()
    await assert.rejects(lab.worker.makeLayer(entries(4), { directory: failed }, never), {
      code: 'content-changed',
    })
    await assert.rejects(stat(failed), { code: 'ENOENT' })
  })

  it('names the code and message of what failed inside it', async () => {
    const { layers } = labRequest('', [{ path: lab.path() }])
    await assert.rejects(lab.run('true', { layers }), { code: 'snapshot-layer-missing' })
  })

  it('gives a step a socket with the owner and mode that it asked for', async () => {
    const path = lab.path()
    const server = createServer().listen(path)
    try {
      const mounts = [
        { type: 'socket', target: '/run/s', socket: path, mode: 0o600, uid: 1000, gid: 1001 },
      ] as const
      const { stdout } = await lab.run('stat -c "%a %u:%g %F" /run/s', { mounts })
      assert.equal(stdout, '600 1000:1001 socket\n')
      assert.equal((await stat(path)).uid, 0)
    } finally {
      server.close()
    }
  })

  describe('being stopped', () => {
    it('kills a step that ignores signals, at once, and removes what it wrote', async () => {
      const controller = new AbortController()
      const reason = new Error('Ctrl-C')
      const started = performance.now()
      const marker = lab.path()
      await mkdir(marker)
      const mounts = [
        { type: 'directory', target: '/marker', directory: marker, source: '/', isReadonly: false },
      ] as const
      const request = {
        ...labRequest(
          'trap "" INT TERM HUP; echo > /marker/started; echo go; sleep 1000 & sleep 1000',
          [lab.base],
        ),
        mounts,
        commitTo: lab.path(),
      }
      const run = lab.worker.run(request, () => controller.abort(reason), controller.signal)
      await assert.rejects(run, reason)
      assert.ok(performance.now() - started < 2000)
      assert.deepEqual(await readdir(marker), ['started'])
      assert.deepEqual(await readdir(join(lab.directory, 'lease/worker')), [])
      assert.equal((await lab.run('echo still here')).stdout, 'still here\n')
    })

    it('stops a step whose output nobody waits for', async () => {
      const controller = new AbortController()
      const run = lab.worker.run(
        labRequest('yes', [lab.base]),
        () => controller.abort(new Error('enough')),
        controller.signal,
      )
      await assert.rejects(run, /enough/)
    })

    it('does nothing for a call that was aborted before', async () => {
      await assert.rejects(lab.run('true', {}, AbortSignal.abort(new Error('before'))), /before/)
    })
  })

  describe('dying', () => {
    it('fails every call with its last words, and takes all steps along', async () => {
      const directory = await mkdtemp(join(tmpdir(), 'tsbuild-dying-'))
      const others = new Set(processesBelow(process.pid).map(({ pid }) => pid))
      const worker = await startWorker({ store: await labStore(directory) }, never)
      let begun = 0
      let mine: readonly ProcessInfo[] = []
      const killWorker = (): void => {
        begun += 1
        if (begun < 2) return
        mine = processesBelow(process.pid).filter(({ pid }) => !others.has(pid))
        const node = mine.find(({ name }) => name === 'node')
        assert.ok(node !== undefined)
        process.kill(node.pid, 'SIGKILL')
      }
      const runs = ['a', 'b'].map((name) =>
        worker.run(labRequest(`echo ${name}; sleep 1000`, [lab.base]), killWorker, never),
      )
      for (const run of await Promise.allSettled(runs)) {
        assert.equal(run.status, 'rejected')
        assert.equal((run.reason as { code: string }).code, 'worker-died')
      }
      const after = worker.run(labRequest('true', [lab.base]), () => undefined, never)
      await assert.rejects(after, { code: 'worker-died' })
      await worker[Symbol.asyncDispose]()
      // Holder, init, worker, and of each step its supervisor and its shell at least.
      assert.ok(mine.length >= 7, String(mine.length))
      await allDead(mine.map(({ pid }) => pid))
      await rm(directory, { recursive: true })
    })

    it('cannot write outside the state root, even as root', async () => {
      const outside = await mkdtemp(join(tmpdir(), 'tsbuild-outside-'))
      await writeFile(join(outside, 'canary'), 'alive')
      await assert.rejects(
        lab.worker.removeTrees([join(outside, 'canary')], never),
        /EROFS|Read-only/i,
      )
      assert.equal(await readFile(join(outside, 'canary'), 'utf8'), 'alive')
      await rm(outside, { recursive: true })
    })
  })
})
