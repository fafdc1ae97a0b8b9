#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "chroot.h"
#include "kernel.h"
#include "modes.h"
#include "owners.h"
#include "report.h"
#include "spec.h"
#include "step.h"
#include "stubs.h"
#include "trees.h"

#define CHANNEL 3

/*
 * The supervisor stays outside the step's namespaces: it passes output on, waits, and takes the stubs of mounts out of
 * the root when everything in there is dead. Losing the other end of CHANNEL, or a SIGTERM, kills the step.
 */
struct supervisor {
  pid_t child;
  int root_dir;
  int signals;
  int reports; /* -1 once the step's program runs */
  int outputs[2];
  int terminal; /* master side, or -1 */
  bool reads_input;
  struct termios saved;
  bool is_raw;
  bool is_reaped;
  bool is_captured;
  bool is_chroot;
  bool has_failed; /* a failure went out instead of an exit */
  int status;
  struct rusage usage;
  int32_t not_executed; /* exit code instead of the status, or -1 */
  pid_t owners;         /* the process that answers for owners.h, or 0 */
  int owner_records;    /* what it has to say in the end */
};

static void kill_step(const struct supervisor *run) {
  if (!run->is_reaped) kill(run->child, SIGKILL);
}

static void copy_window_size(const struct supervisor *run) {
  struct winsize size;
  if (run->terminal >= 0 && ioctl(0, TIOCGWINSZ, &size) == 0) ioctl(run->terminal, TIOCSWINSZ, &size);
}

static void start_terminal(struct supervisor *run, int master) {
  run->terminal = master;
  run->reads_input = true;
  if (tcgetattr(0, &run->saved) != 0) return; /* input is not a terminal: nothing to make raw */
  struct termios raw = run->saved;
  cfmakeraw(&raw);
  run->is_raw = tcsetattr(0, TCSADRAIN, &raw) == 0;
}

static void stop_terminal(struct supervisor *run) {
  if (run->is_raw) tcsetattr(0, TCSADRAIN, &run->saved);
  run->is_raw = false;
}

static void start_owners(struct supervisor *run, int listener, const uint8_t *ids, size_t length) {
  int records[2];
  if (pipe2(records, O_CLOEXEC) != 0) fail("owners", "pipe");
  pid_t supervisor = getpid();
  pid_t child = fork();
  if (child < 0) fail("owners", "fork");
  if (child == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != supervisor) _exit(1);
    /* It says what failed where the step would, on the supervisor's own channel, and the step ends with it. */
    struct owners owners = {.listener = listener, .step = run->child, .records = records[1], .ids = ids, .ids_length = length};
    serve_owners(&owners);
    _exit(0);
  }
  close(records[1]);
  close(listener);
  run->owners = child;
  run->owner_records = records[0];
}

