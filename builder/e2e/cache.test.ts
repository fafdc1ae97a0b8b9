import assert from 'node:assert/strict'
import { chmod, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

const PROBE = 'cat /proc/sys/kernel/random/uuid'

/** Files of a context whose four probes change exactly when their step is executed again. */
function probes(base: string): Record<string, string> {
  return {
    Dockerfile: [
      `FROM ${base}`,
      'ARG USED=1',
      `RUN ${PROBE} > /first`,
      'COPY input.txt /input.txt',
      `RUN ${PROBE} > /second && echo $USED`,
      'COPY other.txt /other.txt',
      `RUN ${PROBE} > /third`,
    ].join('\n'),
    'input.txt': 'one\n',
    'other.txt': 'two\n',
  }
}

describe('the cache of whole builds', () => {
  requires('steps')

  /** Builds and returns the probes and the image id. */
  async function build(lab: Lab, context: string, ...args: string[]): Promise<string[]> {
    const out = join(lab.dir, 'out')
    const iid = join(lab.dir, 'iid')
    await lab.build(['-o', `type=local,dest=${out}`, ...args, context])
    await lab.build(['--iidfile', iid, '-t', 'probe', ...args, context])
    const names = ['first', 'second', 'third'].map((name) => join(out, name))
    return await Promise.all([...names, iid].map((path) => readFile(path, 'utf8')))
  }

  it('executes nothing and gives the identical image id when nothing changed', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context(probes(`${host}/library/busybox`))
    const before = await build(lab, context)
    assert.deepEqual(await build(lab, context), before)
    const { stderr } = await lab.build(['-t', 'probe', context])
    assert.equal(stderr.match(/^#\d+ CACHED/gm)?.length, 5, stderr)
  })

  it('is gone without a rest when everything is pruned', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const files = probes(`${host}/library/busybox`)
    const dockerfile = `${files['Dockerfile']}\nFROM scratch\nCOPY --from=0 /first /\n`
    const context = await lab.context({ ...files, Dockerfile: dockerfile })
    const output = `type=oci,dest=${join(lab.dir, 'out.tar')},rewrite-timestamp=true`
    await lab.build(['-o', output, '--build-arg', 'SOURCE_DATE_EPOCH=1', context])
    const left = async (): Promise<string[]> => {
      const names = ['cache', 'contexts', 'blobs', 'layers', 'mounts']
      const places = names.map((name) => join(lab.stateRoot, name))
      const all = await Promise.all(
        places.map((place) => readdir(place, { recursive: true, withFileTypes: true })),
      )
      return all.flat().flatMap((entry) => (entry.isFile() ? [entry.name] : []))
    }
    assert.ok((await left()).length > 10)
    const images = await lab.tsbuild(['images', '-q'])
    await lab.tsbuild(['rmi', ...images.stdout.split('\n').filter((id) => id !== '')])
    const pruned = await lab.tsbuild(['prune', '-af'])
    assert.equal(pruned.status, 0, pruned.text)
    assert.deepEqual(await left(), [])
  })

  it('with another SOURCE_DATE_EPOCH has what made nothing of that time, and the image is that of a new build', async () => {
    await using lab = await Lab.open()
    const dockerfile = 'FROM scratch\nCOPY . /\nWORKDIR /sub\nCOPY sub/a /made/\n'
    const context = await lab.context({ Dockerfile: dockerfile, 'sub/a': 'a' })
    const built = async (epoch: number, root: string): Promise<{ id: string; log: string }> => {
      const iid = join(lab.dir, 'iid')
      const env = { SOURCE_DATE_EPOCH: `${epoch}`, TSBUILD_ROOT: join(lab.dir, root) }
      const { stderr } = await lab.build(['--iidfile', iid, context], { env })
      return { id: await readFile(iid, 'utf8'), log: stderr }
    }
    await built(1, 'state')
    const second = await built(2, 'state')
    assert.match(second.log, /COPY \. \/\n#\d+ CACHED\n\n#\d+ .*WORKDIR \/sub\n#\d+ CACHED\n/)
    assert.match(second.log, /COPY sub\/a \/made\/\n.*not cached: SOURCE_DATE_EPOCH changed/)
    assert.equal(second.id, (await built(2, 'other')).id)
    for (const epoch of [1, 2]) {
      assert.equal((await built(epoch, 'state')).log.match(/^#\d+ CACHED/gm)?.length, 3)
    }
  })

  it('does not look at the mtime of context files', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context(probes(`${host}/library/busybox`))
    const before = await build(lab, context)
    await utimes(join(context, 'input.txt'), 1e9, 1e9)
    assert.deepEqual(await build(lab, context), before)
  })

  it('rebuilds exactly what depends on a changed byte, mode, argument or base', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context(probes(`${host}/library/busybox`))
    const first = await build(lab, context)
    await writeFile(join(context, 'other.txt'), 'two!\n')
    const byte = await build(lab, context)
    assert.deepEqual(changed(first, byte), ['third', 'image'])
    await chmod(join(context, 'input.txt'), 0o600)
    const mode = await build(lab, context)
    assert.deepEqual(changed(byte, mode), ['second', 'third', 'image'])
    const arg = await build(lab, context, '--build-arg', 'USED=2')
    assert.deepEqual(changed(mode, arg), ['first', 'second', 'third', 'image'])
    const unused = await build(lab, context, '--build-arg', 'USED=2', '--build-arg', 'UNUSED=3')
    assert.deepEqual(changed(arg, unused), [])
    const dockerfile = await readFile(join(context, 'Dockerfile'), 'utf8')
    const base = dockerfile.replace(/FROM .*/, `FROM ${host}/library/debian:bookworm`)
    await writeFile(join(context, 'Dockerfile'), base)
    const other = await build(lab, context, '--build-arg', 'USED=2')
    assert.deepEqual(changed(unused, other), ['first', 'second', 'third', 'image'])
  })
})

function changed(before: readonly string[], after: readonly string[]): string[] {
  return ['first', 'second', 'third', 'image'].filter((_, index) => before[index] !== after[index])
}
