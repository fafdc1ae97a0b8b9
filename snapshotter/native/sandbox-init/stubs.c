#include "stubs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kernel.h"
#include "report.h"
#include "spec.h"

struct stub {
  struct stub *next;
  struct timespec before; /* mtime of the parent without the stub */
  struct timespec after;
  char path[];
};

static struct stub *stubs; /* last made first */

static struct timespec read_time(const uint8_t *in) {
  return (struct timespec){.tv_sec = (time_t)get_u64(in), .tv_nsec = (long)get_u64(in + 8)};
}

void remember_stub(const uint8_t *payload, size_t length) {
  if (length < 34 || payload[length - 1] != '\0') fail_with(EPROTO, "stubs", "short report");
  struct stub *stub = must_allocate(sizeof *stub + length - 32);
  stub->before = read_time(payload);
  stub->after = read_time(payload + 16);
  memcpy(stub->path, payload + 32, length - 32);
  stub->next = stubs;
  stubs = stub;
}

static bool is_same(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/*
 * The step may have replaced anything on the way by a symlink: no link is followed, and a path that is not what it was
 * is left alone (CVE-2024-23652).
 */
static int open_parent(int root_dir, const char *path, const char **name) {
  char parent[4096 + 256];
  const char *slash = strrchr(path, '/');
  *name = slash + 1;
  size_t length = (size_t)(slash - path);
  if (length >= sizeof parent) return -1;
  memcpy(parent, path, length);
  parent[length] = '\0';
  const char *relative = parent;
  while (*relative == '/') relative++;
  const uint64_t resolve = K_RESOLVE_NO_SYMLINKS | K_RESOLVE_BENEATH | K_RESOLVE_NO_XDEV;
  return k_openat2(root_dir, *relative == '\0' ? "." : relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC, resolve);
}

static void remove_stub(int root_dir, const struct stub *stub) {
  const char *name;
  int parent = open_parent(root_dir, stub->path, &name);
  if (parent < 0) return;
  struct stat found, around;
  bool is_there = fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && fstat(parent, &around) == 0;
  bool is_directory = is_there && S_ISDIR(found.st_mode);
  /* A file that got content, or a directory that got entries, has become part of the layer. */
  bool is_removed = is_there && (is_directory || found.st_size == 0) && unlinkat(parent, name, is_directory ? AT_REMOVEDIR : 0) == 0;
  if (is_removed) {
    struct timespec times[2] = {around.st_atim, is_same(around.st_mtim, stub->after) ? stub->before : around.st_mtim};
    if (futimens(parent, times) != 0) fail("stubs", "could not restore the times of the parent of %s", stub->path);
  } else if (is_directory && errno != ENOTEMPTY && errno != EEXIST) {
    fail("stubs", "could not remove the mount point %s", stub->path);
  }
  close(parent);
}

void remove_stubs(int root_dir) {
  for (const struct stub *stub = stubs; stub != NULL; stub = stub->next) remove_stub(root_dir, stub);
}

static bool has_own_xattrs(int fd) {
  char names[4096];
  ssize_t length = flistxattr(fd, names, sizeof names);
  if (length < 0) return errno != ENOTSUP;
  for (const char *name = names; name < names + length; name += strlen(name) + 1)
    if (strncmp(name, "trusted.overlay.", 16) != 0 && strncmp(name, "user.overlay.", 13) != 0) return true;
  return false;
}

static bool is_opaque(int fd) {
  char value;
  return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) > 0 || fgetxattr(fd, "user.overlay.opaque", &value, 1) > 0;
}

/* The directory of that path in the topmost layer that has one. */
static bool find_below(const struct string_list *lowers, const char *path, struct stat *found) {
  for (uint32_t i = 0; i < lowers->count; i++) {
    int lower = open(lowers->items[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (lower < 0) continue;
    int fd = k_openat2(lower, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, K_RESOLVE_BENEATH | K_RESOLVE_NO_SYMLINKS);
    bool is_there = fd >= 0 && fstat(fd, found) == 0;
    if (fd >= 0) close(fd);
    close(lower);
    if (is_there) return S_ISDIR(found->st_mode);
  }
  return false;
}

static bool is_untouched(int upper, const char *path, const struct string_list *lowers) {
  int fd = k_openat2(upper, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, K_RESOLVE_BENEATH | K_RESOLVE_NO_SYMLINKS);
  if (fd < 0) return false;
  struct stat above, below;
  bool is_equal = fstat(fd, &above) == 0 && find_below(lowers, path, &below) && above.st_mode == below.st_mode &&
                  above.st_uid == below.st_uid && above.st_gid == below.st_gid && is_same(above.st_mtim, below.st_mtim) &&
                  !is_opaque(fd) && !has_own_xattrs(fd);
  close(fd);
  return is_equal;
}

static void drop_parents_of(int upper, const struct string_list *lowers, const char *stub_path) {
  char *path = strdup(stub_path);
  if (path == NULL) fail("memory", "for %s", stub_path);
  const char *relative = path;
  while (*relative == '/') relative++;
  for (;;) {
    char *slash = strrchr(relative, '/');
    if (slash == NULL) break;
    *slash = '\0';
    if (!is_untouched(upper, relative, lowers)) break;
    const char *name;
    /* Through its parent in the upper directory only; not empty means that the step put something there. */
    int parent = open_parent(upper, path, &name);
    if (parent < 0) break;
    bool is_removed = unlinkat(parent, name, AT_REMOVEDIR) == 0;
    close(parent);
    if (!is_removed) break;
  }
  free(path);
}

void drop_copied_parents(const struct tree *root) {
  if (root->kind != ROOT_OVERLAY) return;
  int upper = open(root->upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (upper < 0) fail("stubs", "could not open %s", root->upper);
  for (const struct stub *stub = stubs; stub != NULL; stub = stub->next) drop_parents_of(upper, &root->lowers, stub->path);
  close(upper);
}
