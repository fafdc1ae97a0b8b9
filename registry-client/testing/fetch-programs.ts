import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { programPath, type TestProgram, unpackedProgram } from './program.ts'

const runFile = promisify(execFile)

/** Debian's next release: the stable one has no package of everything. */
const SUITE = 'testing'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * Unpacks those of `programs` that are not installed, once per machine: out of packages of a newer Debian, from the
 * mirror and by the key that this machine's apt uses, with lists of its own. Nothing is installed, and it needs no
 * root. What cannot be had is told in one line; a test that needs it says so again.
 */
export async function fetchPrograms(
  programs: readonly TestProgram[],
  log: (line: string) => void,
): Promise<void> {
  const missing = programs.filter((program) => programPath(program) === undefined)
  const [first] = missing
  if (first === undefined) return
  const names = missing.map(({ debianPackage }) => debianPackage).join(', ')
  log(`fetching ${names} of Debian's suite ${SUITE} (once per machine)`)
  const parent = dirname(unpackedProgram(first.name))
  await mkdir(parent, { recursive: true })
  const work = await mkdtemp(join(parent, 'programs-work-'))
  try {
    const apt = await ownLists(work)
    for (const program of missing) await unpack(program, apt, work)
  } catch (error) {
    const [reason] = /^E: .*/m.exec(String(error)) ?? [String(error)]
    log(`could not fetch ${names}: ${reason}`)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** The mirror that this machine's own apt uses for Debian's main archive. */
export async function debianMirror(): Promise<string> {
  const { stdout } = await runFile('apt-get', ['indextargets', '--format', '$(REPO_URI)'])
  const mirror = stdout.split('\n').find((line) => /\/debian\/?$/.test(line))
  if (mirror === undefined) throw new Error('apt knows no Debian mirror')
  return mirror
}

/** Options by which apt knows the suite and nothing else, with its signature checked. */
async function ownLists(work: string): Promise<string[]> {
  for (const directory of ['state/lists/partial', 'cache/archives/partial']) {
    await mkdir(join(work, directory), { recursive: true })
  }
  const sources = join(work, 'sources.list')
  await writeFile(sources, `deb [signed-by=${KEYRING}] ${await debianMirror()} ${SUITE} main\n`)
  const options = {
    'Dir::State': join(work, 'state'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(work, 'cache'),
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '-',
    'Acquire::Languages': 'none',
    // Its own user could not write into a folder that belongs to us.
    'APT::Sandbox::User': 'root',
    'APT::Update::Error-Mode': 'any',
  }
  const apt = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  await runFile('apt-get', [...apt, '-qq', 'update'])
  return apt
}

async function unpack(program: TestProgram, apt: readonly string[], work: string): Promise<void> {
  const directory = join(work, program.name)
  await mkdir(directory)
  await runFile('apt-get', [...apt, '-qq', 'download', program.debianPackage], { cwd: directory })
  const [archive = ''] = await readdir(directory)
  const unpacked = join(directory, 'unpacked')
  await runFile('dpkg-deb', ['--extract', join(directory, archive), unpacked])
  await rename(unpacked, unpackedProgram(program.name))
}
