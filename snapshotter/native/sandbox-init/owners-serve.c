#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel.h"
#include "owners-call.h"
#include "owners.h"
#include "report.h"
#include "trees.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

static int listener = -1;

bool is_still_waiting(const struct call *call) { return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) == 0; }

int read_memory(const struct call *call, uint64_t address, void *out, size_t size) {
  struct iovec own = {.iov_base = out, .iov_len = size}, other = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
  if (size > 0 && process_vm_readv(call->pid, &own, 1, &other, 1, 0) != (ssize_t)size) return EFAULT;
  return is_still_waiting(call) ? 0 : ESRCH;
}

int write_memory(const struct call *call, uint64_t address, const void *bytes, size_t size) {
  struct iovec own = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size}, other = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
  /* Asked before: what is written to must be the caller's memory. The moment in between is too short for a whole round of pids. */
  if (!is_still_waiting(call)) return ESRCH;
  return size == 0 || process_vm_writev(call->pid, &own, 1, &other, 1, 0) == (ssize_t)size ? 0 : EFAULT;
}

/* Page by page: the next one need not be there. */
int read_path(const struct call *call, uint64_t address, char out[PATH_MAX]) {
  const size_t page = 4096;
  size_t used = 0;
  while (used < PATH_MAX) {
    size_t piece = page - (size_t)((address + used) % page);
    if (piece > PATH_MAX - used) piece = PATH_MAX - used;
    struct iovec own = {.iov_base = out + used, .iov_len = piece}, other = {.iov_base = (void *)(uintptr_t)(address + used), .iov_len = piece};
    if (process_vm_readv(call->pid, &own, 1, &other, 1, 0) != (ssize_t)piece) return EFAULT;
    if (memchr(out + used, '\0', piece) != NULL) return is_still_waiting(call) ? 0 : ESRCH;
    used += piece;
  }
  return ENAMETOOLONG;
}

static void send_answer(const struct call *call, const struct answer *answer) {
  /* ENOENT below: the caller was killed meanwhile. */
  if (answer->kind == ANSWER_DESCRIPTOR) {
    struct seccomp_notif_addfd add = {
        .id = call->id,
        .flags = SECCOMP_ADDFD_FLAG_SEND,
        .srcfd = (uint32_t)answer->fd,
        .newfd_flags = answer->is_cloexec ? O_CLOEXEC : 0,
    };
    int given = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    int error = given < 0 ? errno : 0;
    close(answer->fd);
    if (error == 0 || error == ENOENT) return;
    /* EMFILE, say: then that is what the caller gets. */
    struct answer failed = answer_value(-error);
    send_answer(call, &failed);
    return;
  }
  struct seccomp_notif_resp response = {.id = call->id};
  if (answer->kind == ANSWER_CONTINUE) response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  else if (answer->value < 0) response.error = (int32_t)answer->value;
  else response.val = answer->value;
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) != 0 && errno != ENOENT) fail("owners", "could not answer");
}

static bool answer_next(void) {
  struct seccomp_notif request;
  memset(&request, 0, sizeof request);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) {
    /* ENOENT: a caller was killed before it could be served, or none is left. */
    if (errno == EINTR) return true;
    if (errno != ENOENT) fail("owners", "could not take the next call");
    struct pollfd end = {.fd = listener, .events = POLLIN};
    return poll(&end, 1, 0) < 0 || !(end.revents & POLLHUP);
  }
  /* The kernel asks for descriptors' numbers as uint64: only the low halves count. */
  uint64_t args[6];
  for (int i = 0; i < 6; i++) args[i] = request.data.args[i];
  struct call call = {.id = request.id, .pid = (pid_t)request.pid, .number = request.data.nr, .args = args};
  struct answer answer = answer_continue();
  if (!answer_ids(&call, &answer)) answer_files(&call, &answer);
  send_answer(&call, &answer);
  return true;
}

/* Into the step's view of the file system, whose /proc does not know this process; so one that does is kept. */
static void enter_step(pid_t step) {
  static const char *const no_options[] = {NULL};
  owners_proc = mount_filesystem("owners", "proc", 0, no_options);
  char name[64];
  snprintf(name, sizeof name, "%d/ns/mnt", (int)step);
  int space = openat(owners_proc, name, O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNS) != 0) fail("owners", "could not enter the step's mount namespace");
  close(space);
  if (fchdir(owners_proc) != 0) fail("owners", "could not enter /proc");
}

void serve_owners(const struct owners *owners) {
  listener = owners->listener;
  umask(0);
  enter_step(owners->step);
  set_first_ids(owners->step, owners->ids, owners->ids_length);
  /* Caller and answerer take turns, on one processor (Linux 6.6); without it a call costs twice as much. */
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  for (;;) {
    struct pollfd next = {.fd = listener, .events = POLLIN};
    if (poll(&next, 1, -1) < 0 && errno != EINTR) fail("owners", "poll");
    if (next.revents & POLLIN) {
      if (!answer_next()) break;
    } else if (next.revents & (POLLHUP | POLLERR)) {
      break;
    }
  }
  send_records(owners->records);
}
