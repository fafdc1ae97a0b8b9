import assert from 'node:assert/strict'
import { parseDockerfile } from './dockerfile.ts'
import { outline, outlineJson, renderOutline } from './outline.ts'
import type { Outline } from './outline.ts'
import { listTargets, renderTargets, targetsJson } from './targets.ts'
import { fakeResolver, optionsWith } from './testing/convert-text.ts'

const TEXT = `ARG IMG=a
ARG UNUSED
FROM $IMG AS base
# MODE how to build
ARG MODE=fast
RUN --mount=type=secret,id=tok,required --mount=type=ssh x
FROM b AS other
ARG OTHER
# final the result
FROM base AS final
ARG IMG
ARG TARGETARCH
ARG PORT
`

function outlineOf(text: string, target?: string): Promise<Outline> {
  const parsed = parseDockerfile(text, { name: 'Dockerfile' })
  const buildArgs = new Map([['PORT', '80']])
  const options = optionsWith({ target, buildArgs })
  return outline(parsed, options, fakeResolver(), new AbortController().signal)
}

describe('outline', () => {
  it('lists what the target can be given, in the order of the lines', async () => {
    const data = await outlineOf(TEXT)
    assert.equal(
      renderOutline(data),
      [
        'TARGET:      final',
        'DESCRIPTION: the result',
        '',
        'BUILD ARG   VALUE   DESCRIPTION',
        'IMG         a       ',
        'MODE        fast    how to build',
        'PORT        80      ',
        '',
        'SECRET   REQUIRED',
        'tok      true',
        '',
        'SSH       REQUIRED',
        'default   ',
        '',
        '',
      ].join('\n'),
    )
  })

  it('has the warnings of a build, and fails where one would', async () => {
    const data = await outlineOf('FROM a AS b\nMAINTAINER me\n')
    assert.deepEqual(
      data.warnings.map(({ rule }) => rule),
      ['MaintainerDeprecated'],
    )
    assert.doesNotMatch(outlineJson(data, ''), /Maintainer/)
    await assert.rejects(outlineOf('# check=error=true\nFROM a\nMAINTAINER me\n'), /lint violation/)
  })

  it('leaves out what only other targets use', async () => {
    const data = await outlineOf(TEXT, 'other')
    assert.deepEqual(
      data.args.map(({ name }) => name),
      ['OTHER'],
    )
    assert.deepEqual(data.secrets, [])
  })

  it('follows defaults to the arguments that they read', async () => {
    const data = await outlineOf('ARG REG=r\nARG IMG=$REG/a\nFROM $IMG\n')
    assert.deepEqual(
      data.args.map(({ name, value }) => [name, value]),
      [
        ['REG', 'r'],
        ['IMG', 'r/a'],
      ],
    )
  })

  it('leaves empty lists out of the JSON', async () => {
    const text = 'FROM a\nARG X\n'
    const location = { ranges: [{ start: { line: 2 }, end: { line: 2 } }] }
    assert.deepEqual(JSON.parse(outlineJson(await outlineOf(text), text)), {
      args: [{ name: 'X', location }],
      sources: [btoa(text)],
    })
  })
})

describe('targets', () => {
  const text = '# base does a\nFROM img AS Base\nFROM --platform=$BUILDPLATFORM scratch\n'
  const parsed = parseDockerfile(text, { name: 'Dockerfile' })

  it('are listed with their descriptions and the default', () => {
    assert.equal(
      renderTargets(listTargets(parsed)),
      'TARGET    DESCRIPTION\nbase      does a\n(default) \n',
    )
  })

  it('have their base and platform as written in the JSON', () => {
    assert.deepEqual(JSON.parse(targetsJson(parsed)), {
      targets: [
        {
          name: 'base',
          description: 'does a',
          base: 'img',
          location: { ranges: [{ start: { line: 2 }, end: { line: 2 } }] },
        },
        {
          default: true,
          base: 'scratch',
          platform: '$BUILDPLATFORM',
          location: { ranges: [{ start: { line: 3 }, end: { line: 3 } }] },
        },
      ],
      sources: [btoa(text)],
    })
  })
})
