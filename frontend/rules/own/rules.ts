import type { Rule } from '../rule.ts'

/** Rules that BuildKit does not have. Their reasons are in docs/dockerfile.md, under "Checks". */
function rule(name: string, description: string): Rule {
  return { name, description, url: '', isExperimental: false }
}

export const APT_INSTALL_WITHOUT_UPDATE: Rule = rule(
  'AptInstallWithoutUpdate',
  'apt-get update and apt-get install belong in one RUN, else a cached update is used for ever',
)
export const COPY_ALL_BEFORE_INSTALL: Rule = rule(
  'CopyAllBeforeInstall',
  'Copying everything before dependencies are installed installs them again after every change',
)
export const SECRET_FILE_COPIED: Rule = rule(
  'SecretFileCopied',
  'Private keys and credentials in an image can be read by everybody who can pull it',
)
export const FLOATING_BASE_IMAGE: Rule = rule(
  'FloatingBaseImage',
  'One base image without a version makes builds differ from day to day though the others are pinned',
)
export const VOLATILE_ARG_BEFORE_INSTALL: Rule = rule(
  'VolatileArgBeforeInstall',
  'An ARG that differs in every build runs each later RUN again; it belongs below the expensive ones',
)
