import { archiveTar } from '../../export/archive-tar.ts'
import { byteCounter } from '../../export/archive.ts'
import { checkFileDestination, writeDestination } from '../../export/destination.ts'
import {
  blobFiles,
  dockerManifestFile,
  inOrder,
  type LayoutFile,
  layoutEntries,
  layoutHead,
} from '../../export/layout-files.ts'
import type { Command, CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { findImage } from '../image-view.ts'
import { REGISTRY_FLAGS, ROOT_FLAG } from '../request/build-flags.ts'
import { type CommandServices, openServices } from '../services.ts'
import { storedBlobs, storedResult } from '../stored-result.ts'
import { type MovingServices, withProgress } from '../with-progress.ts'

export const saveCommand: Command = {
  name: 'save',
  usage: 'save [OPTIONS] IMAGE [IMAGE...]',
  description:
    'Writes images to a tar that docker load, podman load, skopeo and tsbuild load read; to stdout without -o.',
  flags: {
    format: {
      kind: 'text',
      value: 'FORMAT',
      help: 'docker-archive (default) or oci-archive; several platforms need oci-archive',
    },
    output: { kind: 'text', short: 'o', value: 'FILE', help: 'File to write' },
    quiet: { kind: 'boolean', short: 'q', help: 'No progress' },
    ...REGISTRY_FLAGS,
    ...ROOT_FLAG,
  },
  arguments: { min: 1, max: Infinity },
  run: async (args, context) => {
    const format = args.text('format') ?? 'docker-archive'
    if (format !== 'docker-archive' && format !== 'oci-archive') {
      throw new UsageError(`unknown format "${format}" (known: docker-archive, oci-archive)`)
    }
    const dest = args.text('output') ?? '-'
    await checkFileDestination(dest, format, context)
    await using services = await openServices(args, context)
    await withProgress(args, context, async (moving) => {
      const files = await archiveFiles(args.positionals, format, services, moving, context)
      const title = `saving to ${dest === '-' ? 'stdout' : dest}`
      await moving.steps.during(title, context.signal, async (step) => {
        const bytes = archiveTar(files, byteCounter(step), context.signal)
        await writeDestination(dest, bytes, context, context.signal)
      })
    })
    return 0
  },
}

async function archiveFiles(
  texts: readonly string[],
  format: 'docker-archive' | 'oci-archive',
  services: CommandServices,
  { steps, registries }: MovingServices,
  { signal }: CommandContext,
): Promise<LayoutFile[]> {
  const blobs = storedBlobs(services, registries, steps)
  const files = new Map<string, LayoutFile>()
  const images = []
  for (const text of texts) {
    const image = await findImage(text, services.images, signal)
    const { result, configOf } = await storedResult(image, services, signal)
    for (const file of await blobFiles(result, blobs, signal, configOf)) {
      files.set(file.name, file)
    }
    images.push({ result, names: image.name === undefined ? [] : [image.name], annotations: [] })
  }
  const docker = format === 'docker-archive' ? [dockerManifestFile(images)] : []
  return inOrder([...files.values(), ...layoutHead(images.flatMap(layoutEntries)), ...docker])
}
