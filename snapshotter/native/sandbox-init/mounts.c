#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"
#include "owners.h"
#include "path.h"
#include "report.h"
#include "step.h"
#include "trees.h"

/* A path inside a tree, resolved by descriptor below it at this moment (CVE-2024-23651, CVE-2024-1753). */
static int hold_tree(const struct sandbox_mount *mount) {
  int base;
  if (mount->tree.kind == ROOT_OVERLAY) {
    /* Only an attached mount can be cloned from at a path below its root; the upper directory is as good a place as any. */
    int overlay = mount_tree("mount", &mount->tree, PLAIN);
    int place = open(mount->tree.upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0) fail("mount", "%s", mount->tree.upper);
    put_mount("mount", overlay, place, mount->target);
    close(place);
    base = overlay;
  } else {
    base = open(mount->tree.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0) fail("mount", "could not open %s for %s", mount->tree.dir, mount->target);
  }
  struct walk_options options = {.step = "mount-source"};
  int source = walk_in_root(base, mount->source, &options);
  if (source < 0) fail_with(ENOENT, "mount-source", "%s for the mount on %s", mount->source, mount->target);
  int mount_fd = clone_mount("mount", source, mount->target);
  set_mount_attributes("mount", mount_fd, PLAIN | (mount->is_readonly ? K_MOUNT_ATTR_RDONLY : 0), 0);
  close(source);
  close(base);
  return mount_fd;
}

static int hold_host_path(const struct sandbox_mount *mount) {
  int fd = open(mount->host_path, O_PATH | O_CLOEXEC);
  if (fd < 0) fail("mount", "could not open %s", mount->host_path);
  struct stat stat = stat_of("mount", fd, mount->host_path);
  if (!S_ISSOCK(stat.st_mode)) fail_with(0, "mount", "%s is not a socket", mount->host_path);
  int mount_fd = clone_mount("mount", fd, mount->host_path);
  close(fd);
  return mount_fd;
}

/* Where the root is attached before it is entered; any directory would do. */
static int open_root_place(const struct tree *tree) {
  const char *path = tree->kind == ROOT_OVERLAY ? tree->upper : tree->dir;
  int place = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (place < 0) fail("root", "could not open %s", path);
  return place;
}

static int hold_file(int files_dir, uint32_t index, const struct sandbox_mount *mount) {
  char name[16];
  snprintf(name, sizeof name, "%u", index);
  int fd = openat(files_dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) fail("file", "for %s", mount->target);
  if (write_all(fd, mount->content, mount->content_length) != 0) fail("file", "could not write %s", mount->target);
  if (give_owner(fd, mount->uid, mount->gid) != 0) fail("file", "owner %u:%u of %s", mount->uid, mount->gid, mount->target);
  if (fchmod(fd, mount->mode) != 0) fail("file", "mode of %s", mount->target);
  close(fd);
  int place = openat(files_dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0) fail("file", "for %s", mount->target);
  int mount_fd = clone_mount("file", place, mount->target);
  close(place);
  /* Secrets are data; a heredoc script has the execute bit and is run from its mount. */
  unsigned noexec = (mount->mode & 0111) == 0 ? K_MOUNT_ATTR_NOEXEC : 0;
  set_mount_attributes("file", mount_fd, K_MOUNT_ATTR_RDONLY | K_MOUNT_ATTR_NOSUID | PLAIN | noexec, 0);
  return mount_fd;
}

/*
 * All files of one run share a tmpfs: attached where the root will be, because only an attached mount can be cloned from. It
 * goes with the host's file systems, so the step never sees it; each file lives on through its own mount.
 */
