#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kernel.h"
#include "owners-call.h"
#include "owners-calls.h"

/*
 * What cannot be opened here is left to the kernel: it gives the caller the right error, and it alone can open what
 * exists only for the caller (/proc/self, /dev/stdin).
 */

/* A pair of a directory and a path among the arguments; the old calls have no directory. */
struct target {
  int dirfd;
  uint64_t path;
};
static struct target plain(const struct call *call, int at) { return (struct target){AT_FDCWD, call->args[at]}; }
static struct target relative(const struct call *call, int at) { return (struct target){(int)call->args[at], call->args[at + 1]}; }

/* `flags`: AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH of the call. */
static int open_target(const struct call *call, struct target target, uint64_t flags) {
  struct place place;
  int error = open_place(call, target.dirfd, target.path, &place);
  if (error != 0) return -1;
  bool is_named = place.path[0] != '\0' || (flags & AT_EMPTY_PATH);
  int fd = is_named ? open_at(&place, !(flags & AT_SYMLINK_NOFOLLOW)) : -1;
  close_place(&place);
  return fd;
}

static int open_descriptor(const struct call *call, int number) {
  char name[64];
  snprintf(name, sizeof name, "%d/fd/%d", (int)call->pid, number);
  int fd = openat(owners_proc, name, O_PATH | O_CLOEXEC);
  if (fd >= 0 && !is_still_waiting(call)) {
    close(fd);
    fd = -1;
  }
  return fd;
}

static bool stat_of(int fd, struct stat *stat) { return fstatat(fd, "", stat, AT_EMPTY_PATH) == 0; }

/* --- stat --- */

static struct answer give_stat(const struct call *call, int fd, uint64_t out) {
  struct stat stat;
  struct record record;
  if (fd < 0) return answer_continue();
  bool is_recorded = stat_of(fd, &stat) && find_record(fd, &stat, &record);
  close(fd);
  if (!is_recorded) return answer_continue();
  stat.st_uid = record.uid;
  stat.st_gid = record.gid;
  if (record.node != 0) {
    stat.st_mode = (stat.st_mode & 07777) | (record.node == 'c' ? S_IFCHR : S_IFBLK);
    stat.st_rdev = makedev(record.major, record.minor);
  }
  return answer_value(-write_memory(call, out, &stat, sizeof stat));
}

static struct answer give_statx(const struct call *call) {
  const uint64_t *args = call->args;
  int flags = (int)args[2];
  int fd = args[1] == 0 ? open_descriptor(call, (int)args[0]) : open_target(call, relative(call, 0), (uint64_t)flags);
  if (fd < 0) return answer_continue();
  struct stat stat;
  struct statx extended;
  struct record record;
  bool is_recorded = stat_of(fd, &stat) && find_record(fd, &stat, &record) &&
                     statx(fd, "", AT_EMPTY_PATH | (flags & AT_STATX_SYNC_TYPE), (unsigned)args[3], &extended) == 0;
  close(fd);
  if (!is_recorded) return answer_continue();
  extended.stx_uid = record.uid;
  extended.stx_gid = record.gid;
  if (record.node != 0) {
    extended.stx_mode = (uint16_t)((extended.stx_mode & 07777) | (record.node == 'c' ? S_IFCHR : S_IFBLK));
    extended.stx_rdev_major = record.major;
    extended.stx_rdev_minor = record.minor;
  }
  return answer_value(-write_memory(call, args[4], &extended, sizeof extended));
}

