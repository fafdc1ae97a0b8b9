#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kernel.h"
#include "owners.h"
#include "path.h"
#include "report.h"
#include "step.h"
#include "trees.h"

/*
 * No device node works outside the few that are bound into /dev: the step has CAP_MKNOD (dpkg and tar want it), and
 * without a device cgroup a node it made would be the host's disk. An insecure step may do that, in its root and /dev.
 */
#define PLAIN K_MOUNT_ATTR_NODEV

static const struct {
  const char *name;
  unsigned major, minor;
} devices[6] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static int clone_mount(const char *step, int fd, const char *what) {
  int mount_fd = k_open_tree(fd, "", K_OPEN_TREE_CLONE | K_OPEN_TREE_CLOEXEC | K_AT_EMPTY_PATH);
  if (mount_fd < 0) fail(step, "could not bind %s", what);
  return mount_fd;
}

static void move(const char *step, int mount_fd, int onto, const char *what) {
  if (k_move_mount(mount_fd, "", onto, "", K_MOVE_MOUNT_F_EMPTY_PATH | K_MOVE_MOUNT_T_EMPTY_PATH) != 0)
    fail(step, "could not mount on %s", what);
}

static struct stat stat_of(const char *step, int fd, const char *what) {
  struct stat stat;
  if (fstatat(fd, "", &stat, AT_EMPTY_PATH) != 0) fail(step, "%s", what);
  return stat;
}

static int hold_device(const char *path, unsigned major, unsigned minor) {
  int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) fail("device", "%s is missing here", path);
  struct stat stat = stat_of("device", fd, path);
  /* Checked on the descriptor that is mounted: somebody may have put another file there (CVE-2025-31133). */
  if (!S_ISCHR(stat.st_mode) || stat.st_rdev != makedev(major, minor))
    fail_with(0, "device", "%s is not the device of that name", path);
  int mount_fd = clone_mount("device", fd, path);
  /* Read-only: writing to the device works, changing the mode of the host's node does not. */
  set_mount_attributes("device", mount_fd, K_MOUNT_ATTR_NOSUID | K_MOUNT_ATTR_NOEXEC | K_MOUNT_ATTR_RDONLY, 0);
  close(fd);
  return mount_fd;
}

