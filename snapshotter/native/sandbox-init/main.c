#include <stdio.h>
#include <string.h>

#include "modes.h"

/*
 * sandbox-init: everything between "run this over these layers" and a process. Node has many threads, and a process with
 * threads can neither enter a user namespace nor change its own view of the file system; so this small program does.
 */
int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "run") == 0) return supervise_run();
  if (argc >= 4 && strcmp(argv[1], "network") == 0) return carry_network(strcmp(argv[2], "byte") == 0, argv + 3);
  if (argc >= 2 && strcmp(argv[1], "worker") == 0) return hold_worker(argc - 2, argv + 2);
  fprintf(stderr, "usage: sandbox-init run | network exit|byte PROGRAM [ARG...] | worker [OPTION...] -- PROGRAM [ARG...]\nThis program is started by tsbuild.\n");
  return 2;
}
