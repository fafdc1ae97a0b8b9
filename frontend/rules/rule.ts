import type { Range } from '../diagnostics.ts'
import type { FactPlace } from '../facts.ts'

/** A lint rule as BuildKit documents it (features rows L1-L22). */
export interface Rule {
  readonly name: string
  readonly description: string
  readonly url: string
  /** Off unless `experimental=` asks for it. */
  readonly isExperimental: boolean
}

/** A rule that was broken, before skips are applied. */
export interface Finding {
  readonly rule: Rule
  readonly detail: string
  readonly place: FactPlace
}

/** A broken rule, for the user. */
export interface Warning {
  readonly rule: string
  readonly description: string
  /** Empty when the rule has no page. */
  readonly url: string
  readonly detail: string
  readonly range: Range
}

function rule(name: string, description: string, isExperimental = false): Rule {
  const page = name.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, '-').toLowerCase()
  const url = `https://docs.docker.com/go/dockerfile/rule/${page}/`
  return { name, description, url, isExperimental }
}

export const STAGE_NAME_CASING: Rule = rule('StageNameCasing', 'Stage names should be lowercase')
export const FROM_AS_CASING: Rule = rule(
  'FromAsCasing',
  "The 'as' keyword should match the case of the 'from' keyword",
)
export const NO_EMPTY_CONTINUATION: Rule = rule(
  'NoEmptyContinuation',
  'Empty continuation lines will become errors in a future release',
)
export const CONSISTENT_INSTRUCTION_CASING: Rule = rule(
  'ConsistentInstructionCasing',
  'All commands within the Dockerfile should use the same casing (either upper or lower)',
)
export const DUPLICATE_STAGE_NAME: Rule = rule('DuplicateStageName', 'Stage names should be unique')
export const RESERVED_STAGE_NAME: Rule = rule(
  'ReservedStageName',
  'Reserved words should not be used as stage names',
)
export const JSON_ARGS_RECOMMENDED: Rule = rule(
  'JSONArgsRecommended',
  'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
)
export const MAINTAINER_DEPRECATED: Rule = rule(
  'MaintainerDeprecated',
  'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
)
export const UNDEFINED_ARG_IN_FROM: Rule = rule(
  'UndefinedArgInFrom',
  'FROM command must use declared ARGs',
)
export const WORKDIR_RELATIVE_PATH: Rule = rule(
  'WorkdirRelativePath',
  'Relative workdir without an absolute workdir declared within the build can have unexpected ' +
    'results if the base image changes',
)
export const UNDEFINED_VAR: Rule = rule(
  'UndefinedVar',
  'Variables should be defined before their use',
)
export const MULTIPLE_INSTRUCTIONS_DISALLOWED: Rule = rule(
  'MultipleInstructionsDisallowed',
  'Multiple instructions of the same type should not be used in the same stage',
)
export const LEGACY_KEY_VALUE_FORMAT: Rule = rule(
  'LegacyKeyValueFormat',
  'Legacy key/value format with whitespace separator should not be used',
)
export const INVALID_BASE_IMAGE_PLATFORM: Rule = {
  ...rule(
    'InvalidBaseImagePlatform',
    'Base image platform does not match expected target platform',
  ),
  url: '',
}
export const REDUNDANT_TARGET_PLATFORM: Rule = rule(
  'RedundantTargetPlatform',
  'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default ' +
    'behavior',
)
export const SECRETS_USED_IN_ARG_OR_ENV: Rule = rule(
  'SecretsUsedInArgOrEnv',
  'Sensitive data should not be used in the ARG or ENV commands',
)
export const INVALID_DEFAULT_ARG_IN_FROM: Rule = rule(
  'InvalidDefaultArgInFrom',
  'Default value for global ARG results in an empty or invalid base image name',
)
export const FROM_PLATFORM_FLAG_CONST_DISALLOWED: Rule = rule(
  'FromPlatformFlagConstDisallowed',
  'FROM --platform flag should not use a constant value',
)
export const COPY_IGNORED_FILE: Rule = rule(
  'CopyIgnoredFile',
  'Attempting to Copy file that is excluded by .dockerignore',
)
export const INVALID_DEFINITION_DESCRIPTION: Rule = rule(
  'InvalidDefinitionDescription',
  'Comment for build stage or argument should follow the format: `# <arg/stage name> ' +
    '<description>`. If this is not intended to be a description comment, add an empty line or ' +
    'comment between the instruction and the comment.',
  true,
)
export const EXPOSE_PROTO_CASING: Rule = rule(
  'ExposeProtoCasing',
  'Protocol in EXPOSE instruction should be lowercase',
)
export const EXPOSE_INVALID_FORMAT: Rule = rule(
  'ExposeInvalidFormat',
  'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an ' +
    'error in a future release',
)
