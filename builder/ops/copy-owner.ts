import { CopyError } from './copy-errors.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/**
 * Reads a small file of the filesystem that names are looked up in, following symlinks inside its root; undefined when
 * there is no regular file of that name.
 */
export type AccountFileReader = (path: string) => Promise<Uint8Array | undefined>

/** Numbers of 32 bits with a sign; a larger one is a name. */
const ID_LIMIT = 2 ** 31

/** Limit of passwd and group files (features row D90). */
const ACCOUNT_FILE_BYTES_MAX = 10 << 20

/**
 * The ids that `--chown=text` means (features row D104): numbers, a user's number also for
 * the group when none is given, names from /etc/passwd and /etc/group. As with BuildKit a user that is not there means 0, a
 * group that is not there is the user's, and negative numbers are what the kernel takes them for.
 * `bad-owner` when a name is given and there is nothing to look it up in (`readAccounts` undefined: --link, scratch).
 */
export async function resolveOwner(
  text: string,
  readAccounts: AccountFileReader | undefined,
): Promise<Owner> {
  const colon = text.indexOf(':')
  const user = colon < 0 ? text : text.slice(0, colon)
  const owner = await resolveUser(user, text, readAccounts)
  if (colon < 0) {
    return owner
  }
  const gid = await resolveGroup(text.slice(colon + 1), text, readAccounts)
  return { uid: owner.uid, gid: gid ?? owner.gid }
}

async function resolveUser(
  name: string,
  text: string,
  readAccounts: AccountFileReader | undefined,
): Promise<Owner> {
  const id = parseId(name)
  if (id !== undefined) {
    return { uid: id, gid: id }
  }
  const fields = await findAccount('/etc/passwd', name, text, readAccounts)
  return { uid: accountId(fields?.[2]), gid: accountId(fields?.[3]) }
}

async function resolveGroup(
  name: string,
  text: string,
  readAccounts: AccountFileReader | undefined,
): Promise<number | undefined> {
  const id = parseId(name)
  if (id !== undefined) {
    return id
  }
  const fields = await findAccount('/etc/group', name, text, readAccounts)
  return fields && accountId(fields[2])
}

/** Undefined: a name. */
function parseId(text: string): number | undefined {
  if (text === 'root' || text === '') return 0
  const number = parseNumber(text)
  const isId = number !== undefined && number >= -ID_LIMIT && number < ID_LIMIT
  return isId ? ownerId(number) : undefined
}

function accountId(text: string | undefined): number {
  return ownerId(parseNumber(text) ?? 0)
}

function parseNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^[+-]?[0-9]+$/.test(text) ? Number(text) : undefined
}

/** What lchown(2) makes of a number: an unsigned one of 32 bits, and with -1 the owner stays who it is, which is root. */
function ownerId(number: number): number {
  const id = number >>> 0
  return id === 0xffff_ffff ? 0 : id
}

async function findAccount(
  file: string,
  name: string,
  text: string,
  readAccounts: AccountFileReader | undefined,
): Promise<readonly string[] | undefined> {
  if (readAccounts === undefined) {
    throw new CopyError(
      'bad-owner',
      `could not use owner ${text}: invalid user index: with --link and on an empty image there is no ${file} to look ${name} up in; use numbers`,
    )
  }
  const bytes = await readAccounts(file)
  if (bytes === undefined) {
    return undefined
  }
  if (bytes.length > ACCOUNT_FILE_BYTES_MAX) {
    throw new CopyError('bad-owner', `could not look up ${name}: ${file} is larger than 10 MiB`)
  }
  const lines = new TextDecoder().decode(bytes).split('\n')
  return lines.map((line) => line.trim().split(':')).find((fields) => fields[0] === name)
}
