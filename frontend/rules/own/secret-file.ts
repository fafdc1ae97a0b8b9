import type { ParsedDockerfile } from '../../dockerfile.ts'
import { baseName } from '../../posix-path.ts'
import type { Finding } from '../rule.ts'
import { SECRET_FILE_COPIED } from './rules.ts'

/** Names that nothing but a secret has. `.env`, `.npmrc` and `*.pem` are often harmless, and so are not here. */
const SECRET_NAME =
  /^(?:id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.git-credentials|\.pypirc|\.pgpass|\.ssh|\.aws|.*\.(?:p12|pfx))$/

/** COPY or ADD of a file from the context that is a private key or holds credentials. */
export function secretFileFindings(parsed: ParsedDockerfile): Finding[] {
  const commands = parsed.stages.flatMap((stage) => stage.commands)
  return commands.flatMap((command) => {
    if (command.kind !== 'add' && (command.kind !== 'copy' || command.from !== '')) return []
    const secrets = command.sources.filter((source) => SECRET_NAME.test(baseName(source)))
    return secrets.map((source) => ({
      rule: SECRET_FILE_COPIED,
      detail:
        `${source} looks like a secret, and stays in the image even when a later step removes it: use ` +
        'RUN --mount=type=secret or --mount=type=ssh',
      place: command,
    }))
  })
}
