import { formatReference, OciError, parseReference } from '../../registry-client/oci/index.ts'
import { CommandError } from './errors.ts'

/** An image in `manifest.json` of docker save. */
export interface DockerEntry {
  readonly configPath: string
  readonly names: readonly string[]
  readonly layerPaths: readonly string[]
}

/** Reads `manifest.json`. Errors: `archive-unreadable`. */
export function readDockerManifest(bytes: Buffer): DockerEntry[] {
  const broken = (): CommandError =>
    new CommandError(
      'archive-unreadable',
      'could not load images: manifest.json is not one of docker save',
    )
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new CommandError(
      'archive-unreadable',
      'could not load images: manifest.json is not JSON',
      { cause: error },
    )
  }
  if (!Array.isArray(json)) {
    throw broken()
  }
  return json.map((entry: unknown) => {
    const fields = new Map<string, unknown>(
      typeof entry === 'object' && entry !== null ? Object.entries(entry) : [],
    )
    const configPath = fields.get('Config')
    const layerPaths = fields.get('Layers') ?? []
    const tags = fields.get('RepoTags') ?? []
    if (typeof configPath !== 'string' || !isTextList(layerPaths) || !isTextList(tags)) {
      throw broken()
    }
    return { configPath, layerPaths, names: tags.map(normalisedName) }
  })
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

/** A name in an archive, written out. Errors: `archive-unreadable`. */
export function normalisedName(text: string): string {
  try {
    return formatReference(parseReference(text))
  } catch (error) {
    if (error instanceof OciError) {
      throw new CommandError('archive-unreadable', `could not load images: ${error.message}`, {
        cause: error,
      })
    }
    throw error
  }
}
