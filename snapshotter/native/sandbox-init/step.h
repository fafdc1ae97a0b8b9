#ifndef TSBUILD_STEP_H
#define TSBUILD_STEP_H

#include <stdbool.h>
#include <sys/types.h>

#include "spec.h"

/* What the supervisor prepared for the step's process. */
struct step {
  const struct spec *spec;
  int root_mount; /* detached mount of the root filesystem */
  int stdio[3];   /* captured: what becomes 0, 1, 2 (0 is opened inside); otherwise the supervisor's own */
};

/* The step's process, alone in its new namespaces: performs every step of the spec in order, then becomes the program. */
__attribute__((noreturn)) void run_step(const struct step *step);

/* --- the parts, in the order they are used --- */

/*
 * Mounts whose other side is on the host, taken hold of while the host is still visible. proc and sysfs belong to them: a
 * user namespace may mount those only where it already sees them whole.
 */
struct held_mounts {
  int *fds; /* one per spec mount, -1 where there is no host side */
  int proc;
  bool is_proc_shared; /* of the container around; the step sees its processes */
  int sys;
  int cgroup; /* -1: none can be had */
  int devices[6];
};
struct held_mounts hold_host_side(const struct spec *spec);
void hold_system(const struct spec *spec, struct held_mounts *held); /* its part of /proc, /sys and /dev */

/*
 * No device node works outside the few that are bound into /dev: the step has CAP_MKNOD (dpkg and tar want it), and
 * without a device cgroup a node it made would be the host's disk. An insecure step may do that, in its root and /dev.
 */
#define PLAIN K_MOUNT_ATTR_NODEV

/* Brings up a network of its own, or joins the one that the steps of the build share (carry_network). */
void enter_network(const struct spec *spec);

/* Attaches the root and makes it this process's whole view; returns a descriptor of "/". */
int enter_root(const struct step *step);

/* /proc, /sys and /dev as Docker has them (features rows X6-X11). */
void mount_system(int root, const struct spec *spec, const struct held_mounts *held);

/* The spec's own mounts, in order; reports the mount points that had to be made. */
void mount_requested(int root, const struct spec *spec, const struct held_mounts *held);

void hide_paths(int root, const struct spec *spec);

/* For a step that sees other processes: keeps it from their memory, environment, descriptors and roots, and reports whether. */
void fence_processes(const struct spec *spec);

/* Puts a detached mount on `target` inside the root, which is made when missing. */
void attach(const char *step, int root, int mount_fd, const char *target, bool reports_stub);

struct user {
  uid_t uid;
  gid_t gid;
  gid_t *groups;
  size_t group_count;
  const char *home; /* of the passwd entry; NULL without one */
};
/* `user[:group]` by the image's own files (features rows D90, X57). */
struct user find_user(int root, const char *text);

/* Lower privileges to what the step may have; the order inside matters. */
void set_limits(const struct spec *spec);
void drop_privileges(const struct spec *spec, const struct user *user);
void install_seccomp(void);

/* The slave becomes 0, 1, 2 and the controlling terminal; the master goes to the supervisor. */
void open_terminal(int root, const struct user *user);

__attribute__((noreturn)) void execute(const struct spec *spec, const struct user *user);

#endif
