#ifndef TSBUILD_SPEC_H
#define TSBUILD_SPEC_H

#include <stddef.h>
#include <stdint.h>

/*
 * What one run is asked to do. builder/sandbox/encode-spec.ts writes it, in exactly the order of this file; every policy
 * (which paths are masked, which capabilities, which mounts) is decided there.
 */
struct string_list {
  uint32_t count;
  const char **items; /* NULL-terminated */
};

enum root_kind { ROOT_OVERLAY = 0, ROOT_BIND = 1 };

/* A root filesystem or a stack of layers behind a mount. */
struct tree {
  enum root_kind kind;
  /* overlay */
  uint32_t user_xattr;
  uint32_t use_option_string; /* mount(2) instead of fsconfig: what kernels before 6.8 need */
  const char *upper;
  const char *work;
  struct string_list lowers; /* top first */
  /* bind */
  const char *dir;
};

enum mount_kind { MOUNT_TREE = 0, MOUNT_TMPFS = 1, MOUNT_FILE = 2, MOUNT_SOCKET = 3 };

struct sandbox_mount {
  enum mount_kind kind;
  uint32_t is_readonly;
  const char *target;
  /* MOUNT_TREE */
  struct tree tree;
  const char *source; /* below the tree */
  /* MOUNT_TMPFS: 0 = the kernel's default; MOUNT_FILE: mode and owner */
  uint64_t size_bytes;
  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  /* MOUNT_FILE */
  const uint8_t *content;
  uint32_t content_length;
  /* MOUNT_SOCKET */
  const char *host_path;
};

enum stdio_mode { STDIO_CAPTURED = 0, STDIO_INHERITED = 1, STDIO_TERMINAL = 2 };
enum network_mode { NETWORK_SHARED = 0, NETWORK_NONE = 1, NETWORK_JOIN = 2 };

struct limit {
  uint32_t resource;
  uint64_t soft;
  uint64_t hard;
};

struct spec {
  uint32_t stdio;
  uint32_t network;
  const char *network_namespace; /* NETWORK_JOIN: path of it */
  uint32_t new_cgroup_namespace;
  uint32_t use_seccomp;
  uint32_t is_confined; /* not --security=insecure: /sys is read-only, devices cannot be opened */
  uint32_t is_chroot; /* nothing can be mounted, no namespace made: see chroot.h */
  uint32_t records_owners; /* a single id: see owners.h */
  uint64_t capabilities;
  uint64_t shm_size_bytes;
  struct tree root;
  struct string_list args;
  struct string_list env;
  const char *cwd;
  const char *user;
  const char *hostname;
  struct string_list masked_paths;
  struct string_list readonly_paths;
  struct string_list cgroup_procs; /* cgroup.procs files to join */
  uint32_t mount_count;
  struct sandbox_mount *mounts;
  uint32_t limit_count;
  struct limit *limits;
};

/* Reads one spec from `fd`; any byte out of place is an error (step `spec`). */
struct spec *read_spec(int fd);

#endif
