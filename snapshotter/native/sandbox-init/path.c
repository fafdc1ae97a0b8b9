#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "owners.h"
#include "report.h"

#define SYMLINKS_MAX 40
#define DEPTH_MAX 512
/* What is still to walk; symlinks add to it, 40 times PATH_MAX at most, hence bounded. */
#define PENDING_MAX (2 * PATH_MAX)

struct walk {
  const char *path; /* as it was asked for */
  int fds[DEPTH_MAX]; /* fds[0] is the root; each next one a directory (or the leaf) below */
  size_t name_at[DEPTH_MAX]; /* where the name of fds[i] begins in `resolved` */
  int depth;
  char resolved[PATH_MAX];
  size_t resolved_length;
  char pending[PENDING_MAX];
  int symlinks;
};

static void leave_to(struct walk *walk, int depth) {
  while (walk->depth > depth) {
    close(walk->fds[walk->depth]);
    walk->resolved_length = walk->name_at[walk->depth];
    walk->resolved[walk->resolved_length] = '\0';
    walk->depth--;
  }
}

static int prepend(struct walk *walk, const char *front) {
  size_t front_length = strlen(front), back_length = strlen(walk->pending);
  if (front_length + 1 + back_length + 1 > sizeof walk->pending) return ENAMETOOLONG;
  memmove(walk->pending + front_length + 1, walk->pending, back_length + 1);
  memcpy(walk->pending, front, front_length);
  walk->pending[front_length] = '/';
  return 0;
}

/* Takes the next name off `pending`; false at the end. */
static bool next_name(struct walk *walk, char name[NAME_MAX + 1], bool *is_last, const struct walk_options *options) {
  char *start = walk->pending;
  while (*start == '/') start++;
  char *end = strchrnul(start, '/');
  if (end == start) return false;
  if (end - start > NAME_MAX) fail_with(ENAMETOOLONG, options->step, "%s", walk->pending);
  memcpy(name, start, (size_t)(end - start));
  name[end - start] = '\0';
  while (*end == '/') end++;
  *is_last = *end == '\0';
  memmove(walk->pending, end, strlen(end) + 1);
  return true;
}

static int make(int parent, const char *name, bool is_leaf, const struct walk_options *options) {
  int flags = O_NOFOLLOW | O_CLOEXEC;
  if (is_leaf && options->leaf == LEAF_FILE) flags |= O_CREAT | O_EXCL | O_WRONLY;
  else if (mkdirat(parent, name, 0755) == 0) flags |= O_RDONLY | O_DIRECTORY;
  else return -1;
  int made = openat(parent, name, flags, 0644);
  if (made < 0) return -1;
  int result = options->uid == 0 && options->gid == 0 ? 0 : give_owner(made, options->uid, options->gid);
  close(made);
  return result;
}

static int enter(struct walk *walk, const char *name, bool is_last, const struct walk_options *options) {
  int parent = walk->fds[walk->depth];
  int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT && options->create) {
    struct stat before;
    if (fstat(parent, &before) != 0) fail(options->step, "%s/%s", walk->resolved, name);
    if (make(parent, name, is_last, options) != 0) fail(options->step, "could not make %s/%s", walk->resolved, name);
    fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && options->on_created != NULL) {
      char path[PATH_MAX + NAME_MAX + 2];
      strcpy(path, walk->resolved);
      strcat(path, "/");
      strcat(path, name);
      options->on_created(parent, path, &before.st_mtim);
    }
  }
  return fd;
}

static void push(struct walk *walk, int fd, const char *name, const struct walk_options *options) {
  size_t length = strlen(name);
  if (walk->depth + 1 >= DEPTH_MAX || walk->resolved_length + 1 + length + 1 > sizeof walk->resolved)
    fail_with(ENAMETOOLONG, options->step, "%s/%s", walk->resolved, name);
  walk->depth++;
  walk->fds[walk->depth] = fd;
  walk->name_at[walk->depth] = walk->resolved_length;
  walk->resolved[walk->resolved_length++] = '/';
  memcpy(walk->resolved + walk->resolved_length, name, length + 1);
  walk->resolved_length += length;
}

static void follow(struct walk *walk, int link_fd, const struct walk_options *options) {
  char target[PATH_MAX];
  /* readlink gives text even for the magic links of /proc, so those are walked as text inside the root. */
  ssize_t length = readlinkat(link_fd, "", target, sizeof target - 1);
  if (length < 0) fail(options->step, "could not read the link below %s", walk->resolved);
  target[length] = '\0';
  close(link_fd);
  if (++walk->symlinks > SYMLINKS_MAX) fail_with(ELOOP, options->step, "%s leads through too many links", walk->path);
  if (target[0] == '/') leave_to(walk, 0);
  int error = prepend(walk, target);
  if (error != 0) fail_with(error, options->step, "%s leads through links that are too long", walk->path);
}

int walk_in_root(int root_fd, const char *path, const struct walk_options *options) {
  struct walk *walk = must_allocate(sizeof *walk);
  if (strlen(path) + 1 > sizeof walk->pending) fail_with(ENAMETOOLONG, options->step, "path of %zu bytes", strlen(path));
  strcpy(walk->pending, path);
  walk->path = path;
  walk->fds[0] = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (walk->fds[0] < 0) fail(options->step, "could not open the root");
  char name[NAME_MAX + 1];
  bool is_last = false;
  int result = -1, error = ENOENT;
  while (next_name(walk, name, &is_last, options)) {
    if (strcmp(name, ".") == 0) continue;
    if (strcmp(name, "..") == 0) {
      if (walk->depth > 0) leave_to(walk, walk->depth - 1);
      continue;
    }
    int fd = enter(walk, name, is_last, options);
    if (fd < 0) {
      error = errno;
      if (options->create || (error != ENOENT && error != ENOTDIR)) fail(options->step, "%s/%s", walk->resolved, name);
      goto out;
    }
    struct stat stat;
    if (fstatat(fd, "", &stat, AT_EMPTY_PATH) != 0) fail(options->step, "%s/%s", walk->resolved, name);
    if (S_ISLNK(stat.st_mode)) {
      follow(walk, fd, options);
      continue;
    }
    if (!is_last && !S_ISDIR(stat.st_mode)) fail_with(ENOTDIR, options->step, "%s/%s", walk->resolved, name);
    push(walk, fd, name, options);
  }
  result = fcntl(walk->fds[walk->depth], F_DUPFD_CLOEXEC, 3);
  if (result < 0) fail(options->step, "%s", path);
out:
  leave_to(walk, 0);
  close(walk->fds[0]);
  free(walk);
  errno = error;
  return result;
}

int open_regular_in_root(int root_fd, const char *path, const char *step) {
  struct walk_options options = {.step = step};
  int found = walk_in_root(root_fd, path, &options);
  if (found < 0) return -1;
  struct stat stat;
  if (fstatat(found, "", &stat, AT_EMPTY_PATH) != 0) fail(step, "%s", path);
  /* Before opening: a FIFO would block, a device may act (CVE-2024-9676). */
  if (!S_ISREG(stat.st_mode)) fail_with(0, step, "%s is not a regular file", path);
  char self[64];
  /* The descriptor is a regular file of ours, so this reopens exactly it. */
  snprintf(self, sizeof self, "/proc/self/fd/%d", found);
  int fd = open(self, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(step, "%s", path);
  close(found);
  return fd;
}
