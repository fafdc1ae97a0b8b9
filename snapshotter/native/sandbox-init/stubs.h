#ifndef TSBUILD_STUBS_H
#define TSBUILD_STUBS_H

#include <stddef.h>
#include <stdint.h>

/* Mount points that were made for a step and must not stay in its layer (features row D75). */
void remember_stub(const uint8_t *payload, size_t length);

/* Removes those that are still empty, last made first, and puts back the times of their parents. */
void remove_stubs(int root_dir);

struct tree;
/*
 * Making a mount point copied its parent directories into an overlay's upper directory, where they would be taken for
 * changes. Those that are empty and equal to what lies below them are taken out again.
 */
void drop_copied_parents(const struct tree *root);

#endif
