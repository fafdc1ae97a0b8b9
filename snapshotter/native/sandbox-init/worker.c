#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chroot.h"
#include "kernel.h"
#include "modes.h"
#include "report.h"
#include "trees.h"

/*
 *   caller ── holder ── init (pid 1 of the worker's pid namespace) ── worker (node) ── supervisors ── steps
 *
 * The holder stays outside to write the id maps. Init dies with the holder, the holder with the caller, and the kernel
 * kills everything below init: nothing survives any of them, set-user-id programs included.
 */
#define WRITABLE_MAX 64
#define NETWORK_WORDS_MAX 64

struct options {
  bool new_user_namespace;
  bool is_without_namespaces;
  bool is_privileged_map; /* we may map whatever we have, and keep groups */
  const char *uid_helper; /* newuidmap; NULL: write the map ourselves (a single id) */
  const char *gid_helper;
  char *uid_map; /* "inside outside count ..." */
  char *gid_map;
  const char *probe; /* directory for trying overlayfs */
  const char *writable[WRITABLE_MAX];
  int writable_count;
  char *network[NETWORK_WORDS_MAX + 1]; /* arguments of carry_network, or none */
  int network_count;
  char **argv;
};

static struct options parse(int argc, char **argv) {
  struct options options = {0};
  int at = 0;
  for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
    if (strcmp(argv[at], "--userns") == 0) {
      options.new_user_namespace = true;
      continue;
    }
    if (strcmp(argv[at], "--no-namespaces") == 0) {
      options.is_without_namespaces = true;
      continue;
    }
    if (strcmp(argv[at], "--privileged-map") == 0) {
      options.is_privileged_map = true;
      continue;
    }
    if (at + 1 >= argc) fail_with(EINVAL, "usage", "%s needs a value", argv[at]);
    char *name = argv[at++], *value = argv[at];
    if (strcmp(name, "--newuidmap") == 0) options.uid_helper = value;
    else if (strcmp(name, "--newgidmap") == 0) options.gid_helper = value;
    else if (strcmp(name, "--uid-map") == 0) options.uid_map = value;
    else if (strcmp(name, "--gid-map") == 0) options.gid_map = value;
    else if (strcmp(name, "--probe") == 0) options.probe = value;
    else if (strcmp(name, "--writable") == 0 && options.writable_count < WRITABLE_MAX) options.writable[options.writable_count++] = value;
    else if (strcmp(name, "--network") == 0 && options.network_count < NETWORK_WORDS_MAX) options.network[options.network_count++] = value;
    else fail_with(EINVAL, "usage", "unknown option %s", name);
  }
  if (at + 1 >= argc) fail_with(EINVAL, "usage", "no program given");
  options.argv = argv + at + 1;
  if (options.new_user_namespace && (options.uid_map == NULL || options.gid_map == NULL)) fail_with(EINVAL, "usage", "no id map given");
  return options;
}

static void write_proc(pid_t pid, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) fail("id-map", "%s", path);
  close(fd);
}

/* newuidmap PID INSIDE OUTSIDE COUNT ... */
static void run_helper(const char *helper, pid_t pid, char *map) {
  char digits[16];
  snprintf(digits, sizeof digits, "%d", (int)pid);
  const char *argv[64] = {helper, digits};
  int count = 2;
  for (char *word = strtok(map, " "); word != NULL && count < 63; word = strtok(NULL, " ")) argv[count++] = word;
  pid_t child = fork();
  if (child < 0) fail("id-map", "fork");
  if (child == 0) {
    execv(helper, (char *const *)argv);
    fail("id-map", "could not run %s", helper);
  }
  int status;
  if (waitpid(child, &status, 0) != child) fail("id-map", "%s", helper);
  /* It said why on stderr. */
  if (status != 0) fail_with(EPERM, "id-map", "%s did not accept the map", helper);
}

