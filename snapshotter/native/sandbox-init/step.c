#include "step.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "chroot.h"
#include "kernel.h"
#include "owners.h"
#include "path.h"
#include "report.h"

static void join_cgroups(const struct spec *spec) {
  for (uint32_t i = 0; i < spec->cgroup_procs.count; i++) {
    const char *path = spec->cgroup_procs.items[i];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    /* "0" is the writer itself, whatever its number is in this pid namespace. */
    if (fd < 0 || write_all(fd, "0", 1) != 0) fail("cgroup", "could not join %s", path);
    close(fd);
  }
  if (spec->new_cgroup_namespace && unshare(CLONE_NEWCGROUP) != 0) fail("cgroup", "could not make a cgroup namespace");
}

static int open_working_directory(int root, const char *path, const struct user *user) {
  struct walk_options options = {.step = "workdir", .create = true, .leaf = LEAF_DIRECTORY, .uid = user->uid, .gid = user->gid};
  return walk_in_root(root, path, &options);
}

/* A service manager may have made this build the last to be killed; its steps shall not be. */
static void reset_oom_score(void) {
  char text[16] = "";
  int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("oom", "/proc/self/oom_score_adj");
  ssize_t length = read(fd, text, sizeof text);
  close(fd);
  if (length <= 0 || text[0] != '-') return;
  /* Only then, as /proc may be read-only (hold_proc). */
  fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) fail("oom", "/proc/self/oom_score_adj");
  close(fd);
}

/* Opened where /dev is ours or the container's: a mount of the step may lie over it. */
static int null_device = -1;
static void open_null_device(void) {
  null_device = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_device < 0) fail("stdio", "/dev/null");
}

static void set_stdio(int root, const struct step *step, const struct user *user) {
  if (step->spec->stdio == STDIO_TERMINAL) {
    open_terminal(root, user);
    return;
  }
  if (step->spec->stdio == STDIO_INHERITED) return;
  if (dup2(null_device, 0) < 0) fail("stdio", "/dev/null");
  for (int i = 1; i <= 2; i++) {
    /* A pipe belongs to who made it; `echo > /dev/stderr` as USER app opens it anew. */
    if (!records_owners && fchown(step->stdio[i], user->uid, user->gid) != 0) fail("stdio", "owner of the output pipe");
    if (dup2(step->stdio[i], i) < 0) fail("stdio", "descriptor %d", i);
  }
}

/*
 * Dies with the supervisor. A change of ids clears this, hence asked twice; a set-user-id program clears it too, which is
 * why the supervisor kills its child on every way out and the worker's own pid namespace stands behind both.
 */
static void die_with_supervisor(void) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("session", "PR_SET_PDEATHSIG");
  char byte;
  if (recv(report_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) _exit(1);
}

/* Everything below is of the image: its users, its paths, looked up inside the new root. */
static int enter_as_mount(const struct step *step, struct user *user) {
  const struct spec *spec = step->spec;
  enter_network(spec);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail("mounts", "could not make the mounts private");

  struct held_mounts held = hold_host_side(spec);
  int root = enter_root(step);
  mount_system(root, spec, &held);
  open_null_device();
  reset_oom_score();
  if (sethostname(spec->hostname, strlen(spec->hostname)) != 0) fail("hostname", "%s", spec->hostname);
  *user = find_user(root, spec->user);
  umask(0);
  close(open_working_directory(root, spec->cwd, user));
  hide_paths(root, spec);
  mount_requested(root, spec, &held);
  /* Again, as mounts may lie over it; by descriptor, so that no link leads elsewhere (CVE-2024-21626). */
  int cwd = open_working_directory(root, spec->cwd, user);
  if (fchdir(cwd) != 0) fail("workdir", "%s", spec->cwd);
  if (held.is_proc_shared) fence_processes(spec);
  return root;
}

/* What is left without namespaces (chroot.h). */
static int enter_as_directory(const struct step *step, struct user *user) {
  const struct spec *spec = step->spec;
  reset_oom_score();
  open_null_device();
  /* Before the new root is entered, which has no /proc for reopening. */
  *user = find_user(step->root_mount, spec->user);
  umask(0);
  int cwd = open_working_directory(step->root_mount, spec->cwd, user);
  int root = enter_directory(step->root_mount);
  if (fchdir(cwd) != 0) fail("workdir", "%s", spec->cwd);
  return root;
}

void run_step(const struct step *step) {
  const struct spec *spec = step->spec;
  die_with_supervisor();
  if (setsid() < 0) fail("session", "setsid");
  join_cgroups(spec);
  int root;
  struct user user = {0};
  if (spec->is_chroot) root = enter_as_directory(step, &user);
  else root = enter_as_mount(step, &user);

  /* A keyring of its own, where keys are available at all (X58). */
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM && errno != EDQUOT && errno != EACCES)
    fail("keyring", "could not make a session keyring");
  set_stdio(root, step, &user);
  set_limits(spec);
  if (k_close_range(3, ~0u, K_CLOSE_RANGE_CLOEXEC) != 0) fail("descriptors", "close_range");
  drop_privileges(spec, &user);
  die_with_supervisor();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  execute(spec, &user);
}
