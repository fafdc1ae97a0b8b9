#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "owners-call.h"
#include "report.h"

/*
 * Which ids a process pretends to have is kept in the process itself, as the soft limit of RLIMIT_LOCKS: the number of a
 * set in the table below. A limit can be set from outside, a child inherits it in the fork itself (so there is no moment
 * in which a new process has none), it outlives exec, and this one means nothing to any kernel since 2.4 (getrlimit(2)).
 */
static struct ids *table;
static uint32_t count;

static bool is_equal(const struct ids *a, const struct ids *b) {
  return memcmp(&a->uid, &b->uid, sizeof a->uid) == 0 && memcmp(&a->gid, &b->gid, sizeof a->gid) == 0 &&
         a->has_capabilities == b->has_capabilities && a->keeps_capabilities == b->keeps_capabilities &&
         a->group_count == b->group_count && memcmp(a->groups, b->groups, a->group_count * sizeof *a->groups) == 0;
}

static uint32_t number_of(const struct ids *ids) {
  for (uint32_t i = 0; i < count; i++)
    if (is_equal(&table[i], ids)) return i;
  if ((count & (count - 1)) == 0) {
    table = realloc(table, (count == 0 ? 1 : 2 * count) * sizeof *table);
    if (table == NULL) fail("memory", "for ids");
  }
  uint32_t *groups = must_allocate(ids->group_count * sizeof *groups);
  memcpy(groups, ids->groups, ids->group_count * sizeof *groups);
  table[count] = *ids;
  table[count].groups = groups;
  return count++;
}

static int set_ids(pid_t pid, const struct ids *ids) {
  struct rlimit limit;
  if (prlimit(pid, RLIMIT_LOCKS, NULL, &limit) != 0) return errno;
  limit.rlim_cur = number_of(ids);
  return prlimit(pid, RLIMIT_LOCKS, &limit, NULL) == 0 ? 0 : errno;
}

void set_first_ids(pid_t step, const uint8_t *bytes, size_t length) {
  if (length < 12 || length != 12 + 4 * (size_t)get_u32(bytes + 8)) fail_with(EPROTO, "owners", "short report");
  uint32_t uid = get_u32(bytes), gid = get_u32(bytes + 4);
  struct ids ids = {.uid = {uid, uid, uid, uid}, .gid = {gid, gid, gid, gid}, .has_capabilities = uid == 0};
  ids.group_count = get_u32(bytes + 8);
  uint32_t *groups = must_allocate(ids.group_count * sizeof *groups);
  for (uint32_t i = 0; i < ids.group_count; i++) groups[i] = get_u32(bytes + 12 + 4 * i);
  ids.groups = groups;
  int error = set_ids(step, &ids);
  if (error != 0) fail_with(error, "owners", "could not mark the step's process");
  free(groups);
}

const struct ids *ids_of(const struct call *call) {
  struct rlimit limit;
  /* A process that has set the limit itself is taken for the step's user. */
  if (prlimit(call->pid, RLIMIT_LOCKS, NULL, &limit) != 0 || limit.rlim_cur >= count) return &table[0];
  return &table[limit.rlim_cur];
}

bool is_privileged(const struct ids *ids) {
  return ids->has_capabilities && (ids->uid.effective == 0 || ids->keeps_capabilities);
}

static bool has_root(const struct id_set *set) { return set->real == 0 || set->effective == 0 || set->saved == 0; }

bool is_member(const struct ids *ids, uint32_t gid) {
  if (ids->gid.fs == gid) return true;
  for (uint32_t i = 0; i < ids->group_count; i++)
    if (ids->groups[i] == gid) return true;
  return false;
}

void ids_after_exec(const struct call *call, mode_t mode, uint32_t uid, uint32_t gid) {
  const struct ids *old = ids_of(call);
  struct ids ids = *old;
  if (mode & S_ISUID) ids.uid.effective = uid;
  if ((mode & S_ISGID) && (mode & S_IXGRP)) ids.gid.effective = gid;
  ids.uid.saved = ids.uid.fs = ids.uid.effective;
  ids.gid.saved = ids.gid.fs = ids.gid.effective;
  ids.has_capabilities = ids.uid.real == 0 || ids.uid.effective == 0;
  ids.keeps_capabilities = false;
  if (!is_equal(old, &ids)) set_ids(call->pid, &ids);
}

#define UNCHANGED 0xffffffffu

static bool is_one_of(const struct id_set *set, uint32_t id, bool with_saved) {
  return id == set->real || id == set->effective || (with_saved && id == set->saved);
}

/* setuid(2) and setgid(2) */
static bool set_one(struct id_set *set, uint32_t id, bool may) {
  if (may) *set = (struct id_set){id, id, id, id};
  else if (id == set->real || id == set->saved) set->effective = set->fs = id;
  else return false;
  return true;
}

/* setreuid(2) */
static bool set_two(struct id_set *set, uint32_t real, uint32_t effective, bool may) {
  struct id_set old = *set;
  if (!may && real != UNCHANGED && real != old.real && real != old.effective) return false;
  if (!may && effective != UNCHANGED && !is_one_of(&old, effective, true)) return false;
  if (real != UNCHANGED) set->real = real;
  if (effective != UNCHANGED) set->effective = effective;
  if (real != UNCHANGED || (effective != UNCHANGED && effective != old.real)) set->saved = set->effective;
  set->fs = set->effective;
  return true;
}

