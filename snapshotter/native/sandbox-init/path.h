#ifndef TSBUILD_PATH_H
#define TSBUILD_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Walks a path of an image the way a process inside it would: symlinks (dangling ones too) and `..` never lead out of
 * `root_fd`. Every step is one openat(O_NOFOLLOW) on a held descriptor, so nothing can be exchanged under the walk.
 */
enum leaf { LEAF_DIRECTORY, LEAF_FILE };

struct walk_options {
  const char *step; /* for error reports */
  bool create;      /* make what is missing: directories 0755, the leaf as `leaf` says */
  enum leaf leaf;
  uid_t uid; /* owner of what is made */
  gid_t gid;
  /* Called for each thing that was made, with its path below the root; may be NULL. */
  void (*on_created)(int parent_fd, const char *path, const struct timespec *parent_mtime_before);
};

/* An O_PATH descriptor of what `path` names, or -1 with ENOENT when it is missing and `create` is off; other failures are reported. */
int walk_in_root(int root_fd, const char *path, const struct walk_options *options);

/* A regular file inside the root opened for reading, at most as a symlink that stays inside; -1 if missing. Anything else is reported. */
int open_regular_in_root(int root_fd, const char *path, const char *step);

#endif
