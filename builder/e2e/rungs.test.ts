import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import {
  asPlainContainer,
  asRoot,
  asSingleId,
  asUserWithIds,
  type Place,
  runIn,
} from './lab/places.ts'
import { labRegistry } from './lab/registry.ts'

/** `mode owner path` of each entry that is not below one of `without`. */
async function owners(tar: string, without: RegExp): Promise<string[]> {
  const { stdout } = await mustRun('tar', ['--numeric-owner', '-tvf', tar])
  const lines = stdout.split('\n').map((line) => {
    const [, mode, owner, path] =
      /^(\S+)\s+(\d+\/\d+)\s+\S+\s+\S+\s+\S+\s(.*?)(?: -> .*| link to .*)?$/.exec(line) ?? []
    return `${mode} ${owner} ${path}`
  })
  return lines.filter((line) => !without.test(line)).toSorted()
}

/** Builds in a place and returns who owns what, and what was said. */
async function ownersFrom(
  lab: Lab,
  place: Place,
  context: string,
  without: RegExp,
): Promise<{ readonly lines: string[]; readonly text: string }> {
  const tar = join(lab.dir, `${place.name}.tar`)
  const output = `type=tar,dest=${tar}`
  const result = await runIn(lab, place, ['build', '--progress=plain', '-o', output, context])
  assert.equal(result.status, 0, result.text)
  return { lines: await owners(tar, without), text: result.text }
}

/** What apt downloads and logs is not the same from one minute to the next. */
const PASSING = /\/var\/(log|cache|lib\/apt)\//

async function debianContext(lab: Lab): Promise<string> {
  const { host } = await labRegistry()
  return await lab.context({
    Dockerfile: [
      `FROM ${host}/library/debian:bookworm`,
      'RUN --mount=type=cache,target=/var/cache/apt --mount=type=tmpfs,target=/var/log \\',
      '  apt-get update && apt-get install -y --no-install-recommends cron',
      'USER 33:33',
      'RUN id -u > /tmp/uid; (sleep 1000 &)',
    ].join('\n'),
  })
}

let madeByRoot: Promise<readonly string[]> | undefined

/** Who owns what when root builds `debianContext`; built once. */
async function ownersByRoot(): Promise<readonly string[]> {
  const build = async (): Promise<readonly string[]> => {
    await using lab = await Lab.open()
    return (await ownersFrom(lab, asRoot, await debianContext(lab), PASSING)).lines
  }
  madeByRoot ??= build()
  return await madeByRoot
}

/** A context whose one dependency is an archive beside it, so that npm needs no network. */
async function npmContext(lab: Lab, base: string): Promise<string> {
  const packed = join(lab.dir, 'package')
  await mkdir(packed)
  const dependency = { name: 'dep', version: '1.0.0', bin: { dep: 'dep.js' } }
  await writeFile(join(packed, 'package.json'), JSON.stringify(dependency))
  await writeFile(join(packed, 'dep.js'), '#!/usr/bin/env node\nconsole.log("dep runs")\n')
  const archive = join(lab.dir, 'dep.tgz')
  await mustRun('tar', ['-C', lab.dir, '-czf', archive, 'package'])
  const bytes = await readFile(archive)
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  const root = { name: 'app', version: '1.0.0', dependencies: { dep: 'file:dep.tgz' } }
  const locked = { version: '1.0.0', resolved: 'file:dep.tgz', integrity, bin: { dep: 'dep.js' } }
  const context = await lab.context({
    'package.json': JSON.stringify(root),
    'package-lock.json': JSON.stringify({
      ...{ name: 'app', version: '1.0.0', lockfileVersion: 3, requires: true },
      packages: { '': root, 'node_modules/dep': locked },
    }),
    Dockerfile: [
      `FROM ${base}`,
      'RUN useradd --create-home --uid 1500 ann',
      'USER ann',
      'WORKDIR /home/ann/app',
      'COPY --chown=ann package*.json dep.tgz ./',
      'RUN npm ci --no-audit --no-update-notifier && npx --offline dep',
    ].join('\n'),
  })
  await writeFile(join(context, 'dep.tgz'), bytes)
  return context
}