/* Passes on what the process beside the step noted. The step is dead, so it comes to its end. */
static void finish_owners(struct supervisor *run) {
  if (run->owners == 0) return;
  static uint8_t bytes[FRAME_PAYLOAD_MAX];
  for (;;) {
    ssize_t got = read(run->owner_records, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (write_all(CHANNEL, bytes, (size_t)got) != 0) _exit(1);
  }
  int status;
  if (waitpid(run->owners, &status, 0) != run->owners || status != 0)
    fail_with(0, "owners", "the process that records them ended before the step did");
}

static void handle_report(struct supervisor *run) {
  static uint8_t frame[FRAME_HEADER + FRAME_PAYLOAD_MAX];
  struct iovec bytes = {.iov_base = frame, .iov_len = sizeof frame};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(run->reports, &message, MSG_CMSG_CLOEXEC);
  if (got < 0 && errno == EINTR) return;
  if (got < (ssize_t)FRAME_HEADER) {
    /* Closed by the exec, or by a death before it. */
    close(run->reports);
    run->reports = -1;
    return;
  }
  const uint8_t *payload = frame + FRAME_HEADER;
  size_t length = (size_t)got - FRAME_HEADER;
  switch (frame[0]) {
    case FRAME_FAILURE:
      run->has_failed = true;
      report_frame(FRAME_FAILURE, payload, length);
      kill_step(run);
      return;
    case FRAME_SHARED_PROC:
      report_frame(FRAME_SHARED_PROC, payload, length);
      return;
    case FRAME_NOT_EXECUTED:
      run->not_executed = (int32_t)get_u32(payload);
      stop_terminal(run);
      if (run->is_captured) report_frame(FRAME_STDERR, payload + 4, length - 4);
      else write_all(2, payload + 4, length - 4);
      return;
    case FRAME_STUB:
      remember_stub(payload, length);
      return;
    case FRAME_TERMINAL: {
      struct cmsghdr *header = CMSG_FIRSTHDR(&message);
      int master;
      if (header == NULL || header->cmsg_type != SCM_RIGHTS) fail_with(EPROTO, "terminal", "no descriptor came");
      memcpy(&master, CMSG_DATA(header), sizeof master);
      start_terminal(run, master);
      return;
    }
    case FRAME_LISTENER: {
      struct cmsghdr *header = CMSG_FIRSTHDR(&message);
      int listener;
      if (header == NULL || header->cmsg_type != SCM_RIGHTS) fail_with(EPROTO, "owners", "no descriptor came");
      memcpy(&listener, CMSG_DATA(header), sizeof listener);
      start_owners(run, listener, payload, length);
      return;
    }
    default:
      fail_with(EPROTO, "report", "frame of type %u", frame[0]);
  }
}

/* false: the other side is closed for good. */
static bool pass_output(int from, enum frame_type type) {
  static uint8_t bytes[FRAME_PAYLOAD_MAX];
  ssize_t got = read(from, bytes, sizeof bytes);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (got <= 0) return false;
  report_frame(type, bytes, (size_t)got);
  return true;
}

static bool copy_bytes(int from, int to) {
  char bytes[4096];
  ssize_t got = read(from, bytes, sizeof bytes);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  /* EIO: the last process has closed the slave side. */
  return got > 0 && write_all(to, bytes, (size_t)got) == 0;
}

static void handle_signal(struct supervisor *run) {
  struct signalfd_siginfo info;
  if (read(run->signals, &info, sizeof info) != sizeof info) return;
  if (info.ssi_signo == SIGWINCH) copy_window_size(run);
  else if (info.ssi_signo != SIGCHLD) kill_step(run);
  if (run->is_reaped || wait4(run->child, &run->status, WNOHANG, &run->usage) != run->child) return;
  run->is_reaped = true;
  /* No pid namespace ends with it. */
  if (run->is_chroot) kill_descendants();
}

static void close_output(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static bool is_done(const struct supervisor *run) {
  return run->is_reaped && run->reports < 0 && run->outputs[0] < 0 && run->outputs[1] < 0 && run->terminal < 0;
}

static void poll_once(struct supervisor *run) {
  const short input = POLLIN;
  struct pollfd polls[] = {
      {run->signals, input, 0},
      {run->reports, input, 0},
      {run->outputs[0], input, 0},
      {run->outputs[1], input, 0},
      {run->terminal, input, 0},
      {run->reads_input ? 0 : -1, input, 0},
      {CHANNEL, POLLRDHUP, 0},
  };
  /* Everything in the pid namespace is dead once its first process is reaped, so what is readable now is all there is. */
  int ready = poll(polls, sizeof polls / sizeof *polls, run->is_reaped ? 0 : -1);
  if (ready < 0 && errno != EINTR) fail("supervise", "poll");
  if (ready == 0 && run->is_reaped) {
    close_output(&run->reports);
    close_output(&run->outputs[0]);
    close_output(&run->outputs[1]);
    close_output(&run->terminal);
    return;
  }
  if (ready < 0) return;
  if (polls[1].revents) handle_report(run);
  if (polls[2].revents && !pass_output(run->outputs[0], FRAME_STDOUT)) close_output(&run->outputs[0]);
  if (polls[3].revents && !pass_output(run->outputs[1], FRAME_STDERR)) close_output(&run->outputs[1]);
  if (polls[4].revents && !copy_bytes(run->terminal, 1)) close_output(&run->terminal);
  if (polls[5].revents && run->terminal >= 0 && !copy_bytes(0, run->terminal)) run->reads_input = false;
  if (polls[0].revents) handle_signal(run);
  if (polls[6].revents) kill_step(run);
}

static void report_exit(const struct supervisor *run) {
  uint8_t payload[24];
  bool is_signaled = WIFSIGNALED(run->status);
  int32_t code = run->not_executed >= 0 ? run->not_executed : is_signaled ? 128 + WTERMSIG(run->status) : WEXITSTATUS(run->status);
  const struct timeval *user = &run->usage.ru_utime, *system = &run->usage.ru_stime;
  put_u32(payload, (uint32_t)code);
  put_u32(payload + 4, is_signaled ? (uint32_t)WTERMSIG(run->status) : 0);
  put_u64(payload + 8, (uint64_t)(user->tv_sec + system->tv_sec) * 1000000 + (uint64_t)(user->tv_usec + system->tv_usec));
  put_u64(payload + 16, (uint64_t)run->usage.ru_maxrss);
  report_frame(FRAME_EXIT, payload, sizeof payload);
}

static int block_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  const int handled[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGWINCH};
  for (size_t i = 0; i < sizeof handled / sizeof *handled; i++) sigaddset(&set, handled[i]);
  if (sigprocmask(SIG_SETMASK, &set, NULL) != 0) fail("supervise", "sigprocmask");
  signal(SIGPIPE, SIG_IGN);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) fail("supervise", "signalfd");
  return fd;
}

