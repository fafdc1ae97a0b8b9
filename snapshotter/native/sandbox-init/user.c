#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"
#include "report.h"
#include "step.h"

/*
 * The image's own passwd and group, parsed here: getpwnam would load libraries of the image (CVE-2019-14271). Features
 * row D90 and GHSA-72x6-4j93-7w86 set the limit.
 */
#define ACCOUNTS_BYTES_MAX (10u << 20)
#define FIELDS_MAX 7

/* The whole file, NUL-terminated; "" when it is missing. */
static char *read_accounts(int root, const char *path) {
  int fd = open_regular_in_root(root, path, "user");
  if (fd < 0) return must_allocate(1);
  size_t capacity = 16384, used = 0;
  char *text = must_allocate(capacity);
  for (;;) {
    ssize_t got = read(fd, text + used, capacity - used - 1);
    if (got < 0) fail("user", "could not read %s", path);
    if (got == 0) break;
    used += (size_t)got;
    if (used > ACCOUNTS_BYTES_MAX) fail_with(EFBIG, "user", "%s is larger than 10 MiB", path);
    if (used + 1 < capacity) continue;
    capacity *= 2;
    text = realloc(text, capacity);
    if (text == NULL) fail("memory", "for %s", path);
  }
  text[used] = '\0';
  close(fd);
  return text;
}

/* Splits the next line of `cursor` at colons, in place; false at the end. Fields that are absent are "". */
static bool next_account(char **cursor, const char *fields[FIELDS_MAX]) {
  static const char empty[] = "";
  char *line = *cursor;
  if (*line == '\0') return false;
  char *end = strchrnul(line, '\n');
  *cursor = *end == '\0' ? end : end + 1;
  *end = '\0';
  for (int i = 0; i < FIELDS_MAX; i++) {
    fields[i] = line == NULL ? empty : line;
    if (line == NULL) continue;
    line = strchr(line, ':');
    if (line != NULL) *line++ = '\0';
  }
  return true;
}

/* A decimal id of 0..2^31-1; false for anything else. */
static bool parse_id(const char *text, uint32_t *id) {
  if (*text == '\0') return false;
  uint64_t value = 0;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return false;
    value = value * 10 + (uint64_t)(*text - '0');
    if (value > INT_MAX) return false;
  }
  *id = (uint32_t)value;
  return true;
}

static bool lists_member(const char *members, const char *name) {
  size_t length = strlen(name);
  while (*members != '\0') {
    const char *end = strchrnul(members, ',');
    if ((size_t)(end - members) == length && memcmp(members, name, length) == 0) return true;
    members = *end == '\0' ? end : end + 1;
  }
  return false;
}

struct account {
  bool is_found;
  const char *name;
  uint32_t gid;
};

static struct account find_account(char *passwd, const char *wanted, struct user *user) {
  struct account account = {.name = ""};
  uint32_t wanted_id = 0;
  bool is_numeric = parse_id(wanted, &wanted_id);
  const char *fields[FIELDS_MAX];
  for (char *cursor = passwd; next_account(&cursor, fields);) {
    uint32_t uid, gid;
    if (!parse_id(fields[2], &uid) || !parse_id(fields[3], &gid)) continue;
    /* A number is an id, also where an account has it for a name. */
    if (is_numeric ? uid != wanted_id : strcmp(fields[0], wanted) != 0) continue;
    user->uid = uid;
    user->home = fields[5];
    return (struct account){.is_found = true, .name = fields[0], .gid = gid};
  }
  if (!is_numeric) fail_with(0, "user", "unable to find user %s: no matching entries in passwd file", wanted);
  user->uid = wanted_id;
  return account;
}

static uint32_t find_group(char *groups, const char *wanted) {
  uint32_t wanted_id = 0;
  bool is_numeric = parse_id(wanted, &wanted_id);
  const char *fields[FIELDS_MAX];
  for (char *cursor = groups; next_account(&cursor, fields);) {
    uint32_t gid;
    if (!parse_id(fields[2], &gid)) continue;
    if (is_numeric ? gid == wanted_id : strcmp(fields[0], wanted) == 0) return gid;
  }
  if (!is_numeric) fail_with(0, "user", "unable to find group %s: no matching entries in group file", wanted);
  return wanted_id;
}

static void add_group(struct user *user, gid_t gid) {
  for (size_t i = 0; i < user->group_count; i++)
    if (user->groups[i] == gid) return;
  if (user->group_count >= 65536) fail_with(E2BIG, "user", "more than 65536 supplementary groups");
  if ((user->group_count & (user->group_count - 1)) == 0) {
    size_t capacity = user->group_count == 0 ? 1 : 2 * user->group_count;
    user->groups = realloc(user->groups, capacity * sizeof *user->groups);
    if (user->groups == NULL) fail("memory", "for supplementary groups");
  }
  user->groups[user->group_count++] = gid;
}

static void add_memberships(struct user *user, char *groups, const char *name) {
  const char *fields[FIELDS_MAX];
  for (char *cursor = groups; next_account(&cursor, fields);) {
    uint32_t gid;
    if (parse_id(fields[2], &gid) && lists_member(fields[3], name)) add_group(user, gid);
  }
}

struct user find_user(int root, const char *text) {
  struct user user = {0};
  char *name = strdup(text);
  if (name == NULL) fail("memory", "for the user");
  char *group = strchr(name, ':');
  if (group != NULL) *group++ = '\0';
  const char *wanted = *name == '\0' ? "0" : name; /* `USER :group` */

  char *passwd = read_accounts(root, "/etc/passwd");
  uint32_t uid, gid;
  if (group != NULL && parse_id(wanted, &uid) && parse_id(group, &gid)) {
    /* Both numeric: taken as they are. HOME is still the account's, if there is one (X20). */
    find_account(passwd, wanted, &user);
    user.uid = uid;
    user.gid = gid;
    add_group(&user, gid);
    return user;
  }
  struct account account = find_account(passwd, wanted, &user);
  user.gid = account.gid;
  char *groups = read_accounts(root, "/etc/group");
  if (group != NULL && *group != '\0') user.gid = find_group(groups, group);
  add_group(&user, user.gid);
  if ((group == NULL || *group == '\0') && account.is_found) add_memberships(&user, groups, account.name);
  return user;
}