/* setresuid(2) */
static bool set_three(struct id_set *set, const uint64_t *args, bool may) {
  struct id_set old = *set;
  uint32_t *places[3] = {&set->real, &set->effective, &set->saved};
  for (int i = 0; i < 3; i++) {
    uint32_t id = (uint32_t)args[i];
    if (id == UNCHANGED) continue;
    if (!may && !is_one_of(&old, id, true)) return false;
    *places[i] = id;
  }
  set->fs = set->effective;
  return true;
}

static struct answer change(const struct call *call) {
  struct ids ids = *ids_of(call);
  const struct id_set old = ids.uid;
  const uint64_t *args = call->args;
  const bool may = is_privileged(&ids);
  const uint32_t first = (uint32_t)args[0], second = (uint32_t)args[1];
  bool is_allowed = false;
  switch (call->number) {
    case SYS_setuid: is_allowed = first != UNCHANGED && set_one(&ids.uid, first, may); break;
    case SYS_setgid: is_allowed = first != UNCHANGED && set_one(&ids.gid, first, may); break;
    case SYS_setreuid: is_allowed = set_two(&ids.uid, first, second, may); break;
    case SYS_setregid: is_allowed = set_two(&ids.gid, first, second, may); break;
    case SYS_setresuid: is_allowed = set_three(&ids.uid, args, may); break;
    case SYS_setresgid: is_allowed = set_three(&ids.gid, args, may); break;
  }
  if (!is_allowed) return answer_value(-EPERM);
  if (has_root(&old) && !has_root(&ids.uid) && !ids.keeps_capabilities) ids.has_capabilities = false;
  return answer_value(-set_ids(call->pid, &ids));
}

/* setfsuid(2) and setfsgid(2) answer with the old one and say no failure. */
static struct answer change_fs(const struct call *call) {
  struct ids ids = *ids_of(call);
  struct id_set *set = call->number == SYS_setfsuid ? &ids.uid : &ids.gid;
  uint32_t id = (uint32_t)call->args[0], old = set->fs;
  if (id != UNCHANGED && (is_privileged(&ids) || id == old || is_one_of(set, id, true))) {
    set->fs = id;
    set_ids(call->pid, &ids);
  }
  return answer_value(old);
}

static struct answer change_groups(const struct call *call) {
  struct ids ids = *ids_of(call);
  if (!is_privileged(&ids)) return answer_value(-EPERM);
  if (call->args[0] > 65536) return answer_value(-EINVAL);
  ids.group_count = (uint32_t)call->args[0];
  uint32_t *groups = must_allocate(ids.group_count * sizeof *groups);
  int error = read_memory(call, call->args[1], groups, ids.group_count * sizeof *groups);
  ids.groups = groups;
  if (error == 0) error = set_ids(call->pid, &ids);
  free(groups);
  return answer_value(-error);
}

static struct answer give_groups(const struct call *call) {
  const struct ids *ids = ids_of(call);
  int32_t room = (int32_t)call->args[0];
  if (room < 0 || (room > 0 && (uint32_t)room < ids->group_count)) return answer_value(-EINVAL);
  int error = room == 0 ? 0 : write_memory(call, call->args[1], ids->groups, ids->group_count * sizeof *ids->groups);
  return answer_value(error != 0 ? -error : (int64_t)ids->group_count);
}

static struct answer give_three(const struct call *call, const struct id_set *set) {
  const uint32_t values[3] = {set->real, set->effective, set->saved};
  for (int i = 0; i < 3; i++) {
    int error = write_memory(call, call->args[i], &values[i], sizeof values[i]);
    if (error != 0) return answer_value(-error);
  }
  return answer_value(0);
}

/* PR_SET_KEEPCAPS is noted, and done as well; the filter sends no other prctl. */
static struct answer note_keeping(const struct call *call) {
  struct ids ids = *ids_of(call);
  ids.keeps_capabilities = call->args[1] == 1;
  set_ids(call->pid, &ids);
  return answer_continue();
}

bool answer_ids(const struct call *call, struct answer *answer) {
  switch (call->number) {
    case SYS_getuid: *answer = answer_value(ids_of(call)->uid.real); return true;
    case SYS_geteuid: *answer = answer_value(ids_of(call)->uid.effective); return true;
    case SYS_getgid: *answer = answer_value(ids_of(call)->gid.real); return true;
    case SYS_getegid: *answer = answer_value(ids_of(call)->gid.effective); return true;
    case SYS_getresuid: *answer = give_three(call, &ids_of(call)->uid); return true;
    case SYS_getresgid: *answer = give_three(call, &ids_of(call)->gid); return true;
    case SYS_getgroups: *answer = give_groups(call); return true;
    case SYS_prctl: *answer = note_keeping(call); return true;
    case SYS_setgroups: *answer = change_groups(call); return true;
    case SYS_setfsuid:
    case SYS_setfsgid: *answer = change_fs(call); return true;
    case SYS_setuid:
    case SYS_setgid:
    case SYS_setreuid:
    case SYS_setregid:
    case SYS_setresuid:
    case SYS_setresgid: *answer = change(call); return true;
    default: return false;
  }
}
