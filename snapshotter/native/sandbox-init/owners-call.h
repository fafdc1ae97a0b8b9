#ifndef TSBUILD_OWNERS_CALL_H
#define TSBUILD_OWNERS_CALL_H

#include <limits.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* One call that waits for an answer, and the process that made it. */
struct call {
  uint64_t id;
  pid_t pid;
  int number;
  const uint64_t *args;
};

enum answer_kind { ANSWER_VALUE, ANSWER_CONTINUE, ANSWER_DESCRIPTOR };
struct answer {
  enum answer_kind kind;
  int64_t value; /* negative: errno */
  int fd;        /* given to the caller, and closed here */
  bool is_cloexec;
};
static inline struct answer answer_value(int64_t value) { return (struct answer){.kind = ANSWER_VALUE, .value = value}; }
/* The kernel does the call as it is. */
static inline struct answer answer_continue(void) { return (struct answer){.kind = ANSWER_CONTINUE}; }

/* --- owners-serve.c --- */
bool is_still_waiting(const struct call *call);
int read_memory(const struct call *call, uint64_t address, void *out, size_t size);
int write_memory(const struct call *call, uint64_t address, const void *bytes, size_t size);
int read_path(const struct call *call, uint64_t address, char out[PATH_MAX]);

/* --- owners-ids.c --- */
struct id_set {
  uint32_t real, effective, saved, fs;
};
struct ids {
  struct id_set uid, gid;
  /* CAP_SETUID and its like as capabilities(7) has them, "effect of user ID changes": permitted, and PR_SET_KEEPCAPS. */
  bool has_capabilities, keeps_capabilities;
  uint32_t group_count;
  const uint32_t *groups;
};
void set_first_ids(pid_t step, const uint8_t *bytes, size_t length);
const struct ids *ids_of(const struct call *call);
/* What execve makes of them: `owner` is that of a file with the set-id bits in `mode`. */
void ids_after_exec(const struct call *call, mode_t mode, uint32_t uid, uint32_t gid);
bool is_privileged(const struct ids *ids);
bool is_member(const struct ids *ids, uint32_t gid);
/* false: not a call about ids. */
bool answer_ids(const struct call *call, struct answer *answer);

/* --- owners-record.c --- */
struct record {
  uint32_t uid, gid;
  char node; /* 'c', 'b' or 0 */
  uint32_t major, minor;
};
/* The proc filesystem of this process's pid namespace, which is also its working directory. */
extern int owners_proc;
/* What is recorded for an O_PATH descriptor; false: nothing, it is as the kernel says. */
bool find_record(int fd, const struct stat *stat, struct record *record);
/* 0 or errno. `is_explicit`: also that root owns it, which is what no record means almost everywhere. */
int put_record(int fd, const struct stat *stat, const struct record *record, bool is_explicit);
void forget_record(const struct stat *stat);
void send_records(int pipe);

/* --- owners-files.c --- */
bool answer_files(const struct call *call, struct answer *answer);

/* --- owners-place.c --- */
/* A path of the caller, opened as the caller would: its root, its working directory. */
struct place {
  int base;
  bool has_other_root;
  char path[PATH_MAX];
};
/* 0 or errno; close_place after success. */
int open_place(const struct call *call, int dirfd, uint64_t path, struct place *place);
void close_place(struct place *place);
/* An O_PATH descriptor of what `place` names, or -1. */
int open_at(const struct place *place, bool follows);
mode_t umask_of(const struct call *call);

#endif
