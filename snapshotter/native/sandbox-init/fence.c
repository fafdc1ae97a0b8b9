#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel.h"
#include "report.h"
#include "step.h"

/*
 * landlock(7). What counts is what every domain has: its processes may look into (ptrace(2), "access mode checks") no
 * process outside of it. The access that a ruleset has to name is one that is then allowed everywhere, or not of files.
 */
enum { NR_landlock_create_ruleset = 444, NR_landlock_add_rule = 445, NR_landlock_restrict_self = 446 };

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define ACCESS_FS_REFER (1ull << 13)
#define SCOPE_SIGNAL (1ull << 1)
/* Linux 5.19: before it no ruleset lets a file be renamed into another directory. */
#define VERSION_WITH_REFER 2
/* Linux 6.12: no rule about files is needed any more. */
#define VERSION_WITH_SCOPES 6

struct ruleset {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};

struct path_beneath {
  uint64_t allowed_access;
  int32_t parent_fd;
} __attribute__((packed));

static void allow_renames(int ruleset) {
  struct path_beneath rule = {.allowed_access = ACCESS_FS_REFER, .parent_fd = open("/", O_PATH | O_CLOEXEC)};
  if (rule.parent_fd < 0) fail("fence", "/");
  if (syscall(NR_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0) fail("fence", "could not allow renames");
  close(rule.parent_fd);
}

static bool enter_domain(void) {
  long version = syscall(NR_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
  if (version < VERSION_WITH_REFER) return false; /* also -1: none here, switched off, or filtered by the container */
  bool has_scopes = version >= VERSION_WITH_SCOPES;
  struct ruleset attributes = {.handled_access_fs = has_scopes ? 0 : ACCESS_FS_REFER, .scoped = has_scopes ? SCOPE_SIGNAL : 0};
  size_t size = has_scopes ? sizeof attributes : sizeof attributes.handled_access_fs;
  int ruleset = (int)syscall(NR_landlock_create_ruleset, &attributes, size, 0);
  if (ruleset < 0) fail("fence", "could not make a Landlock ruleset");
  if (!has_scopes) allow_renames(ruleset);
  if (syscall(NR_landlock_restrict_self, ruleset, 0) != 0) fail("fence", "could not enter a Landlock domain");
  close(ruleset);
  return true;
}

void fence_processes(const struct spec *spec) {
  /* Without a filter the step was given what would lead around the fence. */
  uint8_t is_fenced = spec->use_seccomp && enter_domain();
  report_frame(FRAME_SHARED_PROC, &is_fenced, sizeof is_fenced);
}
