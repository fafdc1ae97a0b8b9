import { constants } from 'node:fs'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileSize, seededRandom, sourceText } from './random.ts'

const FILES_PER_DIRECTORY = 25
const MODULES_PER_PACKAGE = 40
const PIECE_BYTES = 1 << 20

/** Writes the files of a context into an empty directory. */
export type ContextWriter = (directory: string, bases: string) => Promise<void>

/** The same bytes on every machine; `bases` is put before the names of base images. */
export async function makeContext(
  directory: string,
  bases: string,
  write: ContextWriter,
): Promise<void> {
  // Renamed when it is whole: a generator that was interrupted starts afresh.
  const unfinished = `${directory}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished, { recursive: true })
  await write(unfinished, bases)
  await rm(directory, { recursive: true, force: true })
  await rename(unfinished, directory)
}

/** Only a Dockerfile. */
export function dockerfile(lines: (bases: string) => readonly string[]): ContextWriter {
  return async (directory, bases) => {
    await writeFile(join(directory, 'Dockerfile'), `${lines(bases).join('\n')}\n`)
  }
}

/** Two stages, sixteen instructions, a hundred small sources. */
export const smallProject: ContextWriter = async (directory, bases) => {
  await mkdir(join(directory, 'src'))
  for (let i = 0; i < 100; i++) {
    await writeFile(join(directory, `src/m${i}.js`), sourceText(seededRandom(i), 2000))
  }
  await writeFile(join(directory, 'package.json'), '{"name":"x"}')
  await writeFile(
    join(directory, 'Dockerfile'),
    `FROM ${bases}busybox AS build
ARG V=1
ENV NODE_ENV=production
WORKDIR /app
COPY package.json ./
RUN echo deps > deps.txt
COPY . .
RUN cat src/*.js > bundle.js
FROM ${bases}busybox
LABEL a=b
WORKDIR /srv
COPY --from=build /app/bundle.js ./
COPY --from=build /app/deps.txt ./
USER 1000
EXPOSE 3000
CMD ["cat","bundle.js"]
`,
  )
}

/** `count` files of `mean` bytes like a `node_modules`, and what copies them. */
export function manyFiles(count: number, mean: number): ContextWriter {
  return async (directory, bases) => {
    await writeTree(join(directory, 'node_modules'), { count, mean, seed: 7 })
    await writeFile(join(directory, 'app.js'), 'x')
    await dockerfile(() => [`FROM ${bases}busybox`, 'COPY . /app'])(directory, bases)
  }
}

/** 400 MB that are copied, and that a RUN copies twice: 1.2 GB in two layers over those of the base. */
export const bigLayers: ContextWriter = async (directory, bases) => {
  await writeTree(join(directory, 't'), { count: 4000, mean: 100_000, seed: 11 })
  await dockerfile(() => [
    `FROM ${bases}busybox`,
    'COPY t /t',
    'RUN for i in 1 2; do cp -r /t /t$i; done',
  ])(directory, bases)
}

/** One file of `size` bytes; sparse: nothing but a hole with a megabyte in its middle. */
export function oneFile(size: number, isSparse: boolean): ContextWriter {
  return async (directory, bases) => {
    const random = seededRandom(13)
    const piece = Buffer.from(sourceText(random, PIECE_BYTES))
    await using file = await open(
      join(directory, 'data.bin'),
      constants.O_WRONLY | constants.O_CREAT,
    )
    if (isSparse) {
      await file.truncate(size)
      await file.write(piece, 0, piece.length, Math.floor(size / 2))
    } else {
      for (let at = 0; at < size; at += piece.length) {
        // Each piece differs, so that nothing is found again from afar.
        piece.writeDoubleLE(random(), Math.floor(random() * (piece.length - 8)))
        await file.write(piece, 0, Math.min(piece.length, size - at), at)
      }
    }
    await dockerfile(() => [`FROM ${bases}busybox`, 'COPY data.bin /'])(directory, bases)
  }
}

async function writeTree(
  root: string,
  tree: { readonly count: number; readonly mean: number; readonly seed: number },
): Promise<void> {
  const random = seededRandom(tree.seed)
  for (let made = 0; made < tree.count; ) {
    const module = Math.floor(made / FILES_PER_DIRECTORY)
    const packageName = `pkg${Math.floor(module / MODULES_PER_PACKAGE)}`
    const files: { path: string; text: string }[] = []
    for (let i = 0; i < FILES_PER_DIRECTORY && made < tree.count; i++, made++) {
      const text = sourceText(random, fileSize(random, tree.mean))
      files.push({ path: join(root, packageName, `mod${module}`, 'lib', `f${i}.js`), text })
    }
    await mkdir(dirname(files[0]?.path ?? root), { recursive: true })
    await Promise.all(files.map(({ path, text }) => writeFile(path, text)))
  }
}
