import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import type { LayerDirectory } from '../../snapshotter/index.ts'
import { kernel, OverlaySnapshotter } from '../../snapshotter/index.ts'
import { requires } from '../../snapshotter/testing/requires.ts'
import type { StepRequest } from '../worker/protocol.ts'
import { labRequest, makeBusyboxLayer } from '../worker/testing/sandbox-lab.ts'
import { encodeSpec } from './encode-spec.ts'
import { execute } from './execute.ts'
import { initProgram } from './init-program.ts'
import { ReportReader, type SandboxReport } from './report.ts'
import { type SandboxSpec, sandboxSpec } from './spec.ts'

const never = new AbortController().signal

function stepOf(script: string): StepRequest {
  const { limits: _, cgroupParent: __, ...step } = labRequest(script, [])
  return { ...step, cgroupProcs: [] }
}

describe('execute', () => {
  requires('root', 'overlay')
  let directory: string
  let base: LayerDirectory
  let snapshotter: OverlaySnapshotter
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tsbuild-execute-'))
    base = { path: join(directory, 'base') }
    await makeBusyboxLayer(base)
    snapshotter = new OverlaySnapshotter({ kernel, workDir: directory, userXattr: false })
  })
  after(async () => {
    if (directory !== undefined) await rm(directory, { recursive: true })
  })

  function specOver(root: SandboxSpec['root'], script: string): SandboxSpec {
    return sandboxSpec(stepOf(script), {
      root,
      mounts: [],
      network: { kind: 'none' },
      hosts: '',
      resolvConf: '',
      hasCgroupNamespace: true,
      recordsOwners: false,
      isChroot: false,
      ownLimits: '',
    })
  }

  async function outputOver(
    layers: readonly LayerDirectory[],
    script: string,
    useOptionString: boolean,
  ): Promise<string> {
    await using snapshot = await snapshotter.prepare(layers, never)
    let text = ''
    const output = (_: string, bytes: Uint8Array): void => {
      text += Buffer.from(bytes).toString()
    }
    const program = initProgram()
    const outcome = await execute(
      specOver(snapshot.root, script),
      { program, output, useOptionString },
      never,
    )
    assert.equal(outcome.exitCode, 0, text)
    return text
  }

  for (const useOptionString of [false, true]) {
    const how = useOptionString ? 'mount(2), as on kernels before 6.8' : 'fsconfig(2)'
    it(`mounts 150 layers with ${how}`, async () => {
      const layers = await Promise.all(
        Array.from({ length: 150 }, async (_, index) => {
          const layer = {
            path: join(
              directory,
              `with a long name, so that a page would not hold all of them, ${useOptionString}-${index}`,
            ),
          }
          await mkdir(join(layer.path, 'fs'), { recursive: true })
          await writeFile(join(layer.path, 'fs/top'), `${index}\n`)
          await writeFile(join(layer.path, `fs/f${index}`), '')
          return layer
        }),
      )
      const script =
        'cat /top; ls / | grep -c "^f[0-9]"; echo x > /f0; rm /f1; ls / | grep -c "^f[0-9]"'
      assert.equal(await outputOver([base, ...layers], script, useOptionString), '149\n150\n149\n')
    })
  }

  it('says so when sandbox-init ends without a word', async () => {
    const spec = specOver({ type: 'bind', dir: join(base.path, 'fs') }, 'true')
    const dead = { program: '/bin/false', output: () => undefined }
    await assert.rejects(execute(spec, dead, never), {
      code: 'sandbox-died',
      message: /ended with status 1/,
    })
    const missing = { program: '/no/sandbox-init', output: () => undefined }
    await assert.rejects(execute(spec, missing, never), {
      code: 'sandbox-died',
      message: /could not be started: .*ENOENT/,
    })
  })

  it('names the step and the reason when the sandbox cannot be set up', async () => {
    const root = {
      type: 'overlay',
      lowerDirs: ['/no/layer'],
      upperDir: directory,
      workDir: directory,
      userXattr: false,
    } as const
    const options = { program: initProgram(), output: () => undefined }
    await assert.rejects(execute(specOver(root, 'true'), options, never), {
      code: 'sandbox-setup-failed',
      message: 'could not set up the sandbox: root: could not open /no/layer (ENOENT)',
    })
  })
})

describe('sandbox-init', () => {
  const spec = encodeSpec(
    sandboxSpec(stepOf('true'), {
      root: { type: 'bind', dir: '/no/such/root' },
      mounts: [{ type: 'tmpfs', target: '/t', sizeBytes: 1, isReadonly: false }],
      network: { kind: 'shared' },
      hosts: '',
      resolvConf: '',
      hasCgroupNamespace: false,
      recordsOwners: false,
      isChroot: false,
      ownLimits: '',
    }),
  )

  /** What it reports for these bytes; undefined when it ended without a report. */
  async function reportFor(bytes: Uint8Array): Promise<{ readonly step: string } | undefined> {
    const child = spawn(initProgram(), ['run'], { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] })
    const ended = new Promise<NodeJS.Signals | null>((resolve) =>
      child.once('exit', (_, killer) => resolve(killer)),
    )
    const channel = child.stdio[3]
    assert.ok(channel instanceof Readable && channel instanceof Writable)
    channel.on('error', () => undefined)
    channel.end(bytes)
    const reader = new ReportReader()
    const reports: SandboxReport[] = []
    try {
      for await (const chunk of channel) reports.push(...reader.add(chunk))
    } catch (error) {
      // It closed without reading the rest of what it refused.
      assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET')
    }
    assert.equal(await ended, null, 'it was killed by a signal')
    const [first] = reports
    if (first === undefined) return undefined
    assert.ok(first.type === 'failure')
    return first
  }

  it('refuses a spec that is cut short anywhere', async () => {
    const body = spec.subarray(8)
    for (let length = 1; length < body.length; length += 37) {
      const header = Buffer.from(spec.subarray(0, 8))
      header.writeUInt32LE(length, 4)
      const report = await reportFor(Buffer.concat([header, body.subarray(0, length)]))
      assert.equal(report?.step, 'spec', `cut to ${length} bytes`)
    }
  })

  it('refuses a spec with bytes left over, of another version, or of an absurd length', async () => {
    const longer = Buffer.concat([spec, Buffer.alloc(4)])
    longer.writeUInt32LE(spec.length - 4, 4)
    assert.equal((await reportFor(longer))?.step, 'spec')
    const other = Buffer.from(spec)
    other.write('TSB9', 'latin1')
    assert.equal((await reportFor(other))?.step, 'spec')
    const absurd = Buffer.from(spec)
    absurd.writeUInt32LE(0xffffffff, 4)
    assert.equal((await reportFor(absurd))?.step, 'spec')
  })

  it('refuses values that it does not know, wherever they stand in front', async () => {
    for (const at of [8, 12]) {
      const wrong = Buffer.from(spec)
      wrong.writeUInt32LE(77, at)
      assert.equal((await reportFor(wrong))?.step, 'spec', `at ${at}`)
    }
  })

  it('ends quietly when nobody tells it what to do', async () => {
    assert.equal(await reportFor(spec.subarray(0, 20)), undefined)
  })
})
