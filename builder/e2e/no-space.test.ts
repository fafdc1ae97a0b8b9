import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { requires } from '../../snapshotter/testing/requires.ts'
import { type CommandResult, runCommand } from './lab/cli.ts'
import { Lab } from './lab/lab.ts'
import { labRegistry } from './lab/registry.ts'

const SMALL = 'small'

/** Runs `script` in a mount namespace whose `$SMALL` is a filesystem of `megabytes`. */
async function onSmallDisk(lab: Lab, megabytes: number, script: string): Promise<CommandResult> {
  const small = join(lab.dir, SMALL)
  await mkdir(small, { recursive: true })
  const head = ['set -u', `mount -t tmpfs -o size=${megabytes}m tmpfs "$SMALL"`]
  return await runCommand(
    'unshare',
    ['--mount', 'sh', '-c', [...head, script, 'exit 0'].join('\n')],
    {
      cwd: lab.dir,
      env: await lab.scriptEnv({ SMALL: small }),
    },
  )
}

/** Ends the script unless `command` fails with status 1. */
const mustFail = (command: string): string =>
  `${command}; status=$?; [ $status = 1 ] || { echo "status $status instead of 1" >&2; exit 9; }`
const mustWork = (command: string): string => `${command} || exit 8`
/** Files below work/ that belong to nobody. */
const GARBAGE =
  'find "$TSBUILD_ROOT"/work -type f ! -name gate ! -name "flush-*" | grep . >&2 && exit 7'

describe('a disk that is full', function () {
  this.timeout(120_000)
  requires('root')

  /** A context with more than fits, and one that fits. */
  async function contexts(lab: Lab): Promise<void> {
    await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' }, 'little')
    const dir = await lab.context({ Dockerfile: 'FROM scratch\nCOPY . /\n' }, 'much')
    await writeFile(join(dir, 'noise'), randomBytes(12_000_000))
  }

  it('below the state root: COPY says so, leaves nothing, and a smaller build works', async () => {
    await using lab = await Lab.open()
    await contexts(lab)
    const script = [
      'TSBUILD_ROOT="$SMALL/state"',
      mustFail('tsbuild -t much much'),
      GARBAGE,
      mustWork('tsbuild -t little little'),
      mustWork('tsbuild run little /nothing 2>/dev/null; [ $? -gt 0 ]'),
      GARBAGE,
      mustWork('tsbuild prune -af'),
    ]
    const result = await onSmallDisk(lab, 8, script.join('\n'))
    assert.equal(result.status, 0, result.text)
    assert.match(result.stderr, /[Nn]o space left/)
    assert.match(result.stderr, /^HINT: .*tsbuild prune.*--root/m)
    assert.match(result.stderr, /Dockerfile:2/)
  })

  it('below the state root: the list of a context that does not fit is no half of a layer', async () => {
    await using lab = await Lab.open()
    await contexts(lab)
    const name = 'a-name-that-makes-the-list-of-these-empty-files-longer-than-the-disk-is'
    const script = [
      'TSBUILD_ROOT="$SMALL/state"',
      `mkdir much/many; (cd much/many; rm ../noise; seq -f '${name}-%g' 1 20000 | xargs touch)`,
      mustFail('tsbuild -t much much'),
      GARBAGE,
      mustWork('tsbuild -t little little'),
      GARBAGE,
    ]
    const result = await onSmallDisk(lab, 4, script.join('\n'))
    assert.equal(result.status, 0, result.text)
    assert.match(result.stderr, /[Nn]o space left/)
    assert.match(result.stderr, /Dockerfile:2/)
  })

  it('below the state root: RUN and a pull say so, and the next build works', async () => {
    await using lab = await Lab.open()
    await contexts(lab)
    const { host } = await labRegistry()
    await lab.context(
      {
        Dockerfile: `FROM ${host}/library/busybox\nRUN dd if=/dev/urandom of=/noise bs=1M count=12\n`,
      },
      'write',
    )
    await lab.context({ Dockerfile: `FROM ${host}/library/debian:bookworm\nRUN true\n` }, 'pull')
    const script = [
      'TSBUILD_ROOT="$SMALL/state"',
      mustFail('tsbuild -t write write'),
      GARBAGE,
      'echo ======= >&2',
      mustFail('tsbuild -t pull pull'),
      GARBAGE,
      mustWork('tsbuild -t little little'),
    ]
    const result = await onSmallDisk(lab, 8, script.join('\n'))
    assert.equal(result.status, 0, result.text)
    const [write = '', pull = ''] = result.stderr.split('=======')
    assert.match(write, /No space left on device/)
    assert.match(write, /exit code: 1/)
    assert.match(write, /^HINT: .*tsbuild prune/m)
    assert.match(pull, /library\/debian/)
    assert.match(
      pull,
      /could not write blob sha256:[0-9a-f]{64} to \S*small\/state\S*: .*no space left/i,
    )
    assert.match(pull, /^HINT: .*tsbuild prune/m)
  })

  it('nearly: what a failed RUN wrote is kept only where that was asked for', async () => {
    await using lab = await Lab.open()
    const { host } = await labRegistry()
    await lab.context({
      Dockerfile: `FROM ${host}/library/busybox\nRUN true\nRUN echo kept > /f; false\n`,
    })
    const script = [
      'TSBUILD_ROOT="$SMALL/state"',
      mustFail('tsbuild build --on-failure=discard context'),
      'left=$(df --output=avail "$SMALL" | tail -1)',
      'head -c $(((left - 3000) * 1024)) /dev/zero > "$SMALL/fill"',
      mustFail('tsbuild build context'),
      mustFail('echo cat /f | tsbuild shell 2>/dev/null'),
      mustFail('tsbuild build --on-failure=keep context'),
      mustWork('echo cat /f | tsbuild shell'),
    ]
    const result = await onSmallDisk(lab, 100, script.join('\n'))
    assert.equal(result.status, 0, result.text)
    assert.match(result.stderr, /were not kept: the disk of the state root is nearly full/)
    assert.equal(result.stdout, 'kept\n')
  })

  const outputs = ['type=oci', 'type=docker', 'type=tar', 'type=oci,tar=false', 'type=local']
  for (const output of outputs) {
    it(`at the destination of -o ${output}: the file is named, half of it does not stay`, async () => {
      await using lab = await Lab.open()
      await contexts(lab)
      const script = [
        mustFail(`tsbuild -t much -o "${output},dest=$SMALL/out" much`),
        // Directories may stay; they hold no half file.
        'find "$SMALL" -type f -size -12000000c | grep noise >&2 && exit 6',
        'find "$SMALL" -name "*.tmp" | grep . >&2 && exit 6',
        GARBAGE,
        mustWork('tsbuild -t little -o "type=oci,dest=$SMALL/little" little'),
        GARBAGE,
      ]
      const result = await onSmallDisk(lab, 8, script.join('\n'))
      assert.equal(result.status, 0, result.text)
      assert.match(result.stderr, /ERROR: .*no space left/i)
      assert.match(result.stderr, /ERROR: .*(?:small\/out|'noise')/i)
      assert.match(result.stderr, /^HINT: no space is left/m)
    })
  }
})
