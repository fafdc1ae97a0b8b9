#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"
#include "step.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static void send_descriptor(int fd) {
  uint8_t frame[FRAME_HEADER] = {FRAME_TERMINAL, 0, 0, 0, 0};
  struct iovec bytes = {.iov_base = frame, .iov_len = sizeof frame};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(report_fd, &message, 0) < 0) fail("terminal", "could not hand over the terminal");
}

void open_terminal(int root, const struct user *user) {
  /* The devpts of this sandbox, just mounted by us: the step has not run, nothing can have been put there. */
  int master = openat(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (master < 0) fail("terminal", "/dev/pts/ptmx");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) != 0) fail("terminal", "could not unlock the terminal");
  /* By the master, not by name (CVE-2025-52565). */
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) fail("terminal", "could not open the terminal");
  if (fchown(slave, user->uid, (gid_t)-1) != 0) fail("terminal", "owner of the terminal");
  /* The size before the first program can ask for it; 0 is still the caller's terminal. */
  struct winsize size;
  if (ioctl(0, TIOCGWINSZ, &size) == 0 && ioctl(master, TIOCSWINSZ, &size) != 0) fail("terminal", "size of the terminal");
  send_descriptor(master);
  close(master);
  if (ioctl(slave, TIOCSCTTY, 0) != 0) fail("terminal", "could not become the controlling terminal");
  for (int i = 0; i <= 2; i++)
    if (dup2(slave, i) < 0) fail("terminal", "descriptor %d", i);
}