static void write_maps(struct options *options, pid_t pid) {
  if (options->gid_helper != NULL) {
    run_helper(options->gid_helper, pid, options->gid_map);
  } else {
    /* user_namespaces(7): without privilege a gid map is only taken after setgroups has been given up. */
    if (!options->is_privileged_map) write_proc(pid, "setgroups", "deny");
    write_proc(pid, "gid_map", options->gid_map);
  }
  if (options->uid_helper != NULL) run_helper(options->uid_helper, pid, options->uid_map);
  else write_proc(pid, "uid_map", options->uid_map);
}

/* Overlayfs keeps its marks in trusted.* only in the machine's own user namespace. */
static bool is_initial_user_namespace(void) {
  FILE *map = fopen("/proc/self/uid_map", "re");
  unsigned long inside = 1, outside = 1, count = 0;
  if (map == NULL || fscanf(map, "%lu %lu %lu", &inside, &outside, &count) != 3) fail("user-namespace", "/proc/self/uid_map");
  fclose(map);
  return inside == 0 && outside == 0 && count == 4294967295ul;
}

/* Tells the worker, in its environment, whether layers can be mounted, and how. */
static void tell_overlay(const char *probe) {
  bool user_xattr = !is_initial_user_namespace();
  int error = probe == NULL ? EOPNOTSUPP : probe_overlay(probe, user_xattr);
  char text[32];
  snprintf(text, sizeof text, error == 0 ? (user_xattr ? "user" : "trusted") : "error:%d", error);
  if (setenv("TSBUILD_WORKER_OVERLAY", text, 1) != 0) fail("memory", "setenv");
}

/*
 * Read-only for the worker and all its children, but for the state and what the caller names: a hostile layer that tricks
 * the unpacker into a path outside finds nothing to write to. Kernels before 5.12 cannot do this to a whole tree.
 */
static void protect_host(const struct options *options) {
  int held[WRITABLE_MAX];
  for (int i = 0; i < options->writable_count; i++) {
    held[i] = k_open_tree(AT_FDCWD, options->writable[i], K_OPEN_TREE_CLONE | K_OPEN_TREE_CLOEXEC | K_AT_RECURSIVE);
    if (held[i] < 0) fail("protect", "could not hold %s", options->writable[i]);
  }
  struct k_mount_attr attr = {.attr_set = K_MOUNT_ATTR_RDONLY};
  if (k_mount_setattr(AT_FDCWD, "/", K_AT_RECURSIVE, &attr) != 0) {
    if (errno != ENOSYS) fail("protect", "could not make the host's file systems read-only");
    for (int i = 0; i < options->writable_count; i++) close(held[i]);
    return;
  }
  for (int i = 0; i < options->writable_count; i++) {
    if (k_move_mount(held[i], "", AT_FDCWD, options->writable[i], K_MOVE_MOUNT_F_EMPTY_PATH) != 0)
      fail("protect", "could not keep %s writable", options->writable[i]);
    close(held[i]);
  }
}

static void die_with_parent(int parent_alive, int signal) {
  if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0) fail("worker", "PR_SET_PDEATHSIG");
  /* The parent may have died before that took effect; its end of the pipe tells. */
  struct pollfd end = {.fd = parent_alive, .events = POLLIN};
  if (poll(&end, 1, 0) != 0) _exit(1);
}

