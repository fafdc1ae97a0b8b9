#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "owners-call.h"
#include "report.h"

static int own_root = -1;

static int open_of_process(const struct call *call, const char *what) {
  char name[64];
  snprintf(name, sizeof name, "%d/%s", (int)call->pid, what);
  return openat(owners_proc, name, O_PATH | O_CLOEXEC);
}

/* This process stands in the root of the step; a caller that has changed its own is followed there for one call. */
static int follow_root(const struct call *call, struct place *place) {
  char name[64], text[2];
  snprintf(name, sizeof name, "%d/root", (int)call->pid);
  ssize_t length = readlinkat(owners_proc, name, text, sizeof text);
  if (length < 0) return errno;
  if (length == 1 && text[0] == '/') return 0;
  int root = openat(owners_proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return errno;
  if (own_root < 0) own_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int error = own_root < 0 || !is_still_waiting(call) || fchdir(root) != 0 || chroot(".") != 0 ? EIO : 0;
  close(root);
  place->has_other_root = error == 0;
  if (fchdir(owners_proc) != 0) fail("owners", "could not go back to /proc");
  return error;
}

int open_place(const struct call *call, int dirfd, uint64_t path, struct place *place) {
  place->base = AT_FDCWD;
  place->has_other_root = false;
  int error = read_path(call, path, place->path);
  if (error != 0) return error;
  if (place->path[0] != '/') {
    char name[32];
    snprintf(name, sizeof name, "fd/%d", dirfd);
    place->base = open_of_process(call, dirfd == AT_FDCWD ? "cwd" : name);
    if (place->base < 0) return errno;
  }
  error = follow_root(call, place);
  /* The number may be another process's by now, of another step even; what was opened is used only if it is not. */
  if (error == 0 && !is_still_waiting(call)) error = ESRCH;
  if (error != 0) close_place(place);
  return error;
}

void close_place(struct place *place) {
  if (place->base >= 0) close(place->base);
  if (place->has_other_root && (fchdir(own_root) != 0 || chroot(".") != 0 || fchdir(owners_proc) != 0))
    fail("owners", "could not come back from another root");
}

int open_at(const struct place *place, bool follows) {
  if (place->path[0] == '\0') return fcntl(place->base, F_DUPFD_CLOEXEC, 3);
  return openat(place->base, place->path, O_PATH | O_CLOEXEC | (follows ? 0 : O_NOFOLLOW));
}

mode_t umask_of(const struct call *call) {
  char name[64], text[512];
  snprintf(name, sizeof name, "%d/status", (int)call->pid);
  int fd = openat(owners_proc, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 022;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length > 0 ? length : 0] = '\0';
  /* After the name, which may hold anything but newlines. */
  const char *found = strstr(text, "\nUmask:\t");
  return found == NULL ? 022 : (mode_t)strtoul(found + 8, NULL, 8) & 0777;
}
