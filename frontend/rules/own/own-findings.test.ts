import assert from 'node:assert/strict'
import { check } from '../../check.ts'
import { parseDockerfile } from '../../dockerfile.ts'
import { fakeResolver, optionsWith } from '../../testing/convert-text.ts'
import { ownFindings } from './own-findings.ts'

function found(...lines: readonly string[]): string[] {
  const parsed = parseDockerfile(`${lines.join('\n')}\n`, { name: 'Dockerfile' })
  return ownFindings(parsed).map(({ rule, place }) => `${place.range.startLine} ${rule.name}`)
}

describe('AptInstallWithoutUpdate', () => {
  const update = 'RUN apt-get update'

  it('finds an installation that uses the lists of an earlier RUN', () => {
    assert.deepEqual(found('FROM debian', update, 'RUN apt-get install -y curl'), [
      '3 AptInstallWithoutUpdate',
    ])
    assert.deepEqual(
      found('FROM debian AS a', update, 'FROM a', 'RUN set -e; X=1 sudo apt install "curl"'),
      ['4 AptInstallWithoutUpdate'],
    )
  })

  it('is silent where the RUN may have lists of its own', () => {
    for (const run of [
      'RUN apt-get update -q && apt-get install -y curl',
      'RUN curl https://x/setup | bash - && apt-get install -y nodejs',
      'RUN ./prepare.sh && apt-get install -y curl',
      'RUN --mount=type=cache,target=/var/lib/apt apt-get install -y curl',
      'RUN apt-get install -y ./x.deb',
      'RUN echo "apt-get install curl"',
      'RUN apt-get remove -y curl',
      'RUN <<E\napt-get update\napt-get install -y curl\nE',
    ]) {
      assert.deepEqual(found('FROM debian', update, run), [], run)
    }
    assert.deepEqual(found('FROM debian', 'RUN apt-get install -y curl'), [])
    assert.deepEqual(found('FROM a AS b', update, 'FROM c', 'RUN apt-get install -y curl'), [])
  })
})

describe('CopyAllBeforeInstall', () => {
  it('finds a copy of everything above an installation that needs the lock file only', () => {
    for (const run of ['npm ci', 'yarn', 'pip install -r requirements.txt', 'go mod download']) {
      assert.deepEqual(found('FROM a', 'COPY . .', `RUN cd /x && ${run}`), [
        '2 CopyAllBeforeInstall',
      ])
    }
  })

  it('is silent where the installation needs the sources, came before, or has a cache', () => {
    for (const run of [
      'RUN npm install -g x',
      'RUN pip install -r requirements.txt .',
      'RUN npm run build',
      'RUN --mount=type=cache,target=/root/.npm npm ci',
    ]) {
      assert.deepEqual(found('FROM a', 'COPY . .', run), [], run)
    }
    assert.deepEqual(
      found('FROM a', 'COPY package*.json ./', 'RUN npm ci', 'COPY . .', 'RUN npm ci --omit=dev'),
      [],
    )
    assert.deepEqual(found('FROM a AS b', 'RUN npm ci', 'FROM b', 'COPY . .', 'RUN npm ci'), [])
    assert.deepEqual(found('FROM a', 'COPY --from=b . .', 'RUN npm ci'), [])
  })
})

describe('SecretFileCopied', () => {
  it('finds private keys and credentials, and nothing that is only likely to be one', () => {
    assert.deepEqual(found('FROM a', 'COPY ["x/id_rsa", ".ssh/", "/k/"]', 'ADD me.p12 /'), [
      '2 SecretFileCopied',
      '2 SecretFileCopied',
      '3 SecretFileCopied',
    ])
    assert.deepEqual(
      found('FROM a', 'COPY id_rsa.pub .env .npmrc ca.pem /x/', 'COPY --from=b /id_rsa /'),
      [],
    )
  })
})

describe('FloatingBaseImage', () => {
  it('leaves out what only this machine can have', () => {
    assert.deepEqual(found('FROM golang:1.22', 'FROM web_base'), [])
  })

  it('finds a base without a version beside one with', () => {
    assert.deepEqual(
      found('FROM golang:1.22 AS b', 'FROM alpine', 'FROM debian:latest', 'FROM b'),
      ['2 FloatingBaseImage', '3 FloatingBaseImage'],
    )
  })

  it('is silent where none is pinned, and about stages, variables and scratch', () => {
    assert.deepEqual(found('FROM golang:alpine', 'FROM alpine'), [])
    assert.deepEqual(found('ARG X=a', 'FROM a:1 AS b', 'FROM $X', 'FROM scratch', 'FROM B'), [])
    assert.deepEqual(found(`FROM a@sha256:${'0'.repeat(64)}`, 'FROM b:v2'), [])
  })
})

describe('VolatileArgBeforeInstall', () => {
  it('finds an ARG of every build above an installation that does not use it', () => {
    assert.deepEqual(found('FROM a', 'ARG GIT_COMMIT', 'RUN apk add git', 'LABEL c=$GIT_COMMIT'), [
      '2 VolatileArgBeforeInstall',
    ])
  })

  it('is silent where it is needed there, comes later, or is not known to change', () => {
    assert.deepEqual(found('FROM a', 'RUN apk add git', 'ARG BUILD_DATE'), [])
    assert.deepEqual(found('FROM a', 'ARG COMMIT_SHA', 'RUN x $COMMIT_SHA', 'RUN apk add git'), [])
    assert.deepEqual(found('FROM a', 'ARG VERSION', 'RUN apk add git'), [])
    assert.deepEqual(found('FROM a', 'ARG BUILD_ID', 'RUN make'), [])
  })
})

describe('check with the rules of this builder', () => {
  const text = 'FROM a:1\nCOPY . .\n# check=skip=FloatingBaseImage\nFROM b\nRUN x\n'
  const rulesOf = async (text: string, hasOwnRules: boolean): Promise<string[]> => {
    const report = await check({
      text,
      parseOptions: { name: 'Dockerfile' },
      options: optionsWith(),
      resolver: fakeResolver(),
      signal: new AbortController().signal,
      hasOwnRules,
    })
    return report.warnings.map(({ rule }) => rule)
  }

  it('heeds skips by comment and directive, and says nothing of them unless it is asked to', async () => {
    assert.deepEqual(await rulesOf('FROM a:1\nFROM b\n', true), ['FloatingBaseImage'])
    assert.deepEqual(await rulesOf('FROM a:1\nFROM b\n', false), [])
    assert.deepEqual(await rulesOf(text, true), [])
    assert.deepEqual(await rulesOf('# check=skip=FloatingBaseImage\nFROM a:1\nFROM b\n', true), [])
  })
})
