import { parseChmod } from './chmod.ts'
import type { StageContext } from './conversion.ts'
import { addHistory, commandError, expandIn, workingDirectory } from './conversion.ts'
import { gitSource, httpSource, isHttpUrl } from './convert-remote.ts'
import type { ExpandedCopy } from './expanded-copy.ts'
import { goQuote } from './go-format.ts'
import { parseGitUrl } from './git-url.ts'
import type { CopySource, NodeId, NodeOrigin } from './graph.ts'
import type { AddCommand, CopyCommand } from './instructions/copy.ts'
import { joinAbsolute } from './posix-path.ts'
import type { BoundCommand } from './stages.ts'
import { commandOrigin, titleText } from './titles.ts'

/** COPY and ADD: one node, one layer (features rows D28, D94-D121). Throws DockerfileError. */
export function convertCopy(
  context: StageContext,
  command: AddCommand | CopyCommand,
  bound: BoundCommand,
): void {
  const { conversion, environment } = context
  const copy = expandCopy(context, command)
  const chmod = readChmod(copy)
  checkChecksum(copy)
  const lexing = { escape: conversion.parsed.escape }
  const origin = commandOrigin(
    context,
    command,
    titleText(command.code, environment, lexing),
    bound.isOnbuild,
  )
  const from = filesFrom(context, command, bound)
  const sources = copy.sources.map((path) => convertSource(context, { copy, path, from, origin }))
  const inline = command.inlineFiles.map((file): CopySource => {
    const { name, isExpanded, content } = file
    if (/^\.{1,2}$|\//.test(name)) {
      const message = `heredoc ${goQuote(name)} cannot be a file of that name: no such file or directory`
      throw commandError(command, message, { focus: name })
    }
    // Heredocs are expanded with `\` as escape and with quotes as ordinary characters (features row D28).
    const options = { escape: '\\', ignoresQuotes: true } as const
    const text = isExpanded ? expandIn(context, command, content, options) : content
    return { type: 'inline', name, content: text }
  })
  const { chown, dest } = copy
  context.node = conversion.graph.add({
    kind: 'copy',
    parent: context.node,
    sources: [...sources, ...inline],
    dest: joinAbsolute(workingDirectory(context), dest),
    destIsDirectory: dest === '' || dest === '.' || /\/\.?$/.test(dest),
    chown: chown === '' ? undefined : chown,
    chmod,
    // BuildKit drops --link beside --chmod, and dest symlinks are followed then (features row D108).
    link: command.link && chmod === undefined,
    parents: command.kind === 'copy' && command.parents,
    exclude: command.exclude,
    epochSec: conversion.epochSec,
    origin,
  })
  addHistory(context, `${historyText(copy)} # buildkit`, context.node)
}

function expandCopy(context: StageContext, command: AddCommand | CopyCommand): ExpandedCopy {
  const expand = (word: string) => expandIn(context, command, word)
  return {
    command,
    chown: expand(command.chown),
    chmod: expand(command.chmod),
    checksum: command.kind === 'add' ? expand(command.checksum) : '',
    sources: command.sources.map(expand),
    dest: expand(command.dest),
  }
}

/** The mode in its one spelling: `0644` and `644` are the same step. */
function readChmod({ command, chmod }: ExpandedCopy): string | undefined {
  if (chmod === '') return undefined
  const parsed = parseChmod(chmod)
  if (parsed !== undefined) return parsed.kind === 'octal' ? parsed.mode.toString(8) : chmod
  const message = /^\d/.test(chmod)
    ? `invalid chmod parameter: '${chmod}'. it should be octal string and between 0 and 07777`
    : `invalid chmod parameter: '${chmod}': invalid syntax`
  throw commandError(command, message, { code: 'bad-flag', focus: command.chmod })
}

