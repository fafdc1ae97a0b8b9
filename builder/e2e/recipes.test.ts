import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  HTPASSWD_ACCOUNT,
  type RealRegistry,
  requireRealRegistry,
  startRealRegistry,
} from '../../registry-client/testing/real-registry.ts'
import { PROJECT, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'

/** The part of docs/ci.md below a heading. */
async function section(heading: string): Promise<string> {
  const text = await readFile(join(PROJECT, 'docs/ci.md'), 'utf8')
  const [, found] = text.split(`\n## ${heading}\n`)
  assert.ok(found !== undefined, `docs/ci.md has no section ${heading}`)
  return found.split(/^## /m)[0] ?? ''
}

/** The items of a YAML list of commands; those after `>` are folded to one line. */
function listItems(yaml: string, item: RegExp): string[] {
  return [...yaml.matchAll(item)].map(([, text = '']) =>
    text.replace(/^>\n/, '').trim().replaceAll(/\n\s+/g, ' '),
  )
}

describe('the recipes for CI', function () {
  this.timeout(120_000)
  let registry: RealRegistry

  before(async function () {
    requireRealRegistry(this)
    registry = await startRealRegistry({ htpasswd: true })
  })

  after(() => registry?.[Symbol.asyncDispose]())

  /** Runs lines of a recipe as its system does: each in a shell of its own, in the checkout. */
  async function run(
    lines: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<Lab> {
    assert.ok(lines.length > 1, lines.join('\n'))
    const lab = await Lab.open()
    try {
      await lab.context({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' }, 'checkout')
      for (const line of lines) await runLine(lab, line, env)
      return lab
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw error
    }
  }

  async function runLine(
    lab: Lab,
    line: string,
    env: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { status, text } = await runCommand('sh', ['-euc', line], {
      cwd: join(lab.dir, 'checkout'),
      env: await lab.scriptEnv(env),
    })
    assert.equal(status, 0, `${line}\n${text}`)
  }

  async function digestIn(lab: Lab): Promise<string> {
    const text = await readFile(join(lab.dir, 'checkout/metadata.json'), 'utf8')
    return /"containerimage.digest": "(sha256:\w+)"/.exec(text)?.[1] ?? assert.fail(text)
  }

  it('of GitHub Actions log in, build with a cache and push', async () => {
    const yaml = (await section('GitHub Actions'))
      .replaceAll('ghcr.io', registry.host)
      .replaceAll('${{ github.repository }}', 'github/app')
      .replaceAll('${{ github.sha }}', '0123abc')
    const lines = listItems(yaml, /- run: ((?:>\n)?(?:.*)(?:\n {10}\S.*)*)/g).filter((line) =>
      /tsbuild (?:login|build)/.test(line),
    )
    const { username, password } = HTPASSWD_ACCOUNT
    await using lab = await run(lines, { GITHUB_ACTOR: username, TOKEN: password })
    assert.match(await digestIn(lab), /^sha256:/)
  })

  it('of GitLab CI log in, push two tags and keep the cache in the registry', async () => {
    const yaml = (await section('GitLab CI')).split('artifacts:')[0] ?? ''
    const lines = listItems(yaml, /^ {4}- ((?:>\n)?(?:.*)(?:\n {6}\S.*)*)/gm)
    const { username, password } = HTPASSWD_ACCOUNT
    await using _ = await run(lines, {
      CI_REGISTRY: registry.host,
      CI_REGISTRY_USER: username,
      CI_REGISTRY_PASSWORD: password,
      CI_REGISTRY_IMAGE: `${registry.host}/gitlab/app`,
      CI_COMMIT_SHORT_SHA: '0123abc',
      CI_COMMIT_REF_SLUG: 'my-branch',
      CI_DEFAULT_BRANCH: 'main',
    })
  })

  it('of Jenkins log in, push and clean up', async () => {
    const groovy = (await section('Jenkins')).replaceAll('registry.example.com', registry.host)
    const lines = [...groovy.matchAll(/\bsh '([^']+)'/g)].map(([, line]) => line ?? '')
    const { username, password } = HTPASSWD_ACCOUNT
    await using lab = await run(lines, { NAME: username, PASSWORD: password, BUILD_NUMBER: '7' })
    assert.match(await digestIn(lab), /^sha256:/)
  })

  it('of Tekton push and give the digest on', async () => {
    const yaml = await section('Kubernetes and Tekton')
    const script = /script: \|\n((?: {8}.*\n)+)/.exec(yaml)?.[1] ?? assert.fail('no script')
    const line = script
      .replaceAll('$(params.image)', `${registry.host}/tekton/app:v1`)
      .replaceAll('$(results.digest.path)', 'digest')
      .replaceAll('/tmp/metadata.json', 'metadata.json')
    const auth = Buffer.from(`${HTPASSWD_ACCOUNT.username}:${HTPASSWD_ACCOUNT.password}`)
    const config = JSON.stringify({ auths: { [registry.host]: { auth: auth.toString('base64') } } })
    const login = 'mkdir config && printf %s "$CONFIG" > config/config.json'
    await using lab = await run([login, line], { DOCKER_CONFIG: 'config', CONFIG: config })
    const given = await readFile(join(lab.dir, 'checkout/digest'), 'utf8')
    assert.equal(given, await digestIn(lab))
  })
})
