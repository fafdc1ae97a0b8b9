import { applyChmod, parseChmod } from '../../frontend/index.ts'
import { CopyError } from './copy-errors.ts'

/** What --chmod does to the mode of a copied file or directory. */
export interface ModeChange {
  apply(mode: number, isDirectory: boolean): number
  /** Mode of the directories that the copy has to make: of an octal --chmod its permission bits (features row D105). */
  readonly createdDirectoryMode: number
}

const CREATED_DIRECTORY_MODE = 0o755

/** The change that `text` asks for; undefined changes nothing. `bad-mode` when it is neither octal nor symbolic. */
export function parseModeChange(text: string | undefined): ModeChange {
  if (text === undefined) {
    return { apply: (mode) => mode, createdDirectoryMode: CREATED_DIRECTORY_MODE }
  }
  const chmod = parseChmod(text)
  if (chmod === undefined) {
    throw new CopyError(
      'bad-mode',
      `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    )
  }
  return {
    apply: (mode, isDirectory) => applyChmod(chmod, mode, isDirectory),
    createdDirectoryMode: chmod.kind === 'octal' ? chmod.mode & 0o777 : CREATED_DIRECTORY_MODE,
  }
}