/* Reaps whatever ends up below pid 1 until the worker itself ends; its status becomes ours. */
static int reap_until(pid_t worker) {
  for (;;) {
    int status;
    pid_t ended = wait(&status);
    if (ended < 0 && errno != EINTR) fail("worker", "wait");
    if (ended == worker) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

/* What ends a subreaper: the end of its worker, or of the holder. */
static sigset_t block_endings(void) {
  sigset_t endings;
  sigemptyset(&endings);
  sigaddset(&endings, SIGCHLD);
  sigaddset(&endings, SIGTERM);
  if (sigprocmask(SIG_BLOCK, &endings, NULL) != 0) fail("worker", "sigprocmask");
  return endings;
}

/* As reap_until, where no pid namespace takes everything along: whichever ends first, all that is below us ends with it. */
static int kill_after(pid_t worker, const sigset_t *endings) {
  int status = 0, signal = 0;
  for (pid_t ended = 0; ended != worker && signal != SIGTERM;) {
    ended = waitpid(-1, &status, WNOHANG);
    if (ended < 0 && errno != ECHILD) fail("worker", "waitpid");
    if (ended == 0) signal = sigwaitinfo(endings, NULL);
  }
  kill_descendants();
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/*
 * The network of the steps, made while the worker starts: by the time it is asked for it is there. The worker reads its
 * path from a descriptor; when nothing comes, it tries itself, and learns why.
 */
static void start_network(const struct options *options) {
  int answer[2];
  if (pipe(answer) != 0) fail("worker", "pipe");
  pid_t child = fork();
  if (child < 0) fail("worker", "fork");
  if (child == 0) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(answer[1], 1) < 0 || dup2(null, 2) < 0) _exit(1);
    k_close_range(3, ~0u, 0);
    _exit(carry_network(strcmp(options->network[0], "byte") == 0, (char **)options->network + 1));
  }
  close(answer[1]);
  char text[16];
  snprintf(text, sizeof text, "%d", answer[0]);
  if (setenv("TSBUILD_WORKER_NETWORK", text, 1) != 0) fail("memory", "setenv");
}

static int run_init(const struct options *options, int go) {
  char byte;
  if (read(go, &byte, 1) != 1) _exit(1); /* the maps are written */
  if (options->new_user_namespace) {
    if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) fail("user-namespace", "could not become its root");
    /* EPERM: a map of a single id has given up groups. */
    if (setgroups(0, NULL) != 0 && errno != EPERM) fail("user-namespace", "setgroups");
  }
  /* Without namespaces what the steps leave has to be killed one by one, so this process is told, and outlives the holder. */
  const sigset_t endings = options->is_without_namespaces ? block_endings() : (sigset_t){0};
  die_with_parent(go, options->is_without_namespaces ? SIGTERM : SIGKILL);
  close(go);
  /* A session of its own: Ctrl-C reaches tsbuild, which then ends the steps in order. */
  if (setsid() < 0) fail("worker", "setsid");
  if (options->is_without_namespaces) {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) fail("worker", "PR_SET_CHILD_SUBREAPER");
    tell_overlay(NULL);
  } else {
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail("mounts", "could not make the mounts private");
    tell_overlay(options->probe);
    protect_host(options);
    if (options->network_count > 1) start_network(options);
  }
  pid_t worker = fork();
  if (worker < 0) fail("worker", "fork");
  if (worker == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("worker", "PR_SET_PDEATHSIG");
    if (options->is_without_namespaces && sigprocmask(SIG_UNBLOCK, &endings, NULL) != 0) fail("worker", "sigprocmask");
    execvp(options->argv[0], options->argv);
    fail("worker", "could not run %s", options->argv[0]);
  }
  /* The worker's channel must end when the worker does. */
  k_close_range(3, ~0u, 0);
  return options->is_without_namespaces ? kill_after(worker, &endings) : reap_until(worker);
}

int hold_worker(int argc, char **argv) {
  struct options options = parse(argc, argv);
  pid_t caller = getppid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("worker", "PR_SET_PDEATHSIG");
  if (getppid() != caller) return 1;
  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) fail("worker", "pipe");
  unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | (options.new_user_namespace ? CLONE_NEWUSER : 0);
  if (options.is_without_namespaces) flags = 0;
  long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (child < 0) fail(options.new_user_namespace ? "user-namespace" : "namespaces", "could not make namespaces for the worker");
  if (child == 0) {
    close(go[1]);
    return run_init(&options, go[0]);
  }
  close(go[0]);
  if (options.new_user_namespace) write_maps(&options, (pid_t)child);
  if (write_all(go[1], "x", 1) != 0) fail("worker", "its init is gone");
  /* go[1] stays open: it is how init sees that we live. Terminal signals are for the caller to act upon. */
  signal(SIGINT, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  k_close_range(3, (unsigned)go[1] - 1, 0);
  k_close_range((unsigned)go[1] + 1, ~0u, 0);
  int status;
  while (waitpid((pid_t)child, &status, 0) < 0)
    if (errno != EINTR) fail("worker", "waitpid");
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
