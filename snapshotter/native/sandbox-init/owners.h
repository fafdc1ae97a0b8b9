#ifndef TSBUILD_OWNERS_H
#define TSBUILD_OWNERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Owners where the user namespace has a single id (docs/decisions/004-recorded-owners.md): every file is really of root.
 * What owner a file should have stands in its attribute OWNER_XATTR; no attribute means root. The step's calls about ids,
 * owners and device nodes come to a process beside it by seccomp's user notification, which keeps and answers from there.
 *
 * Value of the attribute: "uid:gid", or "uid:gid:c:major:minor" (or b) on the empty file that stands for a device.
 */
#define OWNER_XATTR "user.tsbuild.owner"

struct user;

/* Whether this process works with recorded owners; set once from the spec. */
extern bool records_owners;

/* chown(2) of something just made, by descriptor (not O_PATH); records it where ids cannot be had. -1 with errno. */
int give_owner(int fd, uid_t uid, gid_t gid);

/* The step's side: from here on its calls are answered by whoever reads the descriptor that is sent to the supervisor. */
void hand_over_owners(const struct user *user);

struct owners {
  int listener;
  pid_t step;        /* first process of the step */
  int records;       /* pipe for frames with the owners of what has no attributes, when the step has ended */
  const uint8_t *ids; /* as hand_over_owners wrote them */
  size_t ids_length;
};
/* The answering side; returns when no process of the step is left. */
void serve_owners(const struct owners *owners);

#endif
