import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { notInstalled, programPath, type TestProgram } from './program.ts'

export const NGINX: TestProgram = { name: 'nginx', debianPackage: 'nginx-light' }

/** Another process may take the port between choice and use. */
const STARTS_MAX = 5
const START_TIMEOUT_MS = 20_000

/** An nginx in front of something, as most registries have one. */
export interface Nginx extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
}

/** What a test configures: directives at the level of `http` and of `server`. */
export interface NginxConfiguration {
  readonly http?: string
  readonly server: string
}

/** Starts nginx on a free loopback port, with everything it writes in a directory of its own. */
export async function startNginx(configuration: NginxConfiguration): Promise<Nginx> {
  const program = programPath(NGINX)
  if (program === undefined) throw notInstalled(NGINX)
  for (let starts = 1; ; starts += 1) {
    try {
      return await startOnce(program, configuration, await freePort())
    } catch (error) {
      const isTaken = error instanceof Error && /Address already in use/.test(error.message)
      if (!isTaken || starts === STARTS_MAX) throw error
    }
  }
}

async function startOnce(
  program: string,
  configuration: NginxConfiguration,
  port: number,
): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), 'tsbuild-nginx-'))
  const path = join(directory, 'nginx.conf')
  await writeFile(path, configurationText(configuration, directory, port))
  const child = spawn(program, ['-c', path, '-p', directory, '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const kill = (): boolean => child.kill('SIGKILL')
  process.once('exit', kill)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    const exited = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGTERM')
    await exited
    await rm(directory, { recursive: true, force: true })
  }
  try {
    await listening(child)
  } catch (error) {
    await stop()
    throw error
  }
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: stop }
}

function configurationText(
  { http = '', server }: NginxConfiguration,
  directory: string,
  port: number,
): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
daemon off;
master_process off;
pid ${directory}/pid;
error_log stderr notice;
events {}
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  ${http}
  server {
    listen 127.0.0.1:${port};
    ${server}
  }
}
`
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return port
}

/** Its log names the event method after the sockets are open. */
async function listening(child: ChildProcess): Promise<void> {
  const { stderr } = child
  if (stderr === null) throw new Error('could not start nginx: no log to read')
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS)
  const log: string[] = []
  const lines = createInterface({ input: stderr })
  try {
    for await (const line of lines) {
      log.push(line)
      if (/using the "\w+" event method/.test(line)) return
    }
  } finally {
    clearTimeout(timer)
    lines.close()
    // Its log goes on; unread, the pipe would fill and block it.
    stderr.resume()
  }
  throw new Error(`could not start nginx: ${log.slice(-3).join(' | ').slice(0, 500)}`)
}
