#include "trees.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "report.h"

/*
 * Directories are handed to overlayfs as /proc/self/fd/N: fsconfig takes 255 bytes a path and mount(2) a page for all of
 * them, and the step can read in its mountinfo what was written there, so host paths have no place in it.
 */
#define FD_PATH_MAX 32

static void fd_path(char out[FD_PATH_MAX], int fd) { snprintf(out, FD_PATH_MAX, "/proc/self/fd/%d", fd); }

static int open_directory(const char *step, const char *path) {
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(step, "could not open %s", path);
  return fd;
}

int try_mount_filesystem(const char *type, unsigned attributes, const char *const *options) {
  int fs = k_fsopen(type);
  if (fs < 0) return -1;
  for (; *options != NULL; options += 2) {
    unsigned command = options[1][0] == '\0' ? K_FSCONFIG_SET_FLAG : K_FSCONFIG_SET_STRING;
    if (k_fsconfig(fs, command, options[0], command == K_FSCONFIG_SET_FLAG ? NULL : options[1]) != 0) goto failed;
  }
  if (k_fsconfig(fs, K_FSCONFIG_CMD_CREATE, NULL, NULL) != 0) goto failed;
  int mount_fd = k_fsmount(fs, attributes);
  if (mount_fd < 0) goto failed;
  close(fs);
  return mount_fd;
failed:;
  int error = errno;
  close(fs);
  errno = error;
  return -1;
}

int mount_filesystem(const char *step, const char *type, unsigned attributes, const char *const *options) {
  int mount_fd = try_mount_filesystem(type, attributes, options);
  if (mount_fd < 0) fail(step, "could not mount %s", type);
  return mount_fd;
}

void set_mount_attributes(const char *step, int mount_fd, unsigned attributes, unsigned flags) {
  struct k_mount_attr attr = {.attr_set = attributes};
  if (attributes != 0 && k_mount_setattr(mount_fd, "", K_AT_EMPTY_PATH | flags, &attr) != 0)
    fail(step, "could not set mount attributes %#x", attributes);
}

int clone_mount(const char *step, int fd, const char *what) {
  int mount_fd = k_open_tree(fd, "", K_OPEN_TREE_CLONE | K_OPEN_TREE_CLOEXEC | K_AT_EMPTY_PATH);
  if (mount_fd < 0) fail(step, "could not bind %s", what);
  return mount_fd;
}

void put_mount(const char *step, int mount_fd, int onto, const char *what) {
  if (k_move_mount(mount_fd, "", onto, "", K_MOVE_MOUNT_F_EMPTY_PATH | K_MOVE_MOUNT_T_EMPTY_PATH) != 0)
    fail(step, "could not mount on %s", what);
}

struct stat stat_of(const char *step, int fd, const char *what) {
  struct stat stat;
  if (fstatat(fd, "", &stat, AT_EMPTY_PATH) != 0) fail(step, "%s", what);
  return stat;
}

struct layers {
  int upper;
  int work;
  uint32_t count;
  int *lowers;
};

static struct layers open_layers(const char *step, const struct tree *tree) {
  struct layers layers = {.upper = open_directory(step, tree->upper), .work = open_directory(step, tree->work)};
  /* overlayfs wants at least one lower directory, also for a step over nothing (FROM scratch). */
  layers.count = tree->lowers.count;
  layers.lowers = must_allocate((layers.count + 1) * sizeof *layers.lowers);
  for (uint32_t i = 0; i < layers.count; i++) layers.lowers[i] = open_directory(step, tree->lowers.items[i]);
  return layers;
}

static void close_layers(struct layers *layers) {
  for (uint32_t i = 0; i < layers->count; i++) close(layers->lowers[i]);
  free(layers->lowers);
  close(layers->upper);
  close(layers->work);
}

/*
 * `volatile`: a step's fsync is not waited for and the unmount does not sync the whole disk; a layer is durable when its
 * record says so. `nofollow`: a layer cannot redirect a directory elsewhere by an attribute; user xattrs imply it.
 */
static int configure_overlay(int fs, const struct tree *tree, const struct layers *layers) {
  char path[FD_PATH_MAX];
  for (uint32_t i = 0; i < layers->count; i++) {
    fd_path(path, layers->lowers[i]);
    if (k_fsconfig(fs, K_FSCONFIG_SET_STRING, "lowerdir+", path) != 0) return -1;
  }
  fd_path(path, layers->upper);
  if (k_fsconfig(fs, K_FSCONFIG_SET_STRING, "upperdir", path) != 0) return -1;
  fd_path(path, layers->work);
  if (k_fsconfig(fs, K_FSCONFIG_SET_STRING, "workdir", path) != 0) return -1;
  if (k_fsconfig(fs, K_FSCONFIG_SET_FLAG, "volatile", NULL) != 0) return -1;
  if (k_fsconfig(fs, K_FSCONFIG_SET_STRING, "index", "off") != 0) return -1;
  if (k_fsconfig(fs, K_FSCONFIG_SET_STRING, "metacopy", "off") != 0) return -1;
  if (tree->user_xattr) return k_fsconfig(fs, K_FSCONFIG_SET_FLAG, "userxattr", NULL);
  return k_fsconfig(fs, K_FSCONFIG_SET_STRING, "redirect_dir", "nofollow");
}

