import { formatPlatform, localPlatform, type Platform } from '../../registry-client/oci/index.ts'

/** 126: what was to be executed is there, and cannot be. */
const NOT_EXECUTABLE = 126

/**
 * What to say beside the exit code when a RUN for another platform could not be executed for want of an emulator
 * (features row X43); undefined when that is not the reason.
 */
export function missingEmulator(
  platform: Platform,
  failed: { readonly exitCode: number; readonly lastLine: string | undefined },
  machine: Platform = localPlatform(),
): string | undefined {
  const { architecture } = platform
  if (
    architecture === machine.architecture ||
    failed.exitCode !== NOT_EXECUTABLE ||
    failed.lastLine === undefined ||
    !/exec format error\s*$/i.test(failed.lastLine)
  ) {
    return undefined
  }
  return (
    `the step is for ${formatPlatform(platform)}, this machine is ${formatPlatform(machine)} and has no emulator for it; ` +
    'install qemu-user-static (with binfmt-support), or let the step run on FROM --platform=$BUILDPLATFORM'
  )
}
