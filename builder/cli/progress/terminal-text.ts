const SGR = /^\x1b\[[0-9;:]*m/
const ESCAPE_SEQUENCE =
  /^(?:\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?|\x9b[0-?]*[ -/]*[@-~]?)/

/**
 * `line` without anything that moves the cursor, changes the title, writes to the clipboard or otherwise controls the
 * terminal: a step's output must not draw over ours (attack "ANSI escapes in logs"). Colours (SGR) stay; tabs stay;
 * other control characters become visible (`^G`); bidirectional overrides go.
 */
export function neutralise(line: string): string {
  let result = ''
  for (let rest = line; rest !== ''; ) {
    const special = rest.search(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/)
    if (special < 0) {
      return result + rest
    }
    result += rest.slice(0, special)
    rest = rest.slice(special)
    const colour = SGR.exec(rest)?.[0]
    const skipped = colour ?? ESCAPE_SEQUENCE.exec(rest)?.[0]
    if (skipped !== undefined) {
      result += colour ?? ''
      rest = rest.slice(skipped.length)
    } else {
      result += visible(rest.charCodeAt(0))
      rest = rest.slice(1)
    }
  }
  return result
}

/** `line` without colours too. */
export function withoutColours(line: string): string {
  return line.replace(/\x1b\[[0-9;:]*m/g, '')
}

function visible(code: number): string {
  if (code < 0x20 || code === 0x7f) {
    return code === 0x7f ? '^?' : `^${String.fromCharCode(code + 0x40)}`
  }
  return ''
}

/** Columns that `text` takes on a terminal; colours take none. */
export function displayWidth(text: string): number {
  let width = 0
  for (const { segment } of segments(withoutColours(text))) {
    width += clusterWidth(segment)
  }
  return width
}

/** `text` cut to `columns`, with `ellipsis` at the end when something is missing; colours do not run on behind it. */
export function fitWidth(text: string, columns: number, ellipsis: '…' | '~' = '…'): string {
  if (columns <= 0) {
    return ''
  }
  const plain = withoutColours(text)
  if (displayWidth(plain) <= columns) {
    return text
  }
  let result = ''
  let width = 0
  for (const { segment } of segments(plain)) {
    width += clusterWidth(segment)
    if (width > columns - 1) {
      break
    }
    result += segment
  }
  return `${result}${ellipsis}`
}

let segmenter: Intl.Segmenter | undefined

/** Made when there is a terminal: it takes as long as all the rest of a cached build's modules. */
function segments(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  return segmenter.segment(text)
}
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}]/u

function clusterWidth(cluster: string): number {
  if (/^[\p{Mn}\p{Me}\p{Cf}\x00-\x1f\x7f-\x9f]/u.test(cluster)) {
    return 0
  }
  return WIDE.test(cluster) ||
    /^\p{Emoji_Presentation}/u.test(cluster) ||
    cluster.includes('\ufe0f')
    ? 2
    : 1
}
