#ifndef TSBUILD_KERNEL_H
#define TSBUILD_KERNEL_H

/*
 * The kernel's newer system calls, by number: a C library as old as the oldest one Node runs on does not know them,
 * and <linux/mount.h> clashes with <sys/mount.h> in several releases. Numbers above 423 are equal on all architectures.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  NR_open_tree = 428,
  NR_move_mount = 429,
  NR_fsopen = 430,
  NR_fsconfig = 431,
  NR_fsmount = 432,
  NR_close_range = 436,
  NR_openat2 = 437,
  NR_mount_setattr = 442,
};

#define K_OPEN_TREE_CLONE 1u
#define K_OPEN_TREE_CLOEXEC 02000000u /* O_CLOEXEC on every architecture built here */
#define K_AT_RECURSIVE 0x8000u
#define K_AT_EMPTY_PATH 0x1000u
#define K_MOVE_MOUNT_F_EMPTY_PATH 0x4u
#define K_MOVE_MOUNT_T_EMPTY_PATH 0x40u
#define K_FSOPEN_CLOEXEC 1u
#define K_FSMOUNT_CLOEXEC 1u
#define K_FSCONFIG_SET_FLAG 0u
#define K_FSCONFIG_SET_STRING 1u
#define K_FSCONFIG_CMD_CREATE 6u
#define K_MOUNT_ATTR_RDONLY 0x1u
#define K_MOUNT_ATTR_NOSUID 0x2u
#define K_MOUNT_ATTR_NODEV 0x4u
#define K_MOUNT_ATTR_NOEXEC 0x8u
#define K_CLOSE_RANGE_CLOEXEC 4u
#define K_RESOLVE_NO_XDEV 0x01u
#define K_RESOLVE_NO_MAGICLINKS 0x02u
#define K_RESOLVE_NO_SYMLINKS 0x04u
#define K_RESOLVE_BENEATH 0x08u
#define K_RESOLVE_IN_ROOT 0x10u

struct k_open_how {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};

struct k_mount_attr {
  uint64_t attr_set;
  uint64_t attr_clr;
  uint64_t propagation;
  uint64_t userns_fd;
};

static inline int k_open_tree(int dirfd, const char *path, unsigned flags) {
  return (int)syscall(NR_open_tree, dirfd, path, flags);
}

static inline int k_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
  return (int)syscall(NR_move_mount, from, from_path, to, to_path, flags);
}

static inline int k_fsopen(const char *type) { return (int)syscall(NR_fsopen, type, K_FSOPEN_CLOEXEC); }

static inline int k_fsconfig(int fs, unsigned command, const char *key, const char *value) {
  return (int)syscall(NR_fsconfig, fs, command, key, value, 0);
}

static inline int k_fsmount(int fs, unsigned attributes) {
  return (int)syscall(NR_fsmount, fs, K_FSMOUNT_CLOEXEC, attributes);
}

static inline int k_mount_setattr(int dirfd, const char *path, unsigned flags, const struct k_mount_attr *attr) {
  return (int)syscall(NR_mount_setattr, dirfd, path, flags, attr, sizeof *attr);
}

static inline int k_openat2(int dirfd, const char *path, uint64_t flags, uint64_t resolve) {
  struct k_open_how how = {.flags = flags, .resolve = resolve};
  return (int)syscall(NR_openat2, dirfd, path, &how, sizeof how);
}

static inline int k_close_range(unsigned first, unsigned last, unsigned flags) {
  return (int)syscall(NR_close_range, first, last, flags);
}

#endif
