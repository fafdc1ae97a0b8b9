import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

describe('the build graph', () => {
  requires('steps')

  it('never touches a stage that the target does not need', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: [
        'FROM 127.0.0.1:1/no/such-image AS unused',
        'RUN exit 3',
        `FROM ${host}/library/busybox AS used`,
        'RUN echo made > /made',
      ].join('\n'),
    })
    const { stderr } = await lab.build(['-t', 'x', context])
    assert.doesNotMatch(stderr, /no\/such-image/)
  })

  it('runs independent stages at the same time', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    // Each stage waits for the other's file in a shared cache mount: only side by side can both end.
    const id = `meet-${process.pid}-${Date.now()}`
    const meet = (me: string, other: string): string =>
      `RUN --mount=type=cache,id=${id},target=/meet touch /meet/${me}; ` +
      `n=0; until [ -e /meet/${other} ]; do n=$((n+1)); [ $n -lt 300 ] || exit 9; usleep 50000; done; echo ${me} > /${me}`
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/busybox AS a`,
        meet('a', 'b'),
        `FROM ${host}/library/busybox AS b`,
        meet('b', 'a'),
        'FROM scratch',
        'COPY --from=a /a /',
        'COPY --from=b /b /',
      ].join('\n'),
    })
    const out = join(lab.dir, 'out')
    await lab.build(['-o', out, context])
    assert.equal(await readFile(join(out, 'a'), 'utf8'), 'a\n')
    assert.equal(await readFile(join(out, 'b'), 'utf8'), 'b\n')
  })

  it('runs equal steps of two stages once', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const same = [
      `FROM ${host}/library/busybox AS NAME`,
      'RUN cat /proc/sys/kernel/random/uuid > /id',
    ]
    const context = await lab.context({
      Dockerfile: [
        ...same.map((line) => line.replace('NAME', 'a')),
        ...same.map((line) => line.replace('NAME', 'b')),
        'FROM scratch',
        'COPY --from=a /id /a',
        'COPY --from=b /id /b',
      ].join('\n'),
    })
    const out = join(lab.dir, 'out')
    await lab.build(['-o', out, context])
    assert.equal(await readFile(join(out, 'a'), 'utf8'), await readFile(join(out, 'b'), 'utf8'))
  })
})
