import type { CopyNode, NodeId } from '../../frontend/index.ts'
import type { DiffId } from '../../registry-client/oci/index.ts'
import type { CacheJournal } from '../cache/journal.ts'
import type { CacheRecords } from '../cache/records.ts'
import type { RemoteCaches } from '../cache/remote/remote-caches.ts'
import {
  aliasKeyOf,
  type CacheKey,
  cacheKeyOf,
  type CopyInputs,
  parentName,
} from '../solver/cache-key.ts'
import type { KeyValue } from '../solver/canonical.ts'
import { packedDiffIds } from '../solver/layer.ts'
import type { CopyInput } from './copy-selection.ts'
import type { SourceTree } from './copy-source.ts'
import { splitPattern } from './match.ts'

export interface CopyAliasParts {
  readonly records: CacheRecords
  readonly remote: RemoteCaches | undefined
  readonly journal: CacheJournal
}

export interface AliasNames {
  /** One for each source: what it holds. */
  readonly names: readonly string[]
  /** Made of files of this host: they mean nothing elsewhere. */
  readonly isLocal: boolean
}

/**
 * A COPY from stages and images has a key that is known from their layers alone, so a cached build reads no table of
 * contents; one from a context that did not change since an earlier build has one too, so it reads no list of files.
 * Undefined when the sources have to be looked at.
 */
export async function aliasNames(
  node: CopyNode,
  sources: ReadonlyMap<NodeId, CopyInput>,
): Promise<AliasNames | undefined> {
  const names: string[] = []
  let isLocal = false
  for (const source of node.sources) {
    const input = source.type === 'path' ? sources.get(source.from) : undefined
    if (source.type !== 'path' || input === undefined) {
      return undefined
    }
    const isFiles = input.kind === 'files'
    const name = isFiles
      ? await stateOfFiles(node, source.pattern, input.tree)
      : parentName(await packedDiffIds(input.layers))
    if (name === undefined) {
      return undefined
    }
    names.push(isFiles ? `files ${name}` : name)
    isLocal ||= isFiles
  }
  return { names, isLocal }
}

function aliasOf(node: CopyNode, below: readonly DiffId[], { names }: AliasNames): CacheKey {
  const { id: _id, origin: _origin, parent: _parent, sources: written, ...options } = node
  const definition: KeyValue = {
    ...options,
    sources: written.map((source) =>
      source.type === 'path' ? { ...source, from: 0 } : { ...source },
    ),
  }
  return aliasKeyOf({ parent: parentName(below), definition, sources: names })
}

/** Leads the second key of a COPY to the step with these inputs. */
export async function rememberAlias(
  node: CopyNode,
  below: readonly DiffId[],
  names: AliasNames,
  inputs: CopyInputs,
  { journal, records }: CopyAliasParts,
): Promise<void> {
  const alias = aliasOf(node, below, names)
  const key = cacheKeyOf(inputs)
  if (!names.isLocal) {
    journal.alias(alias, key)
  }
  if ((await records.readAlias(alias)) === key) {
    await records.touchAlias(alias)
  } else {
    await records.writeAlias(alias, key)
  }
}

/** What a source selects lies at and below one path when it has no wildcard and selects no parents. */
async function stateOfFiles(
  node: CopyNode,
  pattern: string,
  tree: SourceTree,
): Promise<string | undefined> {
  const { base, patterns } = splitPattern(pattern)
  return node.parents || patterns.length > 0 ? undefined : await tree.stateOf?.(base)
}

/** What the key of this COPY was made of in an earlier build, here or wherever a cache is from. */
export async function recordedCopy(
  node: CopyNode,
  below: readonly DiffId[],
  names: AliasNames | undefined,
  { records, remote }: CopyAliasParts,
): Promise<{ readonly inputs: CopyInputs } | undefined> {
  if (names === undefined) {
    return undefined
  }
  const alias = aliasOf(node, below, names)
  const places = [
    () => records.readAlias(alias),
    () => (names.isLocal ? undefined : remote?.alias(alias)),
  ]
  for (const place of places) {
    const key = await place()
    const step = key && ((await records.readStep(key)) ?? (await remote?.step(key)))
    if (step?.inputs?.kind === 'copy') {
      return { inputs: step.inputs }
    }
  }
  return undefined
}
