#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "owners-calls.h"
#include "owners.h"
#include "report.h"
#include "step.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#endif

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#define K_O_TMPFILE 020000000 /* __O_TMPFILE: without the O_DIRECTORY that opening a directory has too */
#define CREATES (O_CREAT | K_O_TMPFILE)

#define FILTER_MAX 256
static struct sock_filter code[FILTER_MAX];
static unsigned short length;

static void emit(struct sock_filter instruction) {
  if (length >= FILTER_MAX) fail_with(E2BIG, "owners", "the filter does not fit");
  code[length++] = instruction;
}

static void tell_of(int number) {
  emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1));
  emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
}

/* Of a call that is of interest only where `test` (BPF_JSET, BPF_JEQ) holds for the low half of an argument. */
static void tell_of_some(int number, int argument, uint16_t test, uint32_t value) {
  emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4));
  emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offsetof(struct seccomp_data, args) + 8u * (unsigned)argument)));
  emit((struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, value, 0, 1));
  emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/* Programs of the 32-bit architecture are not helped: their chown to other ids fails (docs/rootless.md). */
static void build_filter(void) {
  emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
  emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0));
  emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
  static const int told[] = {
#define CALL(name) SYS_##name,
      ID_CALLS FILE_CALLS
#undef CALL
  };
  for (size_t i = 0; i < sizeof told / sizeof *told; i++) tell_of(told[i]);
#ifdef SYS_open
  tell_of_some(SYS_open, 1, BPF_JSET, CREATES);
#endif
  tell_of_some(SYS_openat, 2, BPF_JSET, CREATES);
  tell_of_some(SYS_prctl, 0, BPF_JEQ, PR_SET_KEEPCAPS);
  emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

static int install(void) {
  build_filter();
  struct sock_fprog filter = {.len = length, .filter = code};
  unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  /* Before Linux 5.19 a signal makes a waiting call start anew, which may then find its own work done. */
  if (listener < 0 && errno == EINVAL)
    listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  if (listener < 0) fail("owners", "this kernel does not pass system calls on (seccomp user notification)");
  return (int)listener;
}

void hand_over_owners(const struct user *user) {
  uint8_t frame[FRAME_HEADER + 12 + 4 * 1024] = {FRAME_LISTENER};
  uint8_t *ids = frame + FRAME_HEADER;
  uint32_t count = user->group_count > 1024 ? 1024 : (uint32_t)user->group_count;
  put_u32(frame + 1, 12 + 4 * count);
  put_u32(ids, user->uid);
  put_u32(ids + 4, user->gid);
  put_u32(ids + 8, count);
  for (uint32_t i = 0; i < count; i++) put_u32(ids + 12 + 4 * i, user->groups[i]);
  int listener = install();
  send_descriptor(listener, frame, FRAME_HEADER + 12 + 4 * count);
  close(listener);
}
