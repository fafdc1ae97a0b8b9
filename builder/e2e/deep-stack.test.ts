import assert from 'node:assert/strict'
import { requires } from '../../snapshotter/testing/requires.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

/** More than Docker's 127, and than lower directories whose paths fit into the one page that mount(2) takes. */
const LAYERS = 200

describe('an image of very many layers', function () {
  this.timeout(300_000)
  requires('steps')

  it('is built, run and built upon', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const names = Array.from({ length: LAYERS }, (_, i) => `f${i}`)
    const lines = names.map((name, i) => `COPY file /d/${name}${i % 100 === 99 ? '-hundred' : ''}`)
    const context = await lab.context({
      Dockerfile: [
        `FROM ${host}/library/busybox AS many`,
        ...lines,
        'RUN rm /d/f0 && ls /d | wc -l > /count',
        'FROM many',
        'RUN cat /count && ls /d/*-hundred | wc -l && test ! -e /d/f0',
      ].join('\n'),
      file: 'x',
    })
    const { stderr } = await lab.build(['-t', 'x', context])
    assert.match(stderr, new RegExp(` ${LAYERS - 1}\n`))
    assert.match(stderr, new RegExp(` ${LAYERS / 100}\n`))
  })
})
