#include "chroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#include "path.h"
#include "report.h"
#include "stubs.h"

struct placed {
  struct placed *next;
  int parent;
  const char *name;
  char *origin; /* where it is moved back to; NULL: it ends with the step */
  bool is_file; /* the origin */
  bool has_aside; /* what was there before lies in the aside directory */
  unsigned number;
  struct timespec before, after; /* mtime of the parent */
};

static struct placed *placed; /* last first */
static int aside = -1;

static struct timespec mtime_of(int fd, const char *what) {
  struct stat stat;
  if (fstat(fd, &stat) != 0) fail("mount", "%s", what);
  return stat.st_mtim;
}

static void note_stub(int parent_fd, const char *path, const struct timespec *before) {
  struct timespec after = mtime_of(parent_fd, path);
  uint8_t payload[32 + PATH_MAX + NAME_MAX + 2];
  put_u64(payload, (uint64_t)before->tv_sec);
  put_u64(payload + 8, (uint64_t)before->tv_nsec);
  put_u64(payload + 16, (uint64_t)after.tv_sec);
  put_u64(payload + 24, (uint64_t)after.tv_nsec);
  size_t length = strlen(path) + 1;
  memcpy(payload + 32, path, length);
  remember_stub(payload, 32 + length);
}

/* Opens the directory that holds `target`, making what is missing, and moves what has that name out of the way. */
static struct placed *make_room(int root_dir, const char *target) {
  static unsigned count;
  struct placed *place = must_allocate(sizeof *place);
  char *path = strdup(target);
  if (path == NULL) fail("memory", "for %s", target);
  char *slash = strrchr(path, '/');
  place->name = target + (slash - path) + 1;
  *slash = '\0';
  /* What is in /dev ends with it. */
  bool is_device = strncmp(target, "/dev/", 5) == 0;
  struct walk_options options = {.step = "mount", .create = true, .leaf = LEAF_DIRECTORY, .on_created = is_device ? NULL : note_stub};
  int found = walk_in_root(root_dir, path, &options);
  place->parent = openat(found, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (place->parent < 0) fail("mount", "could not open %s in the image", path);
  close(found);
  free(path);
  place->number = count++;
  place->before = mtime_of(place->parent, target);
  char name[16];
  snprintf(name, sizeof name, "in-%u", place->number);
  place->has_aside = renameat(place->parent, place->name, aside, name) == 0;
  if (!place->has_aside && errno != ENOENT) fail("mount", "could not move %s aside", target);
  place->next = placed;
  placed = place;
  return place;
}

static void write_file(const struct placed *place, const struct sandbox_mount *mount) {
  int fd = openat(place->parent, place->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) fail("file", "for %s", mount->target);
  if (write_all(fd, mount->content, mount->content_length) != 0) fail("file", "could not write %s", mount->target);
  if (fchown(fd, mount->uid, mount->gid) != 0) fail("file", "owner %u:%u of %s", mount->uid, mount->gid, mount->target);
  if (fchmod(fd, (mode_t)mount->mode) != 0) fail("file", "mode of %s", mount->target);
  close(fd);
}

/* The trees given are this step's own, or locked by it, so nobody else moves anything in them meanwhile. */
static void move_in(struct placed *place, const char *origin, const char *target) {
  place->origin = strdup(origin);
  if (place->origin == NULL) fail("memory", "for %s", target);
  struct stat stat;
  place->is_file = lstat(origin, &stat) == 0 && S_ISREG(stat.st_mode);
  if (renameat(AT_FDCWD, origin, place->parent, place->name) != 0)
    fail("mount", "without mounts %s has to be moved to %s", origin, target);
}

static void place_tree(struct placed *place, const struct sandbox_mount *mount) {
  if (mount->tree.kind != ROOT_BIND) fail_with(EINVAL, "mount", "%s is an overlay, which cannot be mounted here", mount->target);
  int base = open(mount->tree.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (base < 0) fail("mount", "could not open %s for %s", mount->tree.dir, mount->target);
  struct walk_options options = {.step = "mount-source"};
  int source = walk_in_root(base, mount->source, &options);
  if (source < 0) fail_with(ENOENT, "mount-source", "%s for the mount on %s", mount->source, mount->target);
  char name[64], path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", source);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) fail("mount", "%s", mount->target);
  path[length] = '\0';
  close(source);
  close(base);
  move_in(place, path, mount->target);
}

static void place_one(int root_dir, const struct sandbox_mount *mount) {
  struct placed *place = make_room(root_dir, mount->target);
  switch (mount->kind) {
    case MOUNT_TREE: place_tree(place, mount); break;
    case MOUNT_FILE: write_file(place, mount); break;
    case MOUNT_SOCKET: move_in(place, mount->host_path, mount->target); break;
    case MOUNT_TMPFS:
      if (mkdirat(place->parent, place->name, 0700) != 0 || fchmodat(place->parent, place->name, 01777, 0) != 0)
        fail("tmpfs", "%s", mount->target);
      break;
  }
  place->after = mtime_of(place->parent, mount->target);
}

static void make_device(int dev_dir, const char *name, unsigned major, unsigned minor) {
  bool is_made = mknodat(dev_dir, name, S_IFCHR | 0666, makedev(major, minor)) == 0;
  if (!is_made && errno != EPERM) fail("device", "could not make /dev/%s", name);
  /* A rootless container cannot make devices. An empty file does what most want of /dev/null; the others are absent. */
  if (!is_made && minor == 3) is_made = mknodat(dev_dir, name, S_IFREG | 0666, 0) == 0;
  if (is_made && fchmodat(dev_dir, name, 0666, 0) != 0) fail("device", "/dev/%s", name);
}

/* As on the other rungs, the image has these three ever after. */
static void make_system_directory(int root_dir, const char *path) {
  struct walk_options options = {.step = "root", .create = true, .leaf = LEAF_DIRECTORY};
  close(walk_in_root(root_dir, path, &options));
}

/* A /dev of this step alone: what the step makes in it is in no layer and in no later step. */
static void place_devices(int root_dir) {
  struct placed *place = make_room(root_dir, "/dev");
  if (mkdirat(place->parent, place->name, 0755) != 0) fail("dev", "/dev");
  int dev_dir = openat(place->parent, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dev_dir < 0) fail("dev", "/dev");
  make_device(dev_dir, "null", 1, 3);
  make_device(dev_dir, "zero", 1, 5);
  make_device(dev_dir, "full", 1, 7);
  make_device(dev_dir, "random", 1, 8);
  make_device(dev_dir, "urandom", 1, 9);
  make_device(dev_dir, "tty", 5, 0);
  if (mkdirat(dev_dir, "shm", 0700) != 0 || fchmodat(dev_dir, "shm", 01777, 0) != 0) fail("dev", "/dev/shm");
  close(dev_dir);
  place->after = mtime_of(place->parent, "/dev");
}

void place_mounts(int root_dir, const struct spec *spec) {
  /* Beside the root, so on its file system; whatever is left in it goes when the snapshot does. */
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s.aside", spec->root.dir) >= (int)sizeof path) fail_with(ENAMETOOLONG, "root", "%s", spec->root.dir);
  if (mkdir(path, 0700) != 0) fail("root", "%s", path);
  aside = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (aside < 0) fail("root", "%s", path);
  make_system_directory(root_dir, "/proc");
  make_system_directory(root_dir, "/dev");
  make_system_directory(root_dir, "/sys");
  place_devices(root_dir);
  for (uint32_t i = 0; i < spec->mount_count; i++) place_one(root_dir, &spec->mounts[i]);
}

static void take_back(const struct placed *place) {
  struct stat now;
  if (fstat(place->parent, &now) != 0) fail("mount", "%s", place->name);
  char out[16], in[16];
  snprintf(out, sizeof out, "out-%u", place->number);
  snprintf(in, sizeof in, "in-%u", place->number);
  int gone;
  if (place->origin != NULL) gone = renameat(place->parent, place->name, AT_FDCWD, place->origin);
  /* A file may be a secret, which does not wait for the aside to be removed. */
  else if ((gone = unlinkat(place->parent, place->name, 0)) != 0) gone = renameat(place->parent, place->name, aside, out);
  /* A mount cannot be removed, but what only was moved there can: then it is begun anew. */
  if (gone != 0 && errno == ENOENT && place->origin != NULL)
    gone = place->is_file ? mknod(place->origin, S_IFREG | 0644, 0) : mkdir(place->origin, 0755);
  if (gone != 0 && errno != ENOENT) fail("mount", "could not take back %s", place->name);
  if (place->has_aside && renameat(aside, in, place->parent, place->name) != 0) fail("mount", "could not restore %s", place->name);
  bool is_untouched = now.st_mtim.tv_sec == place->after.tv_sec && now.st_mtim.tv_nsec == place->after.tv_nsec;
  struct timespec times[2] = {now.st_atim, is_untouched ? place->before : now.st_mtim};
  if (futimens(place->parent, times) != 0) fail("mount", "could not restore the times around %s", place->name);
  close(place->parent);
}

void take_mounts_back(void) {
  for (const struct placed *place = placed; place != NULL; place = place->next) take_back(place);
  placed = NULL;
}

int enter_directory(int root_dir) {
  if (fchdir(root_dir) != 0 || chroot(".") != 0) fail("root", "chroot (CAP_SYS_CHROOT is needed)");
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) fail("root", "/");
  return root;
}

/* Its children, and theirs as they come to us; a process that forks faster than it is killed is met in the next round. */
void kill_descendants(void) {
  for (;;) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "re");
    int pid;
    while (children != NULL && fscanf(children, "%d", &pid) == 1) kill(pid, SIGKILL);
    if (children != NULL) fclose(children);
    if (waitpid(-1, NULL, 0) < 0 && errno != EINTR) return;
  }
}