/* Whether the directory around it gives its own group to what is made there. */
static bool is_group_inherited(int fd, uint32_t *group) {
  char name[64], path[PATH_MAX];
  snprintf(name, sizeof name, "self/fd/%d", fd);
  ssize_t length = readlinkat(owners_proc, name, path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = '\0';
  int parent = open(dirname(path), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (parent < 0) return false;
  struct stat stat;
  struct record above = {0};
  bool is_inherited = stat_of(parent, &stat) && (stat.st_mode & S_ISGID);
  if (is_inherited) find_record(parent, &stat, &above);
  close(parent);
  *group = above.gid;
  return is_inherited;
}

/* --- chown --- */

#define UNCHANGED 0xffffffffu

/* chown(2): only root gives files away; an owner may give one to a group that he is in. */
static bool may_give(const struct ids *ids, const struct record *old, uint32_t uid, uint32_t gid) {
  if (ids->uid.fs == 0 || is_privileged(ids)) return true;
  if (old->uid != ids->uid.fs) return uid == UNCHANGED && gid == UNCHANGED;
  return (uid == UNCHANGED || uid == old->uid) && (gid == UNCHANGED || gid == old->gid || is_member(ids, gid));
}

static struct answer give(const struct call *call, int fd, uint32_t uid, uint32_t gid) {
  if (fd < 0) return answer_continue();
  struct stat stat;
  struct record record = {0};
  int error = stat_of(fd, &stat) ? 0 : errno;
  if (error == 0) {
    find_record(fd, &stat, &record);
    if (!may_give(ids_of(call), &record, uid, gid)) error = EPERM;
  }
  /* The real one, to the only owner there is: copies the file up, clears set-id bits and capabilities, sets its ctime. */
  if (error == 0 && fchownat(fd, "", 0, 0, AT_EMPTY_PATH) != 0) error = errno;
  if (error == 0) {
    if (uid != UNCHANGED) record.uid = uid;
    if (gid != UNCHANGED) record.gid = gid;
    uint32_t group;
    bool is_root = record.uid == 0 && record.gid == 0;
    error = put_record(fd, &stat, &record, is_root && is_group_inherited(fd, &group));
  }
  close(fd);
  return answer_value(-error);
}

/* --- making things --- */

/* A new file has its maker's ids, in a directory with the set-group-id bit that directory's group (inode(7)). */
static struct record record_for(const struct ids *ids, int fd) {
  struct record record = {.uid = ids->uid.fs, .gid = ids->gid.fs};
  uint32_t group;
  if (is_group_inherited(fd, &group)) record.gid = group;
  return record;
}

static int record_new(const struct call *call, int fd, const struct record *node) {
  struct stat stat;
  if (!stat_of(fd, &stat)) return errno;
  struct record record = record_for(ids_of(call), fd);
  if (node != NULL) {
    record.node = node->node;
    record.major = node->major;
    record.minor = node->minor;
  }
  if (record.uid == 0 && record.gid == 0 && record.node == 0) {
    forget_record(&stat);
    return 0;
  }
  return put_record(fd, &stat, &record, false);
}

static bool is_root(const struct call *call) {
  const struct ids *ids = ids_of(call);
  return ids->uid.fs == 0 && ids->gid.fs == 0;
}

static struct answer create(const struct call *call, struct target target, uint64_t flags, mode_t mode) {
  if (is_root(call)) return answer_continue();
  struct place place;
  if (open_place(call, target.dirfd, target.path, &place) != 0) return answer_continue();
  const bool is_nameless = (flags & O_TMPFILE) == O_TMPFILE;
  mode_t old = umask(umask_of(call));
  int fd = openat(place.base, place.path, (int)flags | (is_nameless ? 0 : O_EXCL) | O_CLOEXEC, mode);
  umask(old);
  /* EEXIST is the rule here: the file is there, and whether that is right is for the kernel to say. */
  bool is_made = fd >= 0;
  if (is_made) record_new(call, fd, NULL);
  close_place(&place);
  if (!is_made) return answer_continue();
  return (struct answer){.kind = ANSWER_DESCRIPTOR, .fd = fd, .is_cloexec = (flags & O_CLOEXEC) != 0};
}

static struct answer create_by_openat2(const struct call *call) {
  struct k_open_how how;
  /* What it resolves otherwise than openat is the kernel's to do; such a caller's file is root's. */
  if (call->args[3] < sizeof how || read_memory(call, call->args[2], &how, sizeof how) != 0 || how.resolve != 0 ||
      !((how.flags & O_CREAT) || (how.flags & O_TMPFILE) == O_TMPFILE))
    return answer_continue();
  return create(call, relative(call, 0), how.flags, (mode_t)how.mode);
}

static struct answer made(const struct call *call, struct place *place, int error, const struct record *node) {
  if (error == 0) {
    int fd = open_at(place, false);
    error = fd < 0 ? errno : record_new(call, fd, node);
    if (fd >= 0) close(fd);
  }
  close_place(place);
  return answer_value(-error);
}

static struct answer make_directory(const struct call *call, struct target target, mode_t mode) {
  struct place place;
  if (is_root(call) || open_place(call, target.dirfd, target.path, &place) != 0) return answer_continue();
  mode_t old = umask(umask_of(call));
  int error = mkdirat(place.base, place.path, mode) == 0 ? 0 : errno;
  umask(old);
  return made(call, &place, error, NULL);
}

static struct answer make_link(const struct call *call, uint64_t content, struct target target) {
  struct place place;
  char text[PATH_MAX];
  /* Root's too: an inode number that is used again must not bring an old owner with it. */
  if (read_path(call, content, text) != 0 || open_place(call, target.dirfd, target.path, &place) != 0) return answer_continue();
  return made(call, &place, symlinkat(text, place.base, place.path) == 0 ? 0 : errno, NULL);
}

static struct answer make_node(const struct call *call, struct target target, mode_t mode, dev_t device) {
  const bool is_device = S_ISCHR(mode) || S_ISBLK(mode);
  /* 0/0 is overlayfs's mark of a removed file, which anybody may make: it is no device. */
  if (is_device && device == 0) return answer_continue();
  if (!is_device && is_root(call) && !S_ISFIFO(mode) && !S_ISSOCK(mode)) return answer_continue();
  if (is_device && !is_privileged(ids_of(call))) return answer_value(-EPERM);
  struct place place;
  if (open_place(call, target.dirfd, target.path, &place) != 0) return answer_continue();
  mode_t old = umask(umask_of(call));
  mode_t real = is_device ? S_IFREG | (mode & 07777) : mode;
  int error = mknodat(place.base, place.path, real, 0) == 0 ? 0 : errno;
  umask(old);
  struct record node = {.node = S_ISCHR(mode) ? 'c' : 'b', .major = major(device), .minor = minor(device)};
  return made(call, &place, error, is_device ? &node : NULL);
}

/* --- exec --- */

static struct answer before_exec(const struct call *call, struct target target, uint64_t flags) {
  int fd = open_target(call, target, flags);
  struct stat stat = {0};
  struct record record = {0};
  if (fd >= 0 && stat_of(fd, &stat) && S_ISREG(stat.st_mode)) find_record(fd, &stat, &record);
  /* Wrong when the exec fails after all; who may then do what is not enforced here anyway. */
  if (fd >= 0 && S_ISREG(stat.st_mode)) ids_after_exec(call, stat.st_mode, record.uid, record.gid);
  if (fd >= 0) close(fd);
  return answer_continue();
}

bool answer_files(const struct call *call, struct answer *answer) {
  const uint64_t *args = call->args;
  switch (call->number) {
    case SYS_fstat: *answer = give_stat(call, open_descriptor(call, (int)args[0]), args[1]); return true;
    case SYS_newfstatat:
      *answer = give_stat(call, open_target(call, relative(call, 0), args[3]), args[2]);
      return true;
    case SYS_statx: *answer = give_statx(call); return true;
    case SYS_fchown: *answer = give(call, open_descriptor(call, (int)args[0]), (uint32_t)args[1], (uint32_t)args[2]); return true;
    case SYS_fchownat:
      *answer = give(call, open_target(call, relative(call, 0), args[4]), (uint32_t)args[2], (uint32_t)args[3]);
      return true;
    case SYS_mkdirat: *answer = make_directory(call, relative(call, 0), (mode_t)args[2]); return true;
    case SYS_symlinkat: *answer = make_link(call, args[0], relative(call, 1)); return true;
    case SYS_mknodat: *answer = make_node(call, relative(call, 0), (mode_t)args[2], (dev_t)(uint32_t)args[3]); return true;
    case SYS_openat: *answer = create(call, relative(call, 0), args[2], (mode_t)args[3]); return true;
    case SYS_openat2: *answer = create_by_openat2(call); return true;
    case SYS_execve: *answer = before_exec(call, plain(call, 0), 0); return true;
    case SYS_execveat: *answer = before_exec(call, relative(call, 0), args[4]); return true;
#ifdef SYS_chown
    case SYS_stat: *answer = give_stat(call, open_target(call, plain(call, 0), 0), args[1]); return true;
    case SYS_lstat: *answer = give_stat(call, open_target(call, plain(call, 0), AT_SYMLINK_NOFOLLOW), args[1]); return true;
    case SYS_chown: *answer = give(call, open_target(call, plain(call, 0), 0), (uint32_t)args[1], (uint32_t)args[2]); return true;
    case SYS_lchown: *answer = give(call, open_target(call, plain(call, 0), AT_SYMLINK_NOFOLLOW), (uint32_t)args[1], (uint32_t)args[2]); return true;
    case SYS_mkdir: *answer = make_directory(call, plain(call, 0), (mode_t)args[1]); return true;
    case SYS_symlink: *answer = make_link(call, args[0], plain(call, 1)); return true;
    case SYS_mknod: *answer = make_node(call, plain(call, 0), (mode_t)args[1], (dev_t)(uint32_t)args[2]); return true;
    case SYS_creat: *answer = create(call, plain(call, 0), O_CREAT | O_WRONLY | O_TRUNC, (mode_t)args[1]); return true;
    case SYS_open: *answer = create(call, plain(call, 0), args[1], (mode_t)args[2]); return true;
#endif
    default: return false;
  }
}
