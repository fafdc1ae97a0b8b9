#ifndef TSBUILD_CHROOT_H
#define TSBUILD_CHROOT_H

#include "spec.h"

/*
 * Steps where nothing can be mounted and no namespace be made (a plain container): the root is a directory, entered by
 * chroot(2), and what would be a mount is moved into it for as long as the step runs, and back after.
 */
void place_mounts(int root_dir, const struct spec *spec);
void take_mounts_back(void);

/* Kills and reaps whatever the step left behind; this process must be their subreaper. */
void kill_descendants(void);

/* Makes the directory this process's root; returns a descriptor of "/". */
int enter_directory(int root_dir);

#endif
