import { expandOrFail } from './conversion.ts'
import { fileNameOf, isHttpUrl } from './convert-remote.ts'
import type { ConvertOptions } from './convert-options.ts'
import type { ParsedDockerfile, Stage } from './dockerfile.ts'
import type { Environment } from './environment.ts'
import { DockerfileError } from './errors.ts'
import { parseGitUrl } from './git-url.ts'
import type { AddCommand } from './instructions/copy.ts'
import type { Command } from './instructions/parse-instruction.ts'
import { findNamedContext } from './named-contexts.ts'
import type { EpochSource, ImageResolver } from './resolver.ts'

const EPOCH = 'SOURCE_DATE_EPOCH'

/** What RFC 3339, the format of times in images, can write: years of four digits. */
const SECONDS_MIN = Date.parse('0000-01-01T00:00:00Z') / 1000
const SECONDS_MAX = Date.parse('9999-12-31T23:59:59Z') / 1000

/** What the time of a build is found with. */
export interface EpochScope {
  readonly parsed: ParsedDockerfile
  readonly options: ConvertOptions
  readonly globals: Environment
  readonly resolver: ImageResolver
  readonly signal: AbortSignal
}

/**
 * SOURCE_DATE_EPOCH taken out of build args and global ARGs, as seconds (features row D48). Besides a number it may name
 * the context, a named context, or a stage `FROM scratch` with one remote ADD, whose time is meant then; a source without
 * a time unsets it. Throws DockerfileError `bad-argument`.
 */
export async function resolveEpoch(scope: EpochScope): Promise<{
  readonly epochSec: number | undefined
  readonly buildArgs: ReadonlyMap<string, string>
}> {
  const { globals, options } = scope
  const { buildArgs } = options
  const given = buildArgs.get(EPOCH)
  const text = given ?? globals.get(EPOCH)
  if (text === undefined || (text === '' && given === undefined)) {
    return { epochSec: undefined, buildArgs }
  }
  const epochSec = await secondsOf(text, scope)
  if (globals.get(EPOCH) !== undefined) {
    if (epochSec === undefined) globals.delete(EPOCH)
    else globals.set(EPOCH, String(epochSec))
  }
  const updated = new Map(buildArgs)
  if (epochSec === undefined) updated.delete(EPOCH)
  else if (given !== undefined) updated.set(EPOCH, String(epochSec))
  return { epochSec, buildArgs: updated }
}

async function secondsOf(text: string, scope: EpochScope): Promise<number | undefined> {
  if (text === '') return undefined
  if (/^[+-]?\d+$/.test(text)) {
    const seconds = Number(text)
    if (seconds >= SECONDS_MIN && seconds <= SECONDS_MAX) return seconds
    const message = `invalid ${EPOCH}: ${text} seconds are not between the years 0 and 9999`
    throw new DockerfileError('bad-argument', message, { range: undefined })
  }
  const { resolver, signal } = scope
  const source = sourceOf(text, scope)
  return await resolver.resolveEpoch?.(source, signal)
}

function sourceOf(text: string, scope: EpochScope): EpochSource {
  const { parsed, options } = scope
  if (text === 'context') return { kind: 'context', name: 'context' }
  const context = findNamedContext(options, text, options.targetPlatform)
  if (context !== undefined) return { kind: 'context', name: context }
  const name = text.toLowerCase()
  const stage = parsed.stages.find(({ from }) => from.stageName === name)
  if (stage !== undefined) return stageSource(stage, scope)
  const message =
    `invalid ${EPOCH}: ${text} is neither seconds since 1970, nor "context", nor a named context, ` +
    'nor a stage with one remote ADD'
  throw new DockerfileError('bad-argument', message, { range: undefined })
}

function stageSource(stage: Stage, { parsed, options, globals }: EpochScope): EpochSource {
  const environment = globals.clone()
  environment.delete(EPOCH)
  const expand = (place: Pick<Command, 'range'>, word: string) =>
    expandOrFail(place, word, environment, { escape: parsed.escape }).text
  if (expand(stage.from, stage.from.base) !== 'scratch') {
    throw fault(stage.from, `${EPOCH} stage must use FROM scratch`)
  }
  const add = onlyAdd(stage)
  for (const command of stage.commands) {
    if (command === add) break
    for (const { key, value } of command.kind === 'arg' ? command.args : []) {
      const given = options.buildArgs.get(key) ?? (value && expand(command, value))
      if (given !== undefined) environment.set(key, given)
    }
  }
  return addSource(add, (word) => expand(add, word))
}

function onlyAdd({ from, commands }: Stage): AddCommand {
  const other = commands.find(({ kind }) => kind !== 'arg' && kind !== 'add')
  if (other !== undefined) {
    throw fault(other, `${EPOCH} stage cannot have ${other.name}: it is there for one remote ADD`)
  }
  const [add, second] = commands.filter((command) => command.kind === 'add')
  if (add !== undefined && second === undefined) return add
  throw fault(second ?? from, `${EPOCH} stage must contain exactly one remote ADD`)
}

function addSource(command: AddCommand, expand: (word: string) => string): EpochSource {
  const [written, ...others] = command.sources
  if (written === undefined || others.length + command.inlineFiles.length > 0) {
    throw fault(command, `${EPOCH} stage must contain exactly one remote ADD source`)
  }
  const text = expand(written)
  const checksum = command.checksum === '' ? undefined : expand(command.checksum)
  if (command.keepGitDir === undefined && isHttpUrl(text)) {
    return { kind: 'http', url: text, checksum, filename: fileNameOf(text) }
  }
  const git = parseGitUrl(text)
  if (git === undefined || ('looksLocal' in git && git.looksLocal)) {
    throw fault(command, `${EPOCH} stage source must be a single HTTP(S) or Git ADD`)
  }
  if ('fault' in git) throw fault(command, git.fault)
  const { remote, ref, subdir, submodules = true, mtime = 'checkout', fetchByCommit } = git
  return {
    kind: 'git',
    remote,
    ref,
    subdir,
    checksum: checksum ?? git.checksum,
    keepGitDir: git.keepGitDir ?? command.keepGitDir ?? false,
    submodules,
    mtime,
    fetchByCommit,
  }
}

function fault(place: Pick<Command, 'range'>, message: string): DockerfileError {
  return new DockerfileError('bad-argument', message, { range: place.range })
}
