#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "owners.h"
#include "report.h"
#include "step.h"

#define CAPABILITIES_MAX 64

void set_limits(const struct spec *spec) {
  for (uint32_t i = 0; i < spec->limit_count; i++) {
    struct rlimit limit = {.rlim_cur = spec->limits[i].soft, .rlim_max = spec->limits[i].hard};
    if (setrlimit((int)spec->limits[i].resource, &limit) != 0)
      fail("ulimit", "%u %llu:%llu", spec->limits[i].resource, (unsigned long long)spec->limits[i].soft, (unsigned long long)spec->limits[i].hard);
  }
}

static void bound_capabilities(uint64_t allowed, bool is_chroot) {
  for (unsigned long capability = 0; capability < CAPABILITIES_MAX; capability++) {
    if (allowed & (1ull << capability)) continue;
    /* EINVAL: past the last one that this kernel has. */
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    /* A plain container may lack CAP_SETPCAP; then it itself is the bound. */
    if (errno != EINVAL && !(errno == EPERM && is_chroot)) fail("capabilities", "bounding set");
  }
}

static void set_capabilities(uint64_t allowed) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct held[2], wanted[2];
  if (syscall(SYS_capget, &header, held) != 0) fail("capabilities", "capget");
  for (int i = 0; i < 2; i++) {
    /* What the builder itself lacks (in a container, say) cannot be given on. */
    uint32_t mask = (uint32_t)(allowed >> (32 * i)) & held[i].permitted;
    wanted[i] = (struct __user_cap_data_struct){.effective = mask, .permitted = mask};
  }
  if (syscall(SYS_capset, &header, wanted) != 0) fail("capabilities", "capset");
}

/*
 * Bounding set while CAP_SETPCAP is there, filter while CAP_SYS_ADMIN is (no_new_privs stays off: sudo and su work, X3),
 * then the ids, which take the capabilities along for anyone but root.
 */
void drop_privileges(const struct spec *spec, const struct user *user) {
  bound_capabilities(spec->capabilities, spec->is_chroot);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) fail("capabilities", "ambient set");
  if (spec->use_seccomp) install_seccomp();
  umask(0022);
  if (records_owners) {
    /* There is one id only: this process stays root, and is told that it is who it should be. */
    hand_over_owners(user);
    set_capabilities(spec->capabilities);
    return;
  }
  if (setgroups(user->group_count, user->groups) != 0) fail("user", "supplementary groups");
  if (setresgid(user->gid, user->gid, user->gid) != 0) fail("user", "group id %u", user->gid);
  if (setresuid(user->uid, user->uid, user->uid) != 0) fail("user", "user id %u", user->uid);
  if (user->uid == 0) set_capabilities(spec->capabilities);
}
