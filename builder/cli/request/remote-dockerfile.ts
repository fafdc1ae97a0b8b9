import { readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { download } from '../../ops/http.ts'
import type { DockerfileLocation } from '../../request.ts'
import type { CommandContext } from '../command.ts'
import { makeTemporaryDirectory } from './temporary-directory.ts'

/** A Dockerfile is read into memory; a larger one is a mistake. */
const SIZE_BYTES_MAX = 16 * 1024 * 1024

/** `-f https://...` (features row C6): the text at a URL; the context stays what it is. Errors: `download-failed`. */
export async function readRemoteDockerfile(
  url: string,
  { env, signal }: Pick<CommandContext, 'env' | 'signal'>,
): Promise<DockerfileLocation> {
  const directory = await makeTemporaryDirectory('tsbuild-dockerfile-')
  try {
    const { file } = await download(
      { url, checksum: undefined },
      {
        directory: join(directory, 'kept'),
        temporaryPath: (kind) => join(directory, kind),
        sizeBytesMax: SIZE_BYTES_MAX,
        env,
        signal,
      },
    )
    const name = basename(new URL(url).pathname) || 'Dockerfile'
    return { kind: 'text', text: await readFile(file, 'utf8'), name }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
