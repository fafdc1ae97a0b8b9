/** Rows as Go's tabwriter prints them: cells padded to the widest of their column, the last column as it is. */
export function renderTable(rows: readonly (readonly string[])[], padding: number): string {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Array.from(cell).length)
    })
  }
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        if (column === row.length - 1) return cell
        return cell + ' '.repeat((widths[column] ?? 0) - Array.from(cell).length + padding)
      })
      .join(''),
  )
  return lines.map((line) => `${line}\n`).join('')
}
