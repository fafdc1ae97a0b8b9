import type { LayerStack } from './layer.ts'

/** What a node of the graph came to. `Files` is what the context engine calls a tree on the host. */
export type NodeResult<Files> =
  | { readonly kind: 'stack'; readonly layers: LayerStack }
  | { readonly kind: 'files'; readonly files: Files }