describe('a build by a user with a single id', function () {
  this.timeout(600_000)
  requires('root', 'userns')

  it('installs Debian packages with the owners and modes that root gets', async () => {
    await using lab = await Lab.open()
    const { lines, text } = await ownersFrom(lab, asSingleId, await debianContext(lab), PASSING)
    assert.match(text, /NOTE: .* has no range of ids for 64999, so steps have a single user id/)
    const crontab = lines.find((line) => line.endsWith(' usr/bin/crontab')) ?? ''
    assert.match(crontab, /^-rwxr-sr-x 0\/10\d /)
    assert.deepEqual(lines, await ownersByRoot())
  })

  it('runs npm ci as a USER, to whom everything that it makes belongs', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await npmContext(lab, `${host}/library/node:20`)
    const { lines, text } = await ownersFrom(lab, asSingleId, context, / (?!home\/ann\/app)\S*$/)
    assert.match(text, / dep runs$/m)
    const made = lines.map((line) => line.split(' ').slice(1).join(' '))
    assert.ok(made.includes('1500/1500 home/ann/app/node_modules/dep/dep.js'), lines.join('\n'))
    assert.ok(made.includes('1500/1500 home/ann/app/node_modules/.bin/dep'), lines.join('\n'))
    assert.deepEqual(
      made.filter((line) => !line.startsWith('1500/1500 ')),
      [],
    )
  })
})

/** Helpers that are there and have no power: `how` they lost it is a command before that of a user with subordinate ids. */
const POWERLESS: readonly (readonly [string, readonly string[], RegExp])[] = [
  [
    'under no_new_privs',
    ['setpriv', '--no-new-privs'],
    /NOTE: the id map was refused \(newgidmap: .*\) under no_new_privs, so steps have a single user id: .*no-new-privileges/,
  ],
  [
    'on a mount without set-user-id',
    [
      ...['unshare', '--mount', 'sh', '-c'],
      'for f in newuidmap newgidmap; do mount --bind /usr/bin/$f /usr/bin/$f && ' +
        'mount -o remount,bind,nosuid /usr/bin/$f || exit; done; exec "$@"',
      'sh',
    ],
    /NOTE: the id map was refused \(newgidmap: .*\), so steps have a single user id: .*nosuid/,
  ],
]

describe('a build by a user whose newuidmap has no power', function () {
  this.timeout(120_000)
  requires('root', 'userns')

  for (const [name, how, notice] of POWERLESS) {
    it(`has a single id ${name}, and one notice says why and what to do`, async () => {
      await using lab = await Lab.open()
      const { host } = await labRegistry()
      const context = await lab.context({
        Dockerfile: [
          `FROM ${host}/library/busybox`,
          'RUN touch /f && chown 33:33 /f',
          'RUN test "$(stat -c %u:%g /f)" = 33:33',
        ].join('\n'),
      })
      const place: Place = async (at) => [...how, ...(await asUserWithIds(at))]
      const result = await runIn(lab, place, ['build', '--progress=plain', context])
      assert.equal(result.status, 0, result.text)
      assert.match(result.text, notice)
      assert.equal(result.text.match(/NOTE: the id map/g)?.length, 1, result.text)
    })
  }

  it('keeps a root that has real ids, and says why it cannot go on with it', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nARG WHO\nRUN echo $WHO\n`,
    })
    const first = await runIn(lab, asUserWithIds, ['build', context])
    assert.equal(first.status, 0, first.text)
    const place: Place = async (at) => ['setpriv', '--no-new-privs', ...(await asUserWithIds(at))]
    const second = await runIn(lab, place, ['build', '--build-arg', 'WHO=other', context])
    assert.equal(second.status, 1, second.text)
    assert.match(second.text, /real ids, and only a single one .*refused .*under no_new_privs/)
  })
})

describe('a build by the root of a plain container', function () {
  this.timeout(600_000)
  requires('root', 'userns')

  it('installs Debian packages, says how steps are isolated, and leaves nothing', async () => {
    await using lab = await Lab.open()
    const { lines, text } = await ownersFrom(
      lab,
      asPlainContainer,
      await debianContext(lab),
      PASSING,
    )
    assert.match(
      text,
      /NOTE: steps run by chroot only.*namespaces is forbidden here .*--privileged/,
    )
    assert.ok(lines.includes('-rw-r--r-- 33/33 tmp/uid'), lines.join('\n'))
    assert.deepEqual(lines, await ownersByRoot())
  })

  it('says why a step without network cannot be had', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const Dockerfile = `FROM ${host}/library/busybox\nRUN --network=none true\n`
    const result = await runIn(lab, asPlainContainer, ['build', await lab.context({ Dockerfile })])
    assert.equal(result.status, 1, result.text)
    assert.match(result.text, /could not run the step without network: no namespaces can be made/)
  })
})