/* A path inside a tree, resolved by descriptor below it at this moment (CVE-2024-23651, CVE-2024-1753). */
static int hold_tree(const struct sandbox_mount *mount) {
  int base;
  if (mount->tree.kind == ROOT_OVERLAY) {
    /* Only an attached mount can be cloned from at a path below its root; the upper directory is as good a place as any. */
    int overlay = mount_tree("mount", &mount->tree, PLAIN);
    int place = open(mount->tree.upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0) fail("mount", "%s", mount->tree.upper);
    move("mount", overlay, place, mount->target);
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

static const char *const no_options[] = {NULL};

/*
 * Where a container's runtime covers files of /proc, the kernel lets no user namespace mount one that shows them. The
 * container's own is bound then, covers and all: the step sees the processes around it and gets no power over them.
 */
static int hold_proc(bool *is_shared) {
  const unsigned attributes = K_MOUNT_ATTR_NOSUID | K_MOUNT_ATTR_NOEXEC | PLAIN;
  int proc = try_mount_filesystem("proc", attributes, no_options);
  if (proc >= 0) return proc;
  if (errno != EPERM) fail("proc", "could not mount proc");
  proc = k_open_tree(AT_FDCWD, "/proc", K_OPEN_TREE_CLONE | K_OPEN_TREE_CLOEXEC | K_AT_RECURSIVE);
  if (proc < 0) fail("proc", "could not bind /proc");
  set_mount_attributes("proc", proc, attributes, K_AT_RECURSIVE);
  *is_shared = true;
  return proc;
}

/*
 * A cgroup namespace begins at the group of its maker. At the top of the machine it shows the groups of everything that
 * runs on it and, the root having no limits, nothing about the step; only the root has no cgroup.type.
 */
static bool shows_machine(int cgroup) { return faccessat(cgroup, "cgroup.type", F_OK, 0) != 0; }

/*
 * sysfs shows a network namespace, so a user namespace may mount it only beside one of its own. Else the host's is
 * bound, which shows the same; its control groups are covered, as they are not the step's.
 */
static void hold_sys(const struct spec *spec, struct held_mounts *held) {
  const unsigned attributes = K_MOUNT_ATTR_NOSUID | K_MOUNT_ATTR_NOEXEC | PLAIN | (spec->is_confined ? K_MOUNT_ATTR_RDONLY : 0);
  held->cgroup = try_mount_filesystem("cgroup2", attributes, no_options);
  if (held->cgroup < 0 && errno != EPERM && errno != EBUSY && errno != ENODEV) fail("sys", "could not mount cgroup2");
  if (held->cgroup >= 0 && spec->is_confined && shows_machine(held->cgroup)) {
    close(held->cgroup);
    held->cgroup = mount_filesystem("sys", "tmpfs", attributes, no_options);
  }
  held->sys = try_mount_filesystem("sysfs", attributes, no_options);
  if (held->sys >= 0) return;
  if (errno != EPERM) fail("sys", "could not mount sysfs");
  held->sys = k_open_tree(AT_FDCWD, "/sys", K_OPEN_TREE_CLONE | K_OPEN_TREE_CLOEXEC | K_AT_RECURSIVE);
  if (held->sys < 0) fail("sys", "could not bind /sys");
  set_mount_attributes("sys", held->sys, attributes | K_MOUNT_ATTR_RDONLY, K_AT_RECURSIVE);
  if (held->cgroup < 0) held->cgroup = mount_filesystem("sys", "tmpfs", attributes | K_MOUNT_ATTR_RDONLY, no_options);
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
      move("file", files, place, "the place of the root");
      close(place);
      close(files);
    }
    held->fds[i] = hold_file(files_dir, i, &spec->mounts[i]);
  }
  if (files_dir >= 0) close(files_dir);
}

struct held_mounts hold_host_side(const struct spec *spec) {
  struct held_mounts held = {.fds = must_allocate(spec->mount_count * sizeof *held.fds)};
  held.proc = hold_proc(&held.is_proc_shared);
  hold_sys(spec, &held);
  char path[32];
  for (int i = 0; i < 6; i++) {
    snprintf(path, sizeof path, "/dev/%s", devices[i].name);
    held.devices[i] = hold_device(path, devices[i].major, devices[i].minor);
  }
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
  move("root", step->root_mount, place, "its place");
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
  move(step, mount_fd, onto, target);
  close(onto);
  close(mount_fd);
}

/* What BuildKit gives besides, for --security=insecure (features row D77); a user namespace may make none. */
static void make_insecure_devices(int dev_dir) {
  static const struct {
    const char *name;
    unsigned major, minor;
  } nodes[] = {{"kmsg", 1, 11}, {"cuse", 10, 203}, {"fuse", 10, 229}, {"kvm", 10, 232}, {"net/tun", 10, 200}, {"loop-control", 10, 237}};
  if (mkdirat(dev_dir, "net", 0755) != 0) fail("dev", "/dev/net");
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
    if (mknodat(dev_dir, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) != 0 && errno != EPERM)
      fail("dev", "/dev/%s", nodes[i].name);
  char name[16];
  for (unsigned i = 0; i < 8; i++) {
    snprintf(name, sizeof name, "loop%u", i);
    if (mknodat(dev_dir, name, S_IFBLK | 0666, makedev(7, i)) != 0 && errno != EPERM) fail("dev", "/dev/%s", name);
  }
}