static void hold_files(const struct spec *spec, struct held_mounts *held) {
  static const char *const options[] = {"mode", "700", NULL};
  int files_dir = -1;
  for (uint32_t i = 0; i < spec->mount_count; i++) {
    if (spec->mounts[i].kind != MOUNT_FILE) continue;
    if (files_dir < 0) {
      int files = mount_filesystem("file", "tmpfs", K_MOUNT_ATTR_NOSUID | PLAIN, options);
      files_dir = openat(files, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      int place = open_root_place(&spec->root);
      if (files_dir < 0) fail("file", "tmpfs");
      put_mount("file", files, place, "the place of the root");
      close(place);
      close(files);
    }
    held->fds[i] = hold_file(files_dir, i, &spec->mounts[i]);
  }
  if (files_dir >= 0) close(files_dir);
}

struct held_mounts hold_host_side(const struct spec *spec) {
  struct held_mounts held = {.fds = must_allocate(spec->mount_count * sizeof *held.fds)};
  hold_system(spec, &held);
  for (uint32_t i = 0; i < spec->mount_count; i++) {
    const struct sandbox_mount *mount = &spec->mounts[i];
    held.fds[i] = mount->kind == MOUNT_TREE     ? hold_tree(mount)
                  : mount->kind == MOUNT_SOCKET ? hold_host_path(mount)
                                                : -1;
  }
  hold_files(spec, &held);
  return held;
}

int enter_root(const struct step *step) {
  int place = open_root_place(&step->spec->root);
  put_mount("root", step->root_mount, place, "its place");
  close(place);
  if (fchdir(step->root_mount) != 0) fail("root", "could not enter the root filesystem");
  /* pivot_root(2), NOTES: the same directory twice stacks the old root on the new one, to be detached at once. */
  if (syscall(SYS_pivot_root, ".", ".") != 0) fail("root", "pivot_root");
  if (umount2(".", MNT_DETACH) != 0) fail("root", "could not detach the host's file systems");
  if (chdir("/") != 0) fail("root", "/");
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) fail("root", "/");
  return root;
}

static uint64_t mount_id(int fd) {
  struct statx statx_result;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &statx_result) != 0) fail("mount", "statx");
  return statx_result.stx_mnt_id;
}

static uint64_t root_mount_id;

/* Only what was made in the root filesystem itself can end up in the layer; a cache mount keeps its stubs. */
static void report_stub(int parent_fd, const char *path, const struct timespec *before) {
  if (mount_id(parent_fd) != root_mount_id) return;
  struct stat after = stat_of("mount", parent_fd, path);
  uint8_t payload[32 + PATH_MAX + NAME_MAX + 2];
  put_u64(payload, (uint64_t)before->tv_sec);
  put_u64(payload + 8, (uint64_t)before->tv_nsec);
  put_u64(payload + 16, (uint64_t)after.st_mtim.tv_sec);
  put_u64(payload + 24, (uint64_t)after.st_mtim.tv_nsec);
  size_t length = strlen(path) + 1;
  memcpy(payload + 32, path, length);
  report_frame(FRAME_STUB, payload, 32 + length);
}

void attach(const char *step, int root, int mount_fd, const char *target, bool reports_stub) {
  struct stat source = stat_of(step, mount_fd, target);
  root_mount_id = mount_id(root);
  struct walk_options options = {
      .step = step,
      .create = true,
      .leaf = S_ISDIR(source.st_mode) ? LEAF_DIRECTORY : LEAF_FILE,
      .on_created = reports_stub ? report_stub : NULL,
  };
  int onto = walk_in_root(root, target, &options);
  struct stat place = stat_of(step, onto, target);
  if (S_ISDIR(source.st_mode) != S_ISDIR(place.st_mode))
    fail_with(0, step, S_ISDIR(source.st_mode) ? "a directory on %s, which is a file" : "a file on %s, which is a directory", target);
  put_mount(step, mount_fd, onto, target);
  close(onto);
  close(mount_fd);
}

static int mount_tmpfs(const struct sandbox_mount *mount) {
  char size[32];
  snprintf(size, sizeof size, "%llu", (unsigned long long)mount->size_bytes);
  const char *const sized[] = {"mode", "1777", "size", size, NULL};
  const char *const unsized[] = {"mode", "1777", NULL};
  unsigned attributes = K_MOUNT_ATTR_NOSUID | PLAIN | (mount->is_readonly ? K_MOUNT_ATTR_RDONLY : 0);
  return mount_filesystem("tmpfs", "tmpfs", attributes, mount->size_bytes ? sized : unsized);
}

void mount_requested(int root, const struct spec *spec, const struct held_mounts *held) {
  int *ready = must_allocate(spec->mount_count * sizeof *ready);
  for (uint32_t i = 0; i < spec->mount_count; i++) {
    const struct sandbox_mount *mount = &spec->mounts[i];
    ready[i] = mount->kind == MOUNT_TMPFS ? mount_tmpfs(mount) : held->fds[i];
  }
  for (uint32_t i = 0; i < spec->mount_count; i++) {
    const struct sandbox_mount *mount = &spec->mounts[i];
    attach("mount", root, ready[i], mount->target, true);
  }
}
