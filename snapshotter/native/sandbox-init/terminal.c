#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "owners.h"
#include "report.h"
#include "step.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

void open_terminal(int root, const struct user *user) {
  /* The devpts of this sandbox, just mounted by us: the step has not run, nothing can have been put there. */
  int master = openat(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (master < 0) fail("terminal", "/dev/pts/ptmx");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) != 0) fail("terminal", "could not unlock the terminal");
  /* By the master, not by name (CVE-2025-52565). */
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) fail("terminal", "could not open the terminal");
  if (!records_owners && fchown(slave, user->uid, (gid_t)-1) != 0) fail("terminal", "owner of the terminal");
  /* The size before the first program can ask for it; 0 is still the caller's terminal. */
  struct winsize size;
  if (ioctl(0, TIOCGWINSZ, &size) == 0 && ioctl(master, TIOCSWINSZ, &size) != 0) fail("terminal", "size of the terminal");
  static const uint8_t frame[FRAME_HEADER] = {FRAME_TERMINAL, 0, 0, 0, 0};
  send_descriptor(master, frame, sizeof frame);
  close(master);
  if (ioctl(slave, TIOCSCTTY, 0) != 0) fail("terminal", "could not become the controlling terminal");
  for (int i = 0; i <= 2; i++)
    if (dup2(slave, i) < 0) fail("terminal", "descriptor %d", i);
}