function checkChecksum({ command, checksum, sources }: ExpandedCopy): void {
  if (checksum === '') return
  const [only] = sources
  const fail = (message: string) =>
    commandError(command, message, { code: 'bad-flag', focus: '--checksum' })
  if (only === undefined || sources.length !== 1) {
    throw fail("checksum can't be specified for multiple sources")
  }
  if (!isHttpUrl(only) && parseGitUrl(only) === undefined) {
    throw fail('checksum requires HTTP(S) or Git sources')
  }
}

/** The node that plain paths of the command are taken from. */
function filesFrom(
  context: StageContext,
  command: AddCommand | CopyCommand,
  bound: BoundCommand,
): NodeId {
  const [source] = bound.sources
  if (source === undefined) return context.conversion.graph.context('context')
  if (source.result !== undefined) return source.result.node
  const from = command.kind === 'copy' ? command.from : ''
  const message =
    `cannot copy from stage ${goQuote(from)}, it needs to be defined before current stage ` +
    goQuote(context.state.title)
  const related = { range: source.range, label: 'the stage is defined here' }
  throw commandError(command, message, { code: 'stage-order', focus: from, related })
}

interface SourceRequest {
  readonly copy: ExpandedCopy
  readonly path: string
  readonly from: NodeId
  readonly origin: NodeOrigin
}

function convertSource(context: StageContext, request: SourceRequest): CopySource {
  const { copy, path, from, origin } = request
  const { command } = copy
  const git = parseGitUrl(path)
  if (git !== undefined && 'fault' in git) throw commandError(command, git.fault, { focus: path })
  const isGit = git !== undefined && !git.looksLocal
  if (command.kind === 'copy') {
    if (isGit) throw commandError(command, "source can't be a git ref for COPY", { focus: path })
    if (isHttpUrl(path)) {
      throw commandError(command, "source can't be a URL for COPY", { focus: path })
    }
    if (command.parents) checkParents(command, path)
    if (command.from === '') noteContextPath(context, copy, path)
    return { type: 'path', from, pattern: path, unpack: 'never', isRemote: false }
  }
  if (isGit) return gitSource(context, { copy, command, git, origin })
  if (isHttpUrl(path)) return httpSource(context, { copy, command, url: path, origin })
  noteContextPath(context, copy, path)
  const unpack = command.unpack === false ? 'never' : 'auto'
  return { type: 'path', from, pattern: path, unpack, isRemote: false }
}

/** `--parents` copies what is named, with `/./` what is named behind it; BuildKit finds nothing where nothing is. */
function checkParents(command: CopyCommand, path: string): void {
  const pivot = path.indexOf('/./')
  const named = pivot < 0 ? path : path.slice(pivot + 3)
  if (/[*?[]/.test(path) || joinAbsolute('/', named) !== '/') return
  const whole = joinAbsolute('/', path)
  const reason =
    pivot < 0
      ? '--parents needs the name of what is kept; write "*" for all that is there'
      : `nothing stands behind the pivot of ${goQuote(path)}; ` +
        `write ${goQuote(`${path.slice(0, pivot)}/./*`)} for all that is in it`
  throw commandError(command, `${goQuote(whole)}: not found: ${reason}`, { focus: path })
}

function noteContextPath(context: StageContext, { command }: ExpandedCopy, path: string): void {
  const instruction = command.kind === 'add' ? 'Add' : 'Copy'
  context.conversion.facts({ kind: 'context-path', place: command, instruction, path })
}

/** What history shows: expanded values, and of the flags only these (features row O10). */
function historyText(copy: ExpandedCopy): string {
  const { command, chown, chmod, sources, dest } = copy
  return [
    command.kind.toUpperCase(),
    ...(command.kind === 'copy' && command.parents ? ['--parents'] : []),
    ...(chown === '' ? [] : [`--chown=${chown}`]),
    ...(chmod === '' ? [] : [`--chmod=${chmod}`]),
    ...sources,
    ...command.inlineFiles.map(({ name }) => `<<${name}`),
    dest,
  ].join(' ')
}
