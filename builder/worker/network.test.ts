import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer as createHttpServer, type Server } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { requires } from '../../snapshotter/testing/requires.ts'
import { allDead, processesBelow } from './testing/processes.ts'
import { startWorker } from './start-worker.ts'
import type { Worker } from './protocol.ts'
import { labRequest, labStore, SandboxLab } from './testing/sandbox-lab.ts'

const NAMESPACE = 'readlink /proc/self/ns/net'
const never = new AbortController().signal
const OWN_NAMESPACE = readlinkSync('/proc/self/ns/net')

/** Starts a worker with this choice of network. */
async function startWith(
  choice: string,
  options: Parameters<typeof startWorker>[0],
): Promise<Worker> {
  return await withChoice(choice, () => startWorker(options, never))
}

async function labWith(choice: string): Promise<SandboxLab> {
  return await withChoice(choice, () => SandboxLab.open())
}

async function withChoice<T>(choice: string, work: () => Promise<T>): Promise<T> {
  process.env['TSBUILD_STEP_NETWORK'] = choice
  try {
    return await work()
  } finally {
    delete process.env['TSBUILD_STEP_NETWORK']
  }
}

async function serve(address: string): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createHttpServer((_, response) => response.end(`served on ${address}`))
  await once(server.listen(0, address), 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

for (const program of ['pasta', 'slirp4netns']) {
  describe(`the network of steps by ${program}`, function () {
    this.timeout(60_000)
    requires('root')
    const network = 'default' as const
    let lab: SandboxLab
    before(async () => {
      lab = await labWith(program)
    })
    after(async () => {
      await lab?.[Symbol.asyncDispose]()
    })

    it('is one namespace for all steps of a worker, and not that of this machine', async () => {
      const seen = await Promise.all([1, 2, 3].map(() => lab.run(NAMESPACE, { network })))
      const [namespace] = seen.map(({ stdout }) => stdout.trim())
      assert.match(namespace ?? '', /^net:/)
      assert.deepEqual(
        seen.map(({ stdout }) => stdout.trim()),
        [namespace, namespace, namespace],
      )
      assert.notEqual(namespace, OWN_NAMESPACE)
      const { stdout } = await lab.run(NAMESPACE, { network: 'host' })
      assert.equal(stdout.trim(), OWN_NAMESPACE)
    })

    it('has the same device, address and resolver by either program', async () => {
      const script = 'ls /sys/class/net; ip -o -4 addr show eth0; ip route; cat /etc/resolv.conf'
      const { stdout } = await lab.run(script, { network })
      assert.match(stdout, /^eth0\nlo\n/)
      assert.match(stdout, /inet 10\.0\.2\.100\/24/)
      assert.match(stdout, /^default via 10\.0\.2\.2 dev eth0/m)
      assert.match(stdout, /^nameserver 10\.0\.2\.3$/m)
    })

    it('reaches what listens here on all addresses by host-gateway, and nothing on the loopback', async () => {
      const open = await serve('0.0.0.0')
      const closed = await serve('127.0.0.1')
      try {
        const run = async (script: string): Promise<string> => {
          const extraHosts = [{ name: 'here.test', address: 'host-gateway' }]
          return (await lab.run(`${script}; true`, { network, extraHosts })).stdout
        }
        const gateway = (await run("awk '/here.test/ { print $1 }' /etc/hosts")).trim()
        assert.equal(await run(`wget -qO- http://${gateway}:${open.port}/`), 'served on 0.0.0.0')
        for (const address of ['127.0.0.1', '10.0.2.2', gateway])
          assert.doesNotMatch(
            await run(`wget -T 2 -qO- http://${address}:${closed.port}/`),
            /served/,
            address,
          )
      } finally {
        open.server.close()
        closed.server.close()
      }
    })

    it('shows no abstract socket of this machine', async () => {
      const name = `tsbuild-test-${process.pid}`
      const server = createServer()
      await once(server.listen(`\0${name}`), 'listening')
      try {
        const look = async (of: 'default' | 'host'): Promise<string> =>
          (await lab.run(`grep -c ${name} /proc/net/unix`, { network: of })).stdout.trim()
        assert.equal(await look('host'), '1')
        assert.equal(await look('default'), '0')
      } finally {
        server.close()
      }
    })

    it('is lent by a process that has nothing of this machine', async () => {
      await lab.run('true', { network })
      const lenders = processesBelow(process.pid).filter(
        ({ pid, name }) =>
          name === 'sandbox-init' &&
          /^CapPrm:\s*0+$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
      )
      assert.equal(lenders.length, 1)
      const [{ pid } = { pid: 0 }] = lenders
      assert.deepEqual(readdirSync(`/proc/${pid}/root`), [])
      assert.deepEqual(readdirSync(`/proc/${pid}/cwd`), [])
      assert.match(readFileSync(`/proc/${pid}/environ`, 'latin1'), /^\0*$/)
    })

    it('lets a step listen on a port below 1024 as root, beside what this machine has there', async () => {
      const script = 'echo hello >/tmp/f; httpd -p 80 -h /tmp; wget -qO- http://127.0.0.1/f'
      assert.equal((await lab.run(script, { network })).stdout, 'hello\n')
    })

    for (const needsNetwork of [false, true]) {
      const when = needsNetwork ? 'beside the start of the worker' : 'by the first step'
      it(`is made once, ${when}, and ends with the worker`, async () => {
        const others = new Set(processesBelow(process.pid).map(({ pid }) => pid))
        const worker = await startWith(program, { store: await labStore(lab.path()), needsNetwork })
        for (const script of ['true', 'true'])
          await worker.run({ ...labRequest(script, [lab.base]), network }, () => undefined, never)
        const mine = processesBelow(process.pid).filter(({ pid }) => !others.has(pid))
        const carriers = mine.filter(({ command }) => command.startsWith(`/usr/bin/${program} `))
        assert.equal(carriers.length, 1, mine.map(({ command }) => command).join('\n'))
        await worker[Symbol.asyncDispose]()
        await allDead(mine.map(({ pid }) => pid))
      })
    }
  })
}

describe('the network of steps as TSBUILD_STEP_NETWORK says', function () {
  this.timeout(30_000)
  requires('root')

  it("is this machine's with host", async () => {
    await using lab = await labWith('host')
    assert.equal((await lab.run(NAMESPACE, { network: 'default' })).stdout.trim(), OWN_NAMESPACE)
    const extraHosts = [{ name: 'here.test', address: 'host-gateway' }]
    const { stdout } = await lab.run('cat /etc/hosts', { network: 'default', extraHosts })
    assert.match(stdout, /^127\.0\.0\.1\there\.test$/m)
  })

  it('is an error for a word it does not know', async () => {
    await using lab = await labWith('bridge')
    await assert.rejects(lab.run('true', { network: 'default' }), {
      code: 'sandbox-unavailable',
      message: /TSBUILD_STEP_NETWORK=bridge: it must be pasta, slirp4netns or host/,
    })
  })
})
