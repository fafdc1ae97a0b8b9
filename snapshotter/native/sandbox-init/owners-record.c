#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "owners-call.h"
#include "owners.h"
#include "report.h"

bool records_owners = false;
int owners_proc = -1;

#define TEXT_MAX 80
#define FD_NAME_MAX 32

/* Relative to `owners_proc`: an O_PATH descriptor has no attributes of its own, its name there has. */
static void fd_name(char out[FD_NAME_MAX], int fd) { snprintf(out, FD_NAME_MAX, "self/fd/%d", fd); }

static size_t write_text(char out[TEXT_MAX], const struct record *record) {
  int used = snprintf(out, TEXT_MAX, "%" PRIu32 ":%" PRIu32, record->uid, record->gid);
  if (record->node != 0) used += snprintf(out + used, TEXT_MAX - (size_t)used, ":%c:%" PRIu32 ":%" PRIu32, record->node, record->major, record->minor);
  return (size_t)used;
}

static bool read_text(const char *text, struct record *record) {
  *record = (struct record){0};
  int fields = sscanf(text, "%" SCNu32 ":%" SCNu32 ":%c:%" SCNu32 ":%" SCNu32, &record->uid, &record->gid, &record->node, &record->major, &record->minor);
  return fields == 2 || (fields == 5 && (record->node == 'c' || record->node == 'b'));
}

int give_owner(int fd, uid_t uid, gid_t gid) {
  if (!records_owners) return fchown(fd, uid, gid);
  if (uid == 0 && gid == 0) return 0;
  char text[TEXT_MAX];
  struct record record = {.uid = uid, .gid = gid};
  size_t length = write_text(text, &record);
  /* A tmpfs takes such attributes since Linux 6.6; what lies there ends with the step. */
  return fsetxattr(fd, OWNER_XATTR, text, length, 0) == 0 || errno == ENOTSUP ? 0 : -1;
}

/*
 * Links, pipes and sockets can have no attribute of this kind, so they are kept here and told in the end, by the path that
 * they had when they were given away: one that was renamed after that has lost its owner.
 */
struct noted {
  struct noted *next;
  dev_t dev;
  ino_t ino;
  struct record record;
  char path[];
};
static struct noted *buckets[4096];

static struct noted **bucket_of(const struct stat *stat) { return &buckets[(stat->st_ino * 2654435761u >> 8) % 4096]; }

static bool has_attributes(const struct stat *stat) { return S_ISREG(stat->st_mode) || S_ISDIR(stat->st_mode); }

static struct noted *find_noted(const struct stat *stat) {
  for (struct noted *noted = *bucket_of(stat); noted != NULL; noted = noted->next)
    if (noted->dev == stat->st_dev && noted->ino == stat->st_ino) return noted;
  return NULL;
}

bool find_record(int fd, const struct stat *stat, struct record *record) {
  if (!has_attributes(stat)) {
    const struct noted *noted = find_noted(stat);
    if (noted != NULL) *record = noted->record;
    return noted != NULL;
  }
  char name[FD_NAME_MAX], text[TEXT_MAX];
  fd_name(name, fd);
  ssize_t length = getxattr(name, OWNER_XATTR, text, sizeof text - 1);
  if (length < 0) return false;
  text[length] = '\0';
  return read_text(text, record);
}

void forget_record(const struct stat *stat) {
  for (struct noted **at = bucket_of(stat); *at != NULL; at = &(*at)->next) {
    if ((*at)->dev != stat->st_dev || (*at)->ino != stat->st_ino) continue;
    struct noted *gone = *at;
    *at = gone->next;
    free(gone);
    return;
  }
}

static int note(int fd, const struct stat *stat, const struct record *record) {
  forget_record(stat);
  if (record->uid == 0 && record->gid == 0) return 0;
  char name[FD_NAME_MAX], path[PATH_MAX];
  fd_name(name, fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return errno;
  path[length] = '\0';
  struct noted *noted = must_allocate(sizeof *noted + (size_t)length + 1);
  *noted = (struct noted){.next = *bucket_of(stat), .dev = stat->st_dev, .ino = stat->st_ino, .record = *record};
  memcpy(noted->path, path, (size_t)length + 1);
  *bucket_of(stat) = noted;
  return 0;
}

int put_record(int fd, const struct stat *stat, const struct record *record, bool is_explicit) {
  if (!has_attributes(stat)) return note(fd, stat, record);
  char name[FD_NAME_MAX], text[TEXT_MAX];
  fd_name(name, fd);
  if (record->uid == 0 && record->gid == 0 && record->node == 0 && !is_explicit)
    return removexattr(name, OWNER_XATTR) == 0 || errno == ENODATA || errno == ENOTSUP ? 0 : errno;
  size_t length = write_text(text, record);
  return setxattr(name, OWNER_XATTR, text, length, 0) == 0 || errno == ENOTSUP ? 0 : errno;
}

void send_records(int pipe) {
  report_fd = pipe;
  for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++) {
    for (const struct noted *noted = buckets[i]; noted != NULL; noted = noted->next) {
      struct stat stat;
      /* By name, and only if it is still the same: it never is followed, nor opened. */
      if (lstat(noted->path, &stat) != 0 || stat.st_dev != noted->dev || stat.st_ino != noted->ino) continue;
      uint8_t payload[8 + PATH_MAX];
      put_u32(payload, noted->record.uid);
      put_u32(payload + 4, noted->record.gid);
      size_t length = strlen(noted->path);
      memcpy(payload + 8, noted->path, length);
      report_frame(FRAME_OWNER, payload, 8 + length);
    }
  }
}
