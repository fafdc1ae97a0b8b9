#include <stdio.h>
#include <unistd.h>

#include "../report.h"
#include "../step.h"

/* plain-container PROGRAM [ARGUMENT ...]: executes it under Docker's filter, as whatever runs in a container without options. */
int main(int count, char **arguments) {
  report_fd = STDERR_FILENO;
  if (count < 2) return 2;
  install_seccomp();
  execvp(arguments[1], arguments + 1);
  perror(arguments[1]);
  return 127;
}
