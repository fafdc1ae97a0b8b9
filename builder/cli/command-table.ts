import type { CommandEntry } from './command.ts'

/** Every command in the order of the help. Nothing of a command is loaded before `load`. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'build',
    summary: 'Build an image from a Dockerfile (the default)',
    load: async () => (await import('./commands/build.ts')).buildCommand,
  },
  {
    name: 'check',
    summary: 'Check a Dockerfile and print what is wrong with it',
    load: async () => (await import('./commands/check.ts')).checkCommand,
  },
  {
    name: 'images',
    summary: 'List images',
    load: async () => (await import('./commands/images.ts')).imagesCommand,
  },
  {
    name: 'inspect',
    summary: 'Show details of images as JSON',
    load: async () => (await import('./commands/inspect.ts')).inspectCommand,
  },
  {
    name: 'history',
    summary: 'Show how an image was made, layer by layer',
    load: async () => (await import('./commands/history.ts')).historyCommand,
  },
  {
    name: 'tag',
    summary: 'Give an image another name',
    load: async () => (await import('./commands/tag.ts')).tagCommand,
  },
  {
    name: 'rmi',
    summary: 'Remove names of images, and images without a name',
    load: async () => (await import('./commands/rmi.ts')).rmiCommand,
  },
  {
    name: 'pull',
    summary: 'Download an image from a registry',
    load: async () => (await import('./commands/pull.ts')).pullCommand,
  },
  {
    name: 'push',
    summary: 'Upload an image to a registry',
    load: async () => (await import('./commands/push.ts')).pushCommand,
  },
  {
    name: 'copy',
    summary: 'Copy an image from one registry to another, or several into one',
    load: async () => (await import('./commands/copy.ts')).copyCommand,
  },
  {
    name: 'tags',
    summary: 'List the tags of a repository in a registry',
    load: async () => (await import('./commands/tags.ts')).tagsCommand,
  },
  {
    name: 'save',
    summary: 'Write images to an archive',
    load: async () => (await import('./commands/save.ts')).saveCommand,
  },
  {
    name: 'load',
    summary: 'Read images from an archive',
    load: async () => (await import('./commands/load.ts')).loadCommand,
  },
  {
    name: 'run',
    summary: 'Run a command in an image, to try it',
    load: async () => (await import('./commands/run.ts')).runCommand,
  },
  {
    name: 'shell',
    summary: 'Open a shell in a step that failed, as it was left',
    load: async () => (await import('./commands/shell.ts')).shellCommand,
  },
  {
    name: 'prune',
    summary: 'Free disk space: remove cache that is not needed',
    load: async () => (await import('./commands/prune.ts')).pruneCommand,
  },
  {
    name: 'du',
    summary: 'Show what takes disk space',
    load: async () => (await import('./commands/du.ts')).duCommand,
  },
  {
    name: 'login',
    summary: 'Store credentials of a registry',
    load: async () => (await import('./commands/login.ts')).loginCommand,
  },
  {
    name: 'logout',
    summary: 'Forget credentials of a registry',
    load: async () => (await import('./commands/logout.ts')).logoutCommand,
  },
  {
    name: 'version',
    summary: 'Show the version',
    load: async () => (await import('./commands/version.ts')).versionCommand,
  },
  {
    name: 'help',
    summary: 'Show this help, or that of a command',
    load: async () => (await import('./commands/help.ts')).helpCommand(COMMANDS),
  },
]