static void mount_devices(int root, const struct spec *spec, const struct held_mounts *held) {
  static const char *const dev_options[] = {"mode", "755", "size", "65536k", NULL};
  int dev = mount_filesystem("dev", "tmpfs", K_MOUNT_ATTR_NOSUID | (spec->is_confined ? PLAIN : 0), dev_options);
  int dev_dir = openat(dev, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dev_dir < 0) fail("dev", "/dev");
  attach("dev", root, dev, "/dev", false);
  for (int i = 0; i < 6; i++) {
    int place = openat(dev_dir, devices[i].name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (place < 0) fail("dev", "/dev/%s", devices[i].name);
    move("dev", held->devices[i], place, devices[i].name);
    close(place);
    close(held->devices[i]);
  }
  static const char *const links[][2] = {{"pts/ptmx", "ptmx"},
                                         {"/proc/self/fd", "fd"},
                                         {"/proc/self/fd/0", "stdin"},
                                         {"/proc/self/fd/1", "stdout"},
                                         {"/proc/self/fd/2", "stderr"}};
  for (int i = 0; i < 5; i++)
    if (symlinkat(links[i][0], dev_dir, links[i][1]) != 0) fail("dev", "/dev/%s", links[i][1]);
  if (!spec->is_confined) make_insecure_devices(dev_dir);
  close(dev_dir);

  const unsigned quiet = K_MOUNT_ATTR_NOSUID | K_MOUNT_ATTR_NOEXEC;
  static const char *const pts_options[] = {"newinstance", "", "mode", "620", "ptmxmode", "666", "gid", "5", NULL};
  static const char *const pts_of_root[] = {"newinstance", "", "mode", "620", "ptmxmode", "666", NULL};
  attach("dev", root, mount_filesystem("dev", "devpts", quiet, records_owners ? pts_of_root : pts_options), "/dev/pts", false);
  char size[32];
  snprintf(size, sizeof size, "%llu", (unsigned long long)spec->shm_size_bytes);
  const char *const shm_options[] = {"source", "shm", "mode", "1777", "size", size, NULL};
  attach("dev", root, mount_filesystem("dev", "tmpfs", quiet | PLAIN, shm_options), "/dev/shm", false);
  attach("dev", root, mount_filesystem("dev", "mqueue", quiet | PLAIN, no_options), "/dev/mqueue", false);
}

static void mount_sys(int root, const struct held_mounts *held) {
  attach("sys", root, held->sys, "/sys", false);
  if (held->cgroup >= 0) attach("sys", root, held->cgroup, "/sys/fs/cgroup", false);
}

void mount_system(int root, const struct spec *spec, const struct held_mounts *held) {
  attach("proc", root, held->proc, "/proc", false);
  mount_devices(root, spec, held);
  mount_sys(root, held);
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

static void cover(int root, const char *path, unsigned attributes, bool is_hidden) {
  struct walk_options options = {.step = "mask"};
  int fd = walk_in_root(root, path, &options);
  if (fd < 0) return; /* this kernel does not have it */
  struct stat stat = stat_of("mask", fd, path);
  int mount_fd;
  if (is_hidden && S_ISDIR(stat.st_mode)) {
    static const char *const empty[] = {"size", "4k", "nr_inodes", "1", NULL};
    mount_fd = mount_filesystem("mask", "tmpfs", attributes | K_MOUNT_ATTR_RDONLY, empty);
  } else {
    int source = is_hidden ? open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC) : dup(fd);
    if (source < 0) fail("mask", "/dev/null");
    mount_fd = clone_mount("mask", source, path);
    close(source);
    set_mount_attributes("mask", mount_fd, attributes | (is_hidden ? 0 : K_MOUNT_ATTR_RDONLY), 0);
  }
  move("mask", mount_fd, fd, path);
  close(mount_fd);
  close(fd);
}

void hide_paths(int root, const struct spec *spec) {
  const unsigned attributes = K_MOUNT_ATTR_NOSUID | K_MOUNT_ATTR_NOEXEC;
  for (uint32_t i = 0; i < spec->readonly_paths.count; i++) cover(root, spec->readonly_paths.items[i], attributes | PLAIN, false);
  for (uint32_t i = 0; i < spec->masked_paths.count; i++) cover(root, spec->masked_paths.items[i], attributes, true);
}
