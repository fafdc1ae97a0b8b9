/** The description of `name` in the comments above its definition: `# name text` (features row D12). Empty when none. */
export function docComment(comments: readonly string[], name: string): string {
  if (name === '') return ''
  const lead = `${name} `
  return comments.find((comment) => comment.startsWith(lead))?.slice(lead.length) ?? ''
}
