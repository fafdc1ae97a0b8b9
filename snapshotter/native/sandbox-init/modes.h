#ifndef TSBUILD_MODES_H
#define TSBUILD_MODES_H

#include <stdbool.h>

/* `sandbox-init run`: one spec from descriptor 3, frames back on it; returns the exit status. */
int supervise_run(void);

/* `sandbox-init worker [options] -- argv`: holds the namespaces of a worker process; returns its exit status. */
int hold_worker(int argc, char **argv);

/*
 * `sandbox-init network exit|byte PROGRAM ARG...`: makes a network namespace, has the program attach itself to it, prints the
 * namespace's path (which the program finds where an argument is "@"), and stays for as long as it is to be found there.
 * The program is ready when it exits with 0, or, `byte`, when it writes one to NETWORK_READY_FD. It fails with its words.
 */
int carry_network(bool says_ready, char **argv);
#define NETWORK_READY_FD 3

#endif
