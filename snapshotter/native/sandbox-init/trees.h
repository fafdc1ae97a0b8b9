#ifndef TSBUILD_TREES_H
#define TSBUILD_TREES_H

#include <sys/stat.h>

#include "spec.h"

/* Mounts `tree` without attaching it anywhere; the descriptor is the mount. `attributes`: K_MOUNT_ATTR_*. */
int mount_tree(const char *step, const struct tree *tree, unsigned attributes);

/* A detached mount of a filesystem type with options given as key, value, ..., NULL (value "" = a flag). */
int mount_filesystem(const char *step, const char *type, unsigned attributes, const char *const *options);

/* Like mount_filesystem, but -1 with errno instead of a report. */
int try_mount_filesystem(const char *type, unsigned attributes, const char *const *options);

/* Sets attributes on a detached or attached mount. */
void set_mount_attributes(const char *step, int mount_fd, unsigned attributes, unsigned flags);

/* A detached mount of what an O_PATH descriptor stands for. */
int clone_mount(const char *step, int fd, const char *what);

/* Attaches a detached mount on what `onto` stands for. */
void put_mount(const char *step, int mount_fd, int onto, const char *what);

struct stat stat_of(const char *step, int fd, const char *what);

/* Tries an overlay mount in `directory` (which gets the two directories it needs); 0 or errno. */
int probe_overlay(const char *directory, int user_xattr);

#endif
