#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kernel.h"
#include "owners.h"
#include "path.h"
#include "report.h"
#include "step.h"
#include "trees.h"

static const struct {
  const char *name;
  unsigned major, minor;
} devices[6] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static const char *const no_options[] = {NULL};

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

void hold_system(const struct spec *spec, struct held_mounts *held) {
  held->proc = hold_proc(&held->is_proc_shared);
  hold_sys(spec, held);
  char path[32];
  for (int i = 0; i < 6; i++) {
    snprintf(path, sizeof path, "/dev/%s", devices[i].name);
    held->devices[i] = hold_device(path, devices[i].major, devices[i].minor);
  }
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
    put_mount("dev", held->devices[i], place, devices[i].name);
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
  put_mount("mask", mount_fd, fd, path);
  close(mount_fd);
  close(fd);
}

void hide_paths(int root, const struct spec *spec) {
  const unsigned attributes = K_MOUNT_ATTR_NOSUID | K_MOUNT_ATTR_NOEXEC;
  for (uint32_t i = 0; i < spec->readonly_paths.count; i++) cover(root, spec->readonly_paths.items[i], attributes | PLAIN, false);
  for (uint32_t i = 0; i < spec->masked_paths.count; i++) cover(root, spec->masked_paths.items[i], attributes, true);
}
