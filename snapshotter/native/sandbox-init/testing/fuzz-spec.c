#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../report.h"
#include "../spec.h"

/*
 * fuzz-spec ROUNDS SEED < SPEC: changes a good spec in ROUNDS ways and lets the parser read each in a process of its own,
 * which has to accept or to refuse it. Built with sanitizers by builder/sandbox/fuzz-spec.test.ts.
 */
static uint8_t good[1 << 20], bytes[1 << 20];

static uint32_t random_below(uint64_t *state, uint32_t limit) {
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)((*state >> 33) % limit);
}

static size_t mutate(uint64_t *state, size_t length) {
  static const uint32_t odd[] = {0, 1, 2, 0x7f, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 65536, 65537};
  memcpy(bytes, good, length);
  for (uint32_t i = random_below(state, 6) + 1; i > 0; i--) {
    size_t at = 8 + random_below(state, (uint32_t)length - 12);
    switch (random_below(state, 4)) {
      case 0: bytes[at] = (uint8_t)random_below(state, 256); break;
      case 1: put_u32(bytes + at, odd[random_below(state, sizeof odd / sizeof *odd)]); break;
      case 2: memmove(bytes + at, bytes + at + 1, length - at - 1); break;
      case 3: length = at + 4; break;
    }
    if (length < 16) break;
  }
  /* Mostly the length in front is right, or nothing past it would be tried. */
  if (random_below(state, 10) > 0) put_u32(bytes + 4, (uint32_t)length - 8);
  return length;
}

static int read_one(size_t length) {
  int fd = memfd_create("spec", 0);
  if (fd < 0 || write_all(fd, bytes, length) != 0 || lseek(fd, 0, SEEK_SET) != 0) abort();
  pid_t child = fork();
  if (child < 0) abort();
  if (child == 0) {
    report_fd = memfd_create("report", 0);
    read_spec(fd);
    _exit(0);
  }
  int status;
  if (waitpid(child, &status, 0) != child) abort();
  close(fd);
  return status;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  size_t length = fread(good, 1, sizeof good, stdin);
  uint64_t state = strtoull(argv[2], NULL, 10);
  int accepted = 0;
  memcpy(bytes, good, length);
  if (length < 32 || read_one(length) != 0) return fprintf(stderr, "the good spec was refused\n"), 1;
  for (long round = 0; round < atol(argv[1]); round++) {
    int status = read_one(mutate(&state, length));
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) return fprintf(stderr, "round %ld of seed %s: status %#x\n", round, argv[2], status), 1;
    accepted += WEXITSTATUS(status) == 0;
  }
  printf("%d accepted\n", accepted);
  return 0;
}