/* The kernel's own words of the failure, which fsopen keeps for reading; errno stays. */
static void last_words(int fs, char *out, size_t size) {
  int error = errno;
  ssize_t length = read(fs, out, size - 1);
  out[length > 0 ? length : 0] = '\0';
  errno = error;
}

static int mount_overlay_by_fsconfig(const char *step, const struct tree *tree, const struct layers *layers, unsigned attributes) {
  int fs = k_fsopen("overlay");
  if (fs < 0) {
    if (errno == ENOSYS || errno == EPERM) return -1;
    fail(step, "overlay is not known to this kernel");
  }
  char words[256];
  if (configure_overlay(fs, tree, layers) != 0) {
    /* `lowerdir+` came with Linux 6.8. */
    int error = errno;
    close(fs);
    errno = error;
    return -1;
  }
  if (k_fsconfig(fs, K_FSCONFIG_CMD_CREATE, NULL, NULL) != 0) {
    last_words(fs, words, sizeof words);
    /* Before Linux 6.5 overlayfs takes every option as text, and only now says, without a word, that it does not know one. */
    if (errno != EINVAL || words[0] != '\0') fail(step, "overlay of %u layers at %s: %s", layers->count, tree->upper, words);
    close(fs);
    return -1;
  }
  int mount_fd = k_fsmount(fs, attributes);
  if (mount_fd < 0) fail(step, "overlay of %u layers", layers->count);
  close(fs);
  return mount_fd;
}

/* For kernels without `lowerdir+`: mount(2) in a mount namespace of our own, then take the mount out of the tree. */
static int mount_overlay_by_options(const char *step, const struct tree *tree, unsigned attributes) {
  if (unshare(CLONE_NEWNS) != 0) fail(step, "could not make a mount namespace");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail(step, "could not make the mounts private");
  /* Opened here: a layer must belong to the namespace that mounts it. */
  struct layers layers = open_layers(step, tree);
  char options[4096];
  size_t used = 0;
  used += (size_t)snprintf(options, sizeof options, "volatile,index=off,metacopy=off,%s,upperdir=%d,workdir=%d,lowerdir=",
                           tree->user_xattr ? "userxattr" : "redirect_dir=nofollow", layers.upper, layers.work);
  for (uint32_t i = 0; i < layers.count; i++) {
    used += (size_t)snprintf(options + used, sizeof options - used, i == 0 ? "%d" : ":%d", layers.lowers[i]);
    if (used >= sizeof options) fail_with(E2BIG, step, "%u layers do not fit into the options of a mount", layers.count);
  }
  /* Bare numbers, relative to here: hundreds of layers fit into the page. */
  if (chdir("/proc/self/fd") != 0) fail(step, "/proc is not mounted");
  if (mount("overlay", tree->upper, "overlay", 0, options) != 0)
    fail(step, "overlay of %u layers at %s", layers.count, tree->upper);
  if (chdir("/") != 0) fail(step, "/");
  close_layers(&layers);
  int mount_fd = k_open_tree(AT_FDCWD, tree->upper, K_OPEN_TREE_CLONE | K_OPEN_TREE_CLOEXEC);
  if (mount_fd < 0) fail(step, "could not take hold of the overlay at %s", tree->upper);
  if (umount2(tree->upper, MNT_DETACH) != 0) fail(step, "could not detach %s", tree->upper);
  set_mount_attributes(step, mount_fd, attributes, 0);
  return mount_fd;
}

static int mount_overlay(const char *step, const struct tree *tree, unsigned attributes) {
  if (!tree->use_option_string) {
    struct layers layers = open_layers(step, tree);
    int mount_fd = mount_overlay_by_fsconfig(step, tree, &layers, attributes);
    close_layers(&layers);
    if (mount_fd >= 0) return mount_fd;
  }
  return mount_overlay_by_options(step, tree, attributes);
}

static int bind_tree(const char *step, const char *dir, unsigned attributes) {
  /* The directory is the caller's own; opened once, cloned by descriptor. */
  int dir_fd = open_directory(step, dir);
  int mount_fd = k_open_tree(dir_fd, "", K_OPEN_TREE_CLONE | K_OPEN_TREE_CLOEXEC | K_AT_EMPTY_PATH);
  if (mount_fd < 0) fail(step, "could not bind %s", dir);
  close(dir_fd);
  set_mount_attributes(step, mount_fd, attributes, 0);
  return mount_fd;
}

int mount_tree(const char *step, const struct tree *tree, unsigned attributes) {
  if (tree->kind == ROOT_BIND) return bind_tree(step, tree->dir, attributes);
  return mount_overlay(step, tree, attributes);
}

static int make_probe_directory(const char *directory, const char *name, char out[4096]) {
  if (snprintf(out, 4096, "%s/%s", directory, name) >= 4096) return ENAMETOOLONG;
  return mkdir(out, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

int probe_overlay(const char *directory, int user_xattr) {
  char lower[4096], upper[4096], work[4096];
  int error = make_probe_directory(directory, "lower", lower);
  if (error == 0) error = make_probe_directory(directory, "upper", upper);
  if (error == 0) error = make_probe_directory(directory, "work", work);
  if (error != 0) return error;
  char options[3 * 4096 + 64];
  snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s%s", lower, upper, work, user_xattr ? ",userxattr" : "");
  if (strlen(options) >= 4096) return ENAMETOOLONG;
  if (mount("overlay", lower, "overlay", 0, options) != 0) return errno;
  return umount2(lower, MNT_DETACH) == 0 ? 0 : errno;
}
