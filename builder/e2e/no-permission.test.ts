import assert from 'node:assert/strict'
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { assertFails, assertUnharmed } from './lab/assert-fails.ts'
import type { CommandResult } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { asUserWithoutNamespaces, placeRoot, runIn } from './lab/places.ts'
import { labRegistry } from './lab/registry.ts'

const NOBODY = 65534

/** Builds as a user without any right to files of root; the lab's folder becomes that user's. */
async function buildAs(lab: Lab, uid: number, args: readonly string[]): Promise<CommandResult> {
  await chmod(lab.dir, 0o755)
  await mkdir(lab.stateRoot, { recursive: true })
  await chown(lab.stateRoot, uid, uid)
  return await lab.tsbuild(args, { uid, gid: uid, cwd: lab.dir })
}

describe('files that may not be read', () => {
  requires('root')

  it('in the context: a file is named, with what to do', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({
      Dockerfile: 'FROM scratch\nCOPY . /\n',
      'deep/secret.key': { content: 'x', mode: 0o600 },
    })
    const result = await buildAs(lab, NOBODY, ['-t', 'x', context])
    await assertFails(
      lab,
      result,
      1,
      /deep\/secret\.key/,
      /[Pp]ermission denied/,
      /Dockerfile:2/,
      /HINT: .*\.dockerignore/,
    )
    await writeFile(join(context, '.dockerignore'), '**/*.key\n')
    const excluded = await buildAs(lab, NOBODY, ['-t', 'x', context])
    assert.equal(excluded.status, 0, excluded.text)
  })

  it('in the context: a directory is named, with what to do', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' })
    await mkdir(join(context, 'closed'), { mode: 0o700 })
    const result = await buildAs(lab, NOBODY, ['-t', 'x', context])
    await assertFails(lab, result, 1, /closed/, /[Pp]ermission denied/, /HINT: .*\.dockerignore/)
    await writeFile(join(context, '.dockerignore'), 'closed\n')
    const excluded = await buildAs(lab, NOBODY, ['-t', 'x', context])
    assert.equal(excluded.status, 0, excluded.text)
  })

  it('as Dockerfile: it is named once', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: { content: 'FROM scratch\n', mode: 0o600 } })
    const result = await buildAs(lab, NOBODY, ['-t', 'x', '--progress=none', context])
    await assertFails(lab, result, 1, /could not read .*\/Dockerfile: permission denied/, /HINT/)
  })

  it('at the destination: what may not be written is said before anything is built', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' })
    const closed = join(lab.dir, 'closed')
    await mkdir(closed, { mode: 0o755 })
    for (const args of [
      ['-o', `type=oci,dest=${closed}/image.tar`],
      ['-o', `type=tar,dest=${closed}/files.tar`],
      ['-o', `${closed}/files`],
      ['--iidfile', `${closed}/iid`],
      ['--metadata-file', `${closed}/metadata.json`],
    ]) {
      const result = await buildAs(lab, NOBODY, ['-t', 'x', ...args, context])
      await assertFails(lab, result, 1, new RegExp(closed), /[Pp]ermission denied/)
      assert.doesNotMatch(result.stderr, /COPY/)
    }
  })
})

describe('links that lead out of the context', () => {
  const sources = ['file', 'absolute', 'up/outside.txt', 'l*', 'chain']
  for (const source of sources) {
    it(`are not followed by COPY ${source}, and the message says where they lead`, async () => {
      await using lab = await Lab.open()
      await writeFile(join(lab.dir, 'outside.txt'), 'secret')
      const context = await lab.context({
        Dockerfile: `FROM scratch\nCOPY ${source} /copied\n`,
      })
      await symlink('../outside.txt', join(context, 'file'))
      await symlink(join(lab.dir, 'outside.txt'), join(context, 'absolute'))
      await symlink('..', join(context, 'up'))
      await symlink('file', join(context, 'link'))
      await symlink('link', join(context, 'chain'))
      const result = await lab.tsbuild(['-o', join(lab.dir, 'out'), context])
      await assertFails(
        lab,
        result,
        1,
        /not found \(\w+ is a symbolic link to \S+, which is not in the build context\)/,
        /Dockerfile:2/,
      )
      assert.doesNotMatch(result.text, /secret/)
      await assertUnharmed(lab)
    })
  }

  it('are copied as links with the directory that holds them', async () => {
    await using lab = await Lab.open()
    await writeFile(join(lab.dir, 'outside.txt'), 'secret')
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /copied/\n' })
    await symlink('../outside.txt', join(context, 'file'))
    const tar = await lab.build(['-o', 'type=tar,dest=-', context])
    assert.doesNotMatch(tar.stdout, /secret/)
    assert.match(tar.stdout, /\.\.\/outside\.txt/)
  })
})

describe('a machine without user namespaces', function () {
  this.timeout(120_000)
  requires('root', 'userns')

  it('fails a RUN by an ordinary user with the setting and the command that changes it', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN echo never\n`,
    })
    const result = await runIn(lab, asUserWithoutNamespaces, ['build', '-t', 'x', context])
    const setting = /sysctl -w user\.max_user_namespaces=/
    await assertFails(lab, result, 1, /user namespaces are switched off/, setting, /Dockerfile:2/)
    assert.deepEqual(await lab.unfinished(placeRoot(lab)), [])
  })
})
