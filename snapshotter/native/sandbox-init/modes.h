#ifndef TSBUILD_MODES_H
#define TSBUILD_MODES_H

/* `sandbox-init run`: one spec from descriptor 3, frames back on it; returns the exit status. */
int supervise_run(void);

/* `sandbox-init worker [options] -- argv`: holds the namespaces of a worker process; returns its exit status. */
int hold_worker(int argc, char **argv);

#endif
