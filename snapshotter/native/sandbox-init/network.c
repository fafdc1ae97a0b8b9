#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modes.h"
#include "report.h"
#include "step.h"

static void bring_up_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("network", "socket");
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("network", "could not bring up the loopback device");
  close(fd);
}

void enter_network(const struct spec *spec) {
  if (spec->network == NETWORK_NONE) bring_up_loopback();
  if (spec->network != NETWORK_JOIN) return;
  int fd = open(spec->network_namespace, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail("network", "could not join the build's network at %s", spec->network_namespace);
  close(fd);
}

/*
 * A process without any capability: pasta gives up CAP_SYS_PTRACE at once when it is the machine's root, and then may
 * only look at processes that have no more than it has. The namespace is lent by /proc/<this process>/ns/net.
 */
static void give_up_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {0};
  if (syscall(SYS_capset, &header, none) != 0) fail("network", "capset");
}

/*
 * An empty root of its own, and no environment: a step that has the container's /proc may look into a process without
 * capabilities where nothing fences it in (fence.c), and must not find the host's file systems or the user's tokens there.
 */
static void leave_host(void) {
  for (char **entry = environ; *entry != NULL; entry++) memset(*entry, 0, strlen(*entry));
  if (unshare(CLONE_NEWNS) != 0) fail("network", "could not make a mount namespace");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail("network", "could not make the mounts private");
  if (mount("tmpfs", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=1") != 0)
    fail("network", "tmpfs");
  if (chdir("/proc") != 0) fail("network", "tmpfs");
  /* As enter_root() does it. */
  if (syscall(SYS_pivot_root, ".", ".") != 0) fail("network", "pivot_root");
  if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) fail("network", "could not leave the host's file systems");
}

/* Becomes the program, with the namespace's path where an argument is "@". What it prints is no answer of ours. */
__attribute__((noreturn)) static void become_program(int go, int ready, char **argv) {
  char path[64];
  ssize_t length = read(go, path, sizeof path - 1);
  if (length <= 0) _exit(1);
  path[length] = '\0';
  /* After the read: the path may have come on the very descriptor. */
  if (dup2(ready, NETWORK_READY_FD) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) fail("network", "dup2");
  for (char **argument = argv; *argument != NULL; argument++)
    if (strcmp(*argument, "@") == 0) *argument = path;
  execv(argv[0], argv);
  fail("network", "could not run %s", argv[0]);
}

/* Whether the namespace has its network; blocks until that is decided. */
static bool is_carried(pid_t program, bool says_ready, int ready) {
  char byte;
  if (says_ready) return read(ready, &byte, 1) == 1;
  int status;
  while (waitpid(program, &status, 0) < 0)
    if (errno != EINTR) fail("network", "waitpid");
  return status == 0;
}

int carry_network(bool says_ready, char **argv) {
  int go[2], ready[2];
  if (pipe2(go, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0) fail("network", "pipe");
  /* Before this process leaves the network that the program sends from. */
  pid_t program = fork();
  if (program < 0) fail("network", "fork");
  if (program == 0) {
    close(go[1]);
    become_program(go[0], ready[1], argv);
  }
  close(go[0]);
  close(ready[1]);
  if (unshare(CLONE_NEWNET) != 0) fail("network", "could not make a network namespace");
  bring_up_loopback();
  /* Our number in the /proc that is mounted here, which the steps open too; getpid() is that of an inner namespace. */
  char number[32], path[64];
  ssize_t length = readlink("/proc/self", number, sizeof number - 1);
  if (length < 0) fail("network", "/proc/self");
  number[length] = '\0';
  length = snprintf(path, sizeof path, "/proc/%s/ns/net", number);
  leave_host();
  give_up_capabilities();
  if (write_all(go[1], path, (size_t)length) != 0) return 1;
  close(go[1]);
  if (!is_carried(program, says_ready, ready[0])) return 1;
  path[length++] = '\n';
  if (write_all(STDOUT_FILENO, path, (size_t)length) != 0) return 1;
  /* What is behind /proc/<this process> is the namespace; the worker's pid namespace ends it. */
  for (;;) pause();
}
