import assert from 'node:assert/strict'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { requires } from '../../snapshotter/testing/requires.ts'
import { serveHttp } from '../ops/testing/http-server.ts'
import { assertFails } from './lab/assert-fails.ts'
import { mustRun } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

describe('bad input', () => {
  it('says that the Dockerfile is missing and where it looked', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ 'a.txt': '' })
    const result = await lab.tsbuild(['-t', 'x', context])
    await assertFails(lab, result, 1, /Dockerfile/, new RegExp(context))
  })

  it('warns of what is above an error in the Dockerfile', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nMAINTAINER me\nBAD x\n' })
    const result = await lab.tsbuild(['build', '--progress=plain', context])
    await assertFails(lab, result, 1, /1 warning found[\s\S]*MaintainerDeprecated.*line 2/, /BAD/)
  })

  it('says that the context is missing', async () => {
    await using lab = await Lab.open()
    const missing = join(lab.dir, 'nowhere')
    await assertFails(
      lab,
      await lab.tsbuild(['-t', 'x', missing]),
      1,
      new RegExp(missing),
      /not found/,
    )
  })

  it('refuses an unknown flag as wrong usage and suggests the nearest', async () => {
    await using lab = await Lab.open()
    await assertFails(
      lab,
      await lab.tsbuild(['build', '--targt', 'x', '.']),
      2,
      /--targt/,
      /--target/,
    )
  })

  it('takes flags with empty values, as of variables that are not set, for not given', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const flags = ['cache-from', 'cache-to', 'ssh', 'add-host', 'secret', 'progress']
    await lab.build([...flags.map((flag) => `--${flag}=`), '-t', 'x', context])
  })

  it('says that there is no place for temporary files', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\n' })
    const archive = join(lab.dir, 'context.tar')
    await mustRun('tar', ['-C', context, '-cf', archive, '.'])
    const input = await readFile(archive)
    const result = await lab.tsbuild(['build', '-'], { input, env: { TMPDIR: '/no/such' } })
    await assertFails(lab, result, 1, /temporary files: no such file or directory$/m, /set TMPDIR/)
  })

  it('does not wait for a download that hangs once something else has failed', async () => {
    await using lab = await Lab.open()
    let tellHangs = (): void => {}
    const hangs = new Promise<void>((resolve) => (tellHangs = resolve))
    await using server = await serveHttp((request, response) => {
      if (request.url === '/hangs') return tellHangs()
      void hangs.then(() => response.writeHead(404).end())
    })
    const base = `http://${server.host}`
    const context = await lab.context({
      Dockerfile: `FROM scratch\nADD ${base}/hangs /a\nADD ${base}/fails /b\n`,
    })
    const result = await lab.tsbuild(['build', '--progress=plain', context])
    await assertFails(lab, result, 1, /fails.*404/, />>> ADD .*fails/, /hangs .*\n#\d+ CANCELED/)
  })

  it('takes empty values, those of variables that are not set, for none, as buildx does', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const flags = ['output', 'annotation', 'allow', 'build-context', 'provenance', 'sbom', 'secret']
    const cwd = await lab.context({}, 'elsewhere')
    await lab.build([...flags.map((flag) => `--${flag}=`), '-t', 'kept', context], { cwd })
    assert.match((await lab.tsbuild(['images'])).stdout, /^kept /m)
    assert.deepEqual(await readdir(cwd), [])
  })

  it('refuses to annotate the index of one platform, which has none', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    for (const flags of [
      ['--annotation', 'index:a=b'],
      ['-o', `type=oci,dest=${join(lab.dir, 'o.tar')},annotation-index.a=b`],
    ]) {
      const result = await lab.tsbuild(['build', ...flags, context])
      await assertFails(lab, result, 2, /index:a/, /several platforms/)
    }
  })

  it("refuses annotations that Docker's media types do not have", async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const docker = `type=oci,dest=${join(lab.dir, 'o.tar')},oci-mediatypes=false`
    for (const given of [
      ['--annotation', 'manifest-descriptor:a=b'],
      ['--annotation', 'index:a=b', '--platform', 'linux/amd64,linux/arm64'],
    ]) {
      const result = await lab.tsbuild(['build', '-o', docker, ...given, context])
      await assertFails(lab, result, 2, /:a cannot be written with oci-mediatypes=false/)
    }
    await lab.build(['-o', docker, '--annotation', 'a=b', context])
  })

  it('refuses to annotate the image of a platform that is not built', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    const flags = ['--platform', 'linux/amd64', '--annotation', 'manifest[linux/s390x]:a=b']
    const result = await lab.tsbuild(['build', ...flags, context])
    await assertFails(lab, result, 2, /manifest\[linux\/s390x\]:a/, /is for linux\/amd64/)
  })

  it('names an unknown target stage and the nearest one', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({
      Dockerfile: 'FROM scratch AS release\nCOPY Dockerfile /\n',
    })
    const result = await lab.tsbuild(['--target', 'relase', context])
    await assertFails(lab, result, 1, /relase/, /release/)
  })

  it('shows the line of a missing COPY source', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY missing.txt /\n' })
    const result = await lab.tsbuild(['-t', 'x', context])
    await assertFails(
      lab,
      result,
      1,
      /missing\.txt/,
      /not found/,
      /Dockerfile:2/,
      />>> COPY missing\.txt/,
    )
  })

  it('does not let a COPY source leave the context', async () => {
    await using lab = await Lab.open()
    await writeFile(join(lab.dir, 'secret.txt'), 'secret')
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY ../secret.txt /\n' })
    const result = await lab.tsbuild(['-t', 'x', context])
    await assertFails(lab, result, 1, /secret\.txt/, /not found/)
  })

  it('reports every syntax error of a file at once, each with its line', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({
      Dockerfile: "FROM scratch\nCOPYY a b\nLABEL x=it's\nENV ONLY\nCOPY a /\n",
    })
    const result = await lab.tsbuild(['-t', 'x', context])
    await assertFails(lab, result, 1, /COPYY/, /COPY\b/, /Dockerfile:2/, /Dockerfile:4/)
  })

  it('names a registry that cannot be reached', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM 127.0.0.1:1/library/busybox\n' })
    const result = await lab.tsbuild(['-t', 'x', context])
    await assertFails(lab, result, 1, /127\.0\.0\.1:1/, /ECONNREFUSED|refused/, /Dockerfile:1/)
  })

  it('refuses a wrong password and stores nothing', async () => {
    await using lab = await Lab.open()
    await using server = await serveHttp((_request, response) => {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="lab"' })
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
    })
    const { host } = server
    const result = await lab.tsbuild(['login', '-u', 'me', '--password-stdin', host], {
      input: 'pass word\n',
    })
    await assertFails(lab, result, 1, new RegExp(host), /unauthorized|credentials|password/i)
    assert.doesNotMatch(result.text, /pass word/)
    const context = await lab.context({ Dockerfile: `FROM ${host}/x\n` })
    await assertFails(lab, await lab.tsbuild([context]), 1, new RegExp(host), /tsbuild login/)
  })

  it('names the image whose digest does not exist', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const digest = `sha256:${'0'.repeat(64)}`
    const context = await lab.context({ Dockerfile: `FROM ${host}/library/busybox@${digest}\n` })
    await assertFails(lab, await lab.tsbuild([context]), 1, /not found/, /busybox/)
  })
})

describe('bad input at the time of execution', () => {
  requires('root')

  it('says what a failing RUN printed, its exit code and its line', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    const context = await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN echo last words; exit 42\n`,
    })
    const result = await lab.tsbuild(['-t', 'x', context])
    await assertFails(lab, result, 1, /last words/, /exit code: 42/, /Dockerfile:2/)
  })

  it('says that it may not write the state root', async () => {
    await using lab = await Lab.open()
    const context = await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })
    await chmod(lab.dir, 0o755)
    const result = await lab.tsbuild(['-t', 'x', context], {
      uid: 65534,
      env: { TSBUILD_ROOT: '/proc/nope' },
    })
    assert.equal(result.status, 1, result.text)
    assert.match(result.stderr, /\/proc\/nope/)
    assert.match(result.stderr, /TSBUILD_ROOT|--root/)
  })
})
