#include "spec.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

#define SPEC_MAGIC 0x32425354u /* "TSB2" */
#define SPEC_BYTES_MAX (64u << 20)
#define LIST_MAX 65536u
#define MOUNTS_MAX 4096u

struct reader {
  const uint8_t *at;
  size_t left;
};

static uint32_t read_u32(struct reader *in) {
  if (in->left < 4) fail_with(EINVAL, "spec", "ends inside a number");
  uint32_t value = get_u32(in->at);
  in->at += 4;
  in->left -= 4;
  return value;
}

static uint64_t read_u64(struct reader *in) {
  uint64_t low = read_u32(in);
  return low | (uint64_t)read_u32(in) << 32;
}

static uint32_t read_choice(struct reader *in, uint32_t max, const char *what) {
  uint32_t value = read_u32(in);
  /* An unknown value must never select a laxer branch (GHSA-7236-3392-c5c6). */
  if (value > max) fail_with(EINVAL, "spec", "unknown value %u for %s", value, what);
  return value;
}

/* Length, bytes, NUL: the NUL lets strings be used in place. */
static const uint8_t *read_bytes(struct reader *in, uint32_t *length) {
  *length = read_u32(in);
  if (in->left < (size_t)*length + 1 || in->at[*length] != '\0') fail_with(EINVAL, "spec", "ends inside a string");
  const uint8_t *bytes = in->at;
  in->at += (size_t)*length + 1;
  in->left -= (size_t)*length + 1;
  return bytes;
}

static const char *read_string(struct reader *in) {
  uint32_t length;
  const char *text = (const char *)read_bytes(in, &length);
  if (strlen(text) != length) fail_with(EINVAL, "spec", "NUL inside a string");
  return text;
}

static struct string_list read_list(struct reader *in) {
  struct string_list list = {.count = read_u32(in)};
  if (list.count > LIST_MAX) fail_with(E2BIG, "spec", "list of %u items", list.count);
  list.items = must_allocate((list.count + 1) * sizeof *list.items);
  for (uint32_t i = 0; i < list.count; i++) list.items[i] = read_string(in);
  return list;
}

static struct tree read_tree(struct reader *in) {
  struct tree tree = {.kind = (enum root_kind)read_choice(in, ROOT_BIND, "tree kind")};
  if (tree.kind == ROOT_BIND) {
    tree.dir = read_string(in);
    return tree;
  }
  tree.user_xattr = read_choice(in, 1, "user xattr");
  tree.use_option_string = read_choice(in, 1, "option string");
  tree.upper = read_string(in);
  tree.work = read_string(in);
  tree.lowers = read_list(in);
  return tree;
}

static void read_mount(struct reader *in, struct sandbox_mount *mount) {
  mount->kind = (enum mount_kind)read_choice(in, MOUNT_SOCKET, "mount kind");
  mount->is_readonly = read_choice(in, 1, "read-only");
  mount->target = read_string(in);
  switch (mount->kind) {
    case MOUNT_TREE:
      mount->tree = read_tree(in);
      mount->source = read_string(in);
      return;
    case MOUNT_TMPFS:
      mount->size_bytes = read_u64(in);
      return;
    case MOUNT_FILE:
      mount->mode = read_choice(in, 07777, "mode");
      mount->uid = read_u32(in);
      mount->gid = read_u32(in);
      mount->content = read_bytes(in, &mount->content_length);
      return;
    case MOUNT_SOCKET:
      mount->host_path = read_string(in);
      return;
  }
}

static struct reader read_whole(int fd) {
  uint8_t header[8];
  size_t used = 0, wanted = sizeof header;
  uint8_t *into = header, *body = NULL;
  for (;;) {
    ssize_t got = read(fd, into + used, wanted - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("spec", "could not read it");
    /* The caller went away before it said what to do: nothing to report to anyone. */
    if (got == 0) _exit(1);
    used += (size_t)got;
    if (used < wanted) continue;
    if (body != NULL) return (struct reader){.at = body, .left = wanted};
    if (get_u32(header) != SPEC_MAGIC) fail_with(EINVAL, "spec", "is of another version of tsbuild");
    wanted = get_u32(header + 4);
    if (wanted == 0 || wanted > SPEC_BYTES_MAX) fail_with(E2BIG, "spec", "of %zu bytes", wanted);
    into = body = must_allocate(wanted);
    used = 0;
  }
}

struct spec *read_spec(int fd) {
  struct reader reader = read_whole(fd), *in = &reader;
  struct spec *spec = must_allocate(sizeof *spec);
  spec->stdio = read_choice(in, STDIO_TERMINAL, "stdio");
  spec->network = read_choice(in, NETWORK_JOIN, "network");
  spec->network_namespace = read_string(in);
  spec->new_cgroup_namespace = read_choice(in, 1, "cgroup namespace");
  spec->use_seccomp = read_choice(in, 1, "seccomp");
  spec->is_confined = read_choice(in, 1, "confinement");
  spec->is_chroot = read_choice(in, 1, "chroot");
  spec->records_owners = read_choice(in, 1, "recorded owners");
  spec->capabilities = read_u64(in);
  spec->shm_size_bytes = read_u64(in);
  spec->root = read_tree(in);
  spec->args = read_list(in);
  if (spec->args.count == 0) fail_with(EINVAL, "spec", "has no command");
  spec->env = read_list(in);
  spec->cwd = read_string(in);
  spec->user = read_string(in);
  spec->hostname = read_string(in);
  spec->masked_paths = read_list(in);
  spec->readonly_paths = read_list(in);
  spec->cgroup_procs = read_list(in);
  spec->mount_count = read_u32(in);
  if (spec->mount_count > MOUNTS_MAX) fail_with(E2BIG, "spec", "has %u mounts", spec->mount_count);
  spec->mounts = must_allocate(spec->mount_count * sizeof *spec->mounts);
  for (uint32_t i = 0; i < spec->mount_count; i++) read_mount(in, &spec->mounts[i]);
  spec->limit_count = read_u32(in);
  if (spec->limit_count > 64) fail_with(E2BIG, "spec", "has %u resource limits", spec->limit_count);
  spec->limits = must_allocate(spec->limit_count * sizeof *spec->limits);
  for (uint32_t i = 0; i < spec->limit_count; i++) {
    spec->limits[i].resource = read_u32(in);
    spec->limits[i].soft = read_u64(in);
    spec->limits[i].hard = read_u64(in);
  }
  if (in->left != 0) fail_with(EINVAL, "spec", "has %zu bytes too many", in->left);
  return spec;
}
