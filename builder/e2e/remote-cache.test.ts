import assert from 'node:assert/strict'
import { appendFile, cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../../registry-client/oci/index.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

const PROBE = 'cat /proc/sys/kernel/random/uuid'

/** A stage whose result changes whenever it is executed, and one that copies of it. */
function twoStages(base: string): Record<string, string> {
  return {
    Dockerfile: [
      `FROM ${base} AS make`,
      'WORKDIR /src',
      'COPY source.txt .',
      // More than what is copied: else its layer would be that of the COPY, which the cache holds.
      `RUN ${PROBE} | tee /log > /made`,
      `FROM ${base}`,
      'COPY conf.txt /conf',
      'COPY --from=make /made /made',
      `RUN ${PROBE} > /probe`,
    ].join('\n'),
    'source.txt': 'one\n',
    'conf.txt': 'two\n',
  }
}

interface Built {
  readonly id: string
  /** Steps by the end of their titles. */
  readonly cached: readonly string[]
  readonly executed: readonly string[]
  readonly stderr: string
}

/** A build in a state root of its own, which knows nothing. */
async function buildFresh(lab: Lab, name: string, args: readonly string[]): Promise<Built> {
  const iid = join(lab.dir, `iid-${name}`)
  const env = { TSBUILD_ROOT: join(lab.dir, `root-${name}`) }
  const { stderr } = await lab.build(['--iidfile', iid, ...args], { env })
  const titles = new Map<string, string>()
  for (const [, step, title] of stderr.matchAll(/^#(\d+) \[(?!internal)[^\]]*\] (.*)$/gm)) {
    titles.set(String(step), String(title))
  }
  const ended = (pattern: RegExp): string[] =>
    [...stderr.matchAll(pattern)].flatMap(([, step]) => titles.get(String(step)) ?? []).toSorted()
  return {
    id: await readFile(iid, 'utf8'),
    cached: ended(/^#(\d+) CACHED/gm),
    executed: ended(/^#(\d+) DONE/gm).filter((title) => !title.startsWith('FROM ')),
    stderr,
  }
}

async function prune(lab: Lab): Promise<void> {
  for (const name of (await readdir(lab.dir)).filter((entry) => entry.startsWith('root-'))) {
    await lab.tsbuild(['prune', '-af'], { env: { TSBUILD_ROOT: join(lab.dir, name) } })
  }
}

/** Makes every layer of a cache stand for the next one, with digests that fit. */
async function exchangeLayers(dir: string): Promise<void> {
  const blobs = join(dir, 'blobs/sha256')
  const put = async (
    json: unknown,
  ): Promise<{ readonly digest: string; readonly size: number }> => {
    const bytes = Buffer.from(JSON.stringify(json))
    const digest = digestOf(bytes)
    await writeFile(join(blobs, digest.slice('sha256:'.length)), bytes)
    return { digest, size: bytes.byteLength }
  }
  const get = async (digest: string): Promise<Record<string, never>> =>
    JSON.parse(await readFile(join(blobs, digest.slice('sha256:'.length)), 'utf8'))
  const index = JSON.parse(await readFile(join(dir, 'index.json'), 'utf8'))
  const manifest: Record<string, { digest: string }> = await get(index.manifests[0].digest)
  const document: Record<string, string[]> = await get(manifest['config']?.digest ?? '')
  const [first = '', ...rest] = document['diffIds'] ?? []
  const config = {
    ...manifest['config'],
    ...(await put({ ...document, diffIds: [...rest, first] })),
  }
  index.manifests[0] = { ...index.manifests[0], ...(await put({ ...manifest, config })) }
  await writeFile(join(dir, 'index.json'), JSON.stringify(index))
}

describe('a remote cache', () => {
  requires('root')
  let count = 0

  /** A repository and a context that no other test has. */
  async function open(lab: Lab): Promise<{ readonly ref: string; readonly context: string }> {
    const { host } = await labRegistry()
    count += 1
    const context = await lab.context(twoStages(`${host}/library/busybox`))
    return { ref: `${host}/cache/test-${process.pid}-${count}:c`, context }
  }

  for (const mode of ['min', 'max']) {
    it(`in a registry makes an empty machine execute nothing: mode=${mode}`, async () => {
      await using lab = await Lab.open()
      const { ref, context } = await open(lab)
      const to = `type=registry,ref=${ref},mode=${mode}`
      const first = await buildFresh(lab, 'a', ['--cache-to', to, context])
      assert.equal(first.cached.length, 0)
      const second = await buildFresh(lab, 'b', ['--cache-from', ref, context])
      assert.deepEqual(second.executed, [])
      assert.equal(second.cached.length, 6)
      assert.equal(second.id, first.id)
      const out = join(lab.dir, 'out')
      const env = { TSBUILD_ROOT: join(lab.dir, 'root-c') }
      await lab.build(['--cache-from', ref, '-o', `type=local,dest=${out}`, context], { env })
      assert.match(await readFile(join(out, 'made'), 'utf8'), /^[0-9a-f-]{36}\n$/)
      await prune(lab)
    })
  }

  it('of mode=max spares a changed build what does not depend on the change', async () => {
    await using lab = await Lab.open()
    const { ref, context } = await open(lab)
    await buildFresh(lab, 'a', ['--cache-to', `type=registry,ref=${ref},mode=max`, context])
    await appendFile(join(context, 'source.txt'), 'more\n')
    const both = ['--cache-from', ref, '--cache-to', `type=registry,ref=${ref},mode=max`, context]
    const second = await buildFresh(lab, 'b', both)
    assert.deepEqual(second.cached, ['COPY conf.txt /conf', 'WORKDIR /src'])
    assert.equal(second.executed.length, 4)
    // Of the layers that were found, none was fetched to be written to where it is.
    const third = await buildFresh(lab, 'c', both)
    assert.deepEqual([third.id, third.executed], [second.id, []])
    await prune(lab)
  })

  it('of mode=min builds a stage that it only names, when its files are needed', async () => {
    await using lab = await Lab.open()
    const { ref, context } = await open(lab)
    await buildFresh(lab, 'a', ['--cache-to', `type=registry,ref=${ref}`, context])
    await appendFile(join(context, 'Dockerfile'), '\nCOPY --from=make /src/source.txt /source\n')
    const second = await buildFresh(lab, 'b', ['--cache-from', ref, context])
    assert.match(second.stderr, /a stage is needed whose layers the cache does not hold/)
    const out = join(lab.dir, 'out')
    const rest = ['-o', `type=local,dest=${out}`, context]
    await lab.build(rest, { env: { TSBUILD_ROOT: join(lab.dir, 'root-b') } })
    assert.equal(await readFile(join(out, 'source'), 'utf8'), 'one\n')
    const isExecuted = second.executed.some((title) => title.startsWith('RUN'))
    assert.ok(isExecuted, second.stderr)
    await prune(lab)
  })

  it('of mode=min is left for a build beside which other steps are at work', async () => {
    await using lab = await Lab.open()
    const { ref, context } = await open(lab)
    await buildFresh(lab, 'a', ['--cache-to', `type=registry,ref=${ref}`, context])
    const dockerfile = await readFile(join(context, 'Dockerfile'), 'utf8')
    const [, base = ''] = /^FROM (\S+)/.exec(dockerfile) ?? []
    // It starts its worker while the COPY finds that a file is missing.
    const other = `FROM ${base} AS other\nRUN ${PROBE} > /other\n`
    const rest = '\nCOPY --from=make /log /log\nCOPY --from=other /other /\n'
    await writeFile(join(context, 'Dockerfile'), other + dockerfile + rest)
    const second = await buildFresh(lab, 'b', ['--cache-from', ref, context])
    assert.equal(second.stderr.match(/a stage is needed whose layers/g)?.length, 1, second.stderr)
    assert.ok(second.executed.includes(`RUN ${PROBE} > /other`), second.stderr)
    await prune(lab)
  })

  it('is asked beside others: a branch and the main line', async () => {
    await using lab = await Lab.open()
    const { ref, context } = await open(lab)
    const main = await buildFresh(lab, 'a', [
      '--cache-to',
      `type=registry,ref=${ref},mode=max`,
      context,
    ])
    const missing = ref.replace(/:c$/, ':branch')
    const from = [
      '--cache-from',
      `type=registry,ref=${missing}`,
      '--cache-from',
      `type=registry,ref=${ref}`,
    ]
    const branch = await buildFresh(lab, 'b', [...from, context])
    assert.match(branch.stderr, new RegExp(`could not use cache ${missing}.*not found`))
    assert.deepEqual([branch.id, branch.executed], [main.id, []])
    await prune(lab)
  })

  it('is whole whoever of two writers was last', async () => {
    await using lab = await Lab.open()
    const { ref, context } = await open(lab)
    const to = ['--cache-to', `type=registry,ref=${ref},mode=max`, context]
    const both = await Promise.all(['a', 'b'].map((name) => buildFresh(lab, name, to)))
    const third = await buildFresh(lab, 'c', ['--cache-from', ref, context])
    assert.deepEqual(third.executed, [])
    assert.ok(both.some(({ id }) => id === third.id))
    await prune(lab)
  })

  it('may be a directory', async () => {
    await using lab = await Lab.open()
    const { context } = await open(lab)
    const dir = join(lab.dir, 'cache')
    const to = `type=local,dest=${dir},mode=max,tag=x,compression=zstd`
    const first = await buildFresh(lab, 'a', ['--cache-to', to, context])
    const again = await buildFresh(lab, 'a', ['--cache-to', to, context])
    assert.equal(again.id, first.id)
    const index: { manifests: unknown[] } = JSON.parse(
      await readFile(join(dir, 'index.json'), 'utf8'),
    )
    assert.equal(index.manifests.length, 1)
    const blobs = (): Promise<string[]> => readdir(join(dir, 'blobs/sha256'))
    await appendFile(join(context, 'source.txt'), 'more\n')
    await buildFresh(lab, 'a', ['--cache-to', to, context])
    const grown = await blobs()
    await writeFile(join(context, 'source.txt'), 'one\n')
    await buildFresh(lab, 'a', ['--cache-to', `${to},reset=true`, context])
    assert.ok((await blobs()).length < grown.length)
    const from = ['--cache-from', `type=local,src=${dir},tag=x`]
    const second = await buildFresh(lab, 'b', ['-t', 'probe', ...from, context])
    assert.deepEqual([second.id, second.executed], [first.id, []])
    await rm(dir, { recursive: true })
    // What an image needs was fetched: it does not depend on the cache afterwards.
    const env = { TSBUILD_ROOT: join(lab.dir, 'root-b') }
    await lab.tsbuild(['save', '-o', join(lab.dir, 'saved.tar'), 'probe'], { env })
    assert.ok((await stat(join(lab.dir, 'saved.tar'))).size > 0)
    await prune(lab)
  })

  it('gives layers by name when the image is only pushed, without fetching them', async () => {
    await using lab = await Lab.open()
    const { ref, context } = await open(lab)
    await buildFresh(lab, 'a', ['--cache-to', `type=registry,ref=${ref}`, context])
    const name = ref.replace('/cache/', '/app/')
    const pushed = await buildFresh(lab, 'b', ['--cache-from', ref, '--push', '-t', name, context])
    assert.doesNotMatch(pushed.stderr, /pulling/)
    assert.match(pushed.stderr, /mounted from cache\//)
    const env = { TSBUILD_ROOT: join(lab.dir, 'root-b') }
    await lab.tsbuild(['save', '-o', join(lab.dir, 'saved.tar'), name], { env })
    assert.ok((await stat(join(lab.dir, 'saved.tar'))).size > 0)
    await prune(lab)
  })

  it('may be part of the image', async () => {
    await using lab = await Lab.open()
    const { ref, context } = await open(lab)
    const push = ['-t', ref, '--push', '--cache-to', 'type=inline', context]
    const first = await buildFresh(lab, 'a', push)
    const second = await buildFresh(lab, 'b', ['--cache-from', ref, context])
    assert.deepEqual([second.id, second.executed], [first.id, []])
    await prune(lab)
  })

  it('whose layer is another one than it says is built without that layer', async () => {
    await using lab = await Lab.open()
    const { context } = await open(lab)
    const dir = join(lab.dir, 'cache')
    await buildFresh(lab, 'a', ['--cache-to', `type=local,dest=${dir},mode=max`, context])
    await exchangeLayers(dir)
    const out = join(lab.dir, 'out')
    const env = { TSBUILD_ROOT: join(lab.dir, 'root-b') }
    const from = ['--cache-from', `type=local,src=${dir}`, '--target', 'make']
    const { stderr } = await lab.build([...from, '-t', 'poisoned', context], { env })
    await lab.build(['-o', `type=local,dest=${out}`, '--target', 'make', context], { env })
    assert.equal(await readFile(join(out, 'src/source.txt'), 'utf8'), 'one\n')
    assert.match(stderr, /could not use layer .* from the cache: .* its content is/)
    // Named by the old cache and taken by it for something else: the new cache is whole without it.
    const fresh = join(lab.dir, 'fresh')
    const to = [
      '--cache-from',
      `type=local,src=${dir}`,
      '--cache-to',
      `type=local,dest=${fresh},mode=max`,
    ]
    const copied = await buildFresh(lab, 'c', [...to, '-o', 'type=cacheonly', context])
    assert.match(copied.stderr, /is left out of the new cache/)
    const third = await buildFresh(lab, 'd', ['--cache-from', `type=local,src=${fresh}`, context])
    assert.doesNotMatch(third.stderr, /could not use/)
    await prune(lab)
  })

  it('of a kind that there is not is told of, and the build goes without it; writing it fails', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const gha = 'type=gha,scope=main'
    const { stderr } = await lab.build(['--cache-from', gha, '-t', 'x', context])
    assert.match(stderr, /could not use a cache of type gha: only registry and local/)
    const refused = await lab.tsbuild(['--cache-to', `${gha},mode=max`, '-t', 'x', context])
    assert.equal(refused.status, 2, refused.text)
    assert.match(refused.stderr, /cache type "gha" is not supported/)
  })

  it('that is damaged is told of, and the build goes without it', async () => {
    await using lab = await Lab.open()
    const { context } = await open(lab)
    const dir = join(lab.dir, 'cache')
    const first = await buildFresh(lab, 'a', ['--cache-to', `type=local,dest=${dir}`, context])
    const damaged = join(lab.dir, 'damaged')
    await cp(dir, damaged, { recursive: true })
    for (const name of await readdir(join(damaged, 'blobs/sha256'))) {
      const path = join(damaged, 'blobs/sha256', name)
      const text = await readFile(path, 'latin1')
      if (text.startsWith('{"keyVersion"')) await writeFile(path, text.replace('"copy"', '"run"'))
    }
    const second = await buildFresh(lab, 'b', [
      '--cache-from',
      `type=local,src=${damaged}`,
      context,
    ])
    assert.match(second.stderr, /could not use cache .*damaged/)
    assert.equal(second.cached.length, 0)
    assert.notEqual(second.id, first.id)
    const place = join(lab.dir, 'nowhere', 'file')
    await writeFile(join(lab.dir, 'nowhere'), '')
    const failing = ['--cache-to', `type=local,dest=${place}`, '-t', 'x', context]
    assert.equal((await lab.tsbuild(failing)).status, 1)
    const ignoring = [
      '--cache-to',
      `type=local,dest=${place},ignore-error=true`,
      '-t',
      'x',
      context,
    ]
    const ignored = await lab.tsbuild(ignoring)
    assert.equal(ignored.status, 0, ignored.text)
    assert.match(ignored.stderr, /could not export the cache/)
    await prune(lab)
  })
})