/*
 * Held open until this process ends: else the step's first process takes its mounts down before its end is told, and each
 * waits for all processors once (RCU).
 */
static void keep_mounts(pid_t child) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)child);
  /* Without it the step only ends later. */
  (void)open(path, O_RDONLY | O_CLOEXEC);
}

/* Starts the step's process in its namespaces. */
static void start_step(struct supervisor *run, const struct spec *spec, int root_mount) {
  int reports[2], out[2] = {-1, -1}, err[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, reports) != 0) fail("supervise", "socketpair");
  bool is_captured = spec->stdio == STDIO_CAPTURED;
  /* Real pipes: a program may open /dev/stdout by its name, which a socket refuses. */
  if (is_captured && (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)) fail("supervise", "pipe");
  unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
  if (spec->network == NETWORK_NONE) flags |= CLONE_NEWNET;
  if (spec->is_chroot) flags = 0;
  /* Both architectures built here take the flags first. */
  long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (child < 0) fail("namespaces", "could not make mount, pid, uts and ipc namespaces");
  if (child == 0) {
    report_fd = reports[1];
    close(reports[0]);
    close(CHANNEL);
    struct step step = {.spec = spec, .root_mount = root_mount, .stdio = {-1, out[1], err[1]}};
    run_step(&step);
  }
  run->child = (pid_t)child;
  if (!spec->is_chroot) keep_mounts(run->child);
  run->is_captured = is_captured;
  run->is_chroot = spec->is_chroot != 0;
  run->reports = reports[0];
  run->outputs[0] = out[0];
  run->outputs[1] = err[0];
  close(reports[1]);
  if (is_captured) {
    close(out[1]);
    close(err[1]);
  }
}

int supervise_run(void) {
  report_fd = CHANNEL;
  if (fcntl(CHANNEL, F_SETFD, FD_CLOEXEC) != 0) return 2;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("supervise", "PR_SET_PDEATHSIG");
  if (k_close_range(CHANNEL + 1, ~0u, 0) != 0) fail("supervise", "close_range");
  const struct spec *spec = read_spec(CHANNEL);
  records_owners = spec->records_owners != 0;
  struct supervisor run = {.terminal = -1, .not_executed = -1, .signals = block_signals()};
  int root_mount = spec->is_chroot ? open(spec->root.dir, O_PATH | O_DIRECTORY | O_CLOEXEC)
                                   : mount_tree("root", &spec->root, spec->is_confined ? K_MOUNT_ATTR_NODEV : 0);
  run.root_dir = openat(root_mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (run.root_dir < 0) fail("root", "could not open the root filesystem");
  if (spec->is_chroot) {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) fail("supervise", "PR_SET_CHILD_SUBREAPER");
    umask(0);
    place_mounts(run.root_dir, spec);
  }
  start_step(&run, spec, root_mount);
  close(root_mount);
  while (!is_done(&run)) poll_once(&run);
  stop_terminal(&run);
  if (spec->is_chroot) take_mounts_back();
  if (run.has_failed) return 1;
  finish_owners(&run);
  remove_stubs(run.root_dir);
  drop_copied_parents(&spec->root);
  report_exit(&run);
  /* What is left to take down, the kernel does behind the report: nothing can write to the root any more. */
  return 0;
}
