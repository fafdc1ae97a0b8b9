#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"
#include "step.h"

/*
 * Docker's default profile (moby/profiles, seccomp/default.json) as it is with Docker's default capabilities: what is in
 * the table is allowed, other known calls fail with EPERM, calls newer than the table with ENOSYS, so that a newer C
 * library falls back instead of giving up. Programs of the machine's 32-bit architecture have the same rules.
 */
struct syscall_numbers {
  int amd64, i386, arm64, arm;
};

static const struct syscall_numbers table[] = {
#define ALLOW(name, amd64, i386, arm64, arm) {amd64, i386, arm64, arm},
#include "seccomp-table.h"
#undef ALLOW
};
#define TABLE_COUNT (sizeof table / sizeof *table)

#define NUMBERS_MAX 512
#define PROGRAM_MAX 4096

/* The calls that are judged by their arguments. */
struct special_numbers {
  uint32_t socket, personality, clone, clone3;
};

struct architecture {
  uint32_t audit;
  size_t column; /* offset in struct syscall_numbers */
  struct special_numbers special;
};

static const struct architecture architectures[] = {
#if defined(__x86_64__)
    {AUDIT_ARCH_X86_64, offsetof(struct syscall_numbers, amd64), {41, 135, 56, 435}},
    {AUDIT_ARCH_I386, offsetof(struct syscall_numbers, i386), {359, 136, 120, 435}},
#elif defined(__aarch64__)
    {AUDIT_ARCH_AARCH64, offsetof(struct syscall_numbers, arm64), {198, 92, 220, 435}},
    {AUDIT_ARCH_ARM, offsetof(struct syscall_numbers, arm), {281, 136, 120, 435}},
#else
#error "add this architecture's numbers to the table"
#endif
};

struct program {
  struct sock_filter code[PROGRAM_MAX];
  unsigned short length;
};

static void emit(struct program *program, struct sock_filter instruction) {
  if (program->length >= PROGRAM_MAX) fail_with(E2BIG, "seccomp", "the filter does not fit");
  program->code[program->length++] = instruction;
}

static void statement(struct program *program, uint16_t code, uint32_t value) {
  emit(program, (struct sock_filter)BPF_STMT(code, value));
}

static void jump(struct program *program, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false) {
  emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | code | BPF_K, value, if_true, if_false));
}

#define RETURN_ALLOW SECCOMP_RET_ALLOW
#define RETURN_DENY (SECCOMP_RET_ERRNO | EPERM)
#define RETURN_UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS)

static void give(struct program *program, uint32_t verdict) { statement(program, BPF_RET | BPF_K, verdict); }

/* The low half is all that the kernel looks at in the arguments judged here, all of them ints or low flags. */
static void load_first_argument(struct program *program) {
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the low half of an argument lies elsewhere here"
#endif
  statement(program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
}

/* Verdicts for the value that is loaded: allow inside one of the sorted ranges, else `between` or, past the last, `after`. */
struct range {
  uint32_t low, high;
};
static void allow_ranges(struct program *program, const struct range *ranges, size_t count, uint32_t between, uint32_t after) {
  for (size_t i = 0; i < count; i++) {
    jump(program, BPF_JGT, ranges[i].high, 3, 0);
    jump(program, BPF_JGE, ranges[i].low, 0, 1);
    give(program, RETURN_ALLOW);
    give(program, between);
  }
  give(program, after);
}

/* Begins a block for one call; `end_block` fixes the jump over it. */
static unsigned short begin_block(struct program *program, uint32_t number) {
  jump(program, BPF_JEQ, number, 1, 0);
  statement(program, BPF_JMP | BPF_JA, 0);
  return (unsigned short)(program->length - 1);
}

static void end_block(struct program *program, unsigned short skip) {
  program->code[skip].k = (uint32_t)(program->length - skip - 1);
}

static void judge_arguments(struct program *program, const struct special_numbers *special) {
  /* Address families: without AF_ALG, AF_VSOCK and other ways around the network namespace or into old code. */
  static const struct range families[] = {{0, 11}, {13, 18}, {21, 22}, {24, 24}, {26, 33}, {35, 36}, {39, 39}, {41, 45}};
  unsigned short skip = begin_block(program, special->socket);
  load_first_argument(program);
  allow_ranges(program, families, sizeof families / sizeof *families, RETURN_DENY, RETURN_DENY);
  end_block(program, skip);

  static const struct range personalities[] = {{0, 0}, {8, 8}, {0x20000, 0x20000}, {0x20008, 0x20008}, {0xffffffff, 0xffffffff}};
  skip = begin_block(program, special->personality);
  load_first_argument(program);
  allow_ranges(program, personalities, sizeof personalities / sizeof *personalities, RETURN_DENY, RETURN_DENY);
  end_block(program, skip);

  /* No new namespaces: CLONE_NEW*. clone3 keeps its flags in memory, so programs are sent back to clone. */
  skip = begin_block(program, special->clone);
  load_first_argument(program);
  jump(program, BPF_JSET, 0x7e020000, 0, 1);
  give(program, RETURN_DENY);
  give(program, RETURN_ALLOW);
  end_block(program, skip);
  skip = begin_block(program, special->clone3);
  give(program, RETURN_UNKNOWN);
  end_block(program, skip);
}

static void judge_numbers(struct program *program, const struct architecture *architecture) {
  uint8_t is_allowed[NUMBERS_MAX] = {0};
  struct range ranges[NUMBERS_MAX];
  size_t count = 0;
  for (size_t i = 0; i < TABLE_COUNT; i++) {
    int number;
    memcpy(&number, (const char *)&table[i] + architecture->column, sizeof number);
    if (number >= 0 && number < NUMBERS_MAX) is_allowed[number] = 1;
  }
  for (uint32_t number = 0; number < NUMBERS_MAX; number++) {
    if (!is_allowed[number]) continue;
    if (count > 0 && ranges[count - 1].high + 1 == number) ranges[count - 1].high = number;
    else ranges[count++] = (struct range){number, number};
  }
  /* 32-bit ARM has private calls far above: breakpoint, cacheflush, set_tls. */
  if (architecture->audit == AUDIT_ARCH_ARM) {
    ranges[count++] = (struct range){0xf0001, 0xf0002};
    ranges[count++] = (struct range){0xf0005, 0xf0005};
  }
  allow_ranges(program, ranges, count, RETURN_DENY, RETURN_UNKNOWN);
}

void install_seccomp(void) {
  static struct program program;
  for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
    statement(&program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    unsigned short skip = begin_block(&program, architectures[i].audit);
    statement(&program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    judge_arguments(&program, &architectures[i].special);
    judge_numbers(&program, &architectures[i]);
    end_block(&program, skip);
  }
  give(&program, RETURN_DENY);
  struct sock_fprog filter = {.len = program.length, .filter = program.code};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) {
    /* A kernel without filters: Docker goes on as well (features row X4). */
    if (errno != EINVAL && errno != ENOSYS) fail("seccomp", "could not install the filter of %u instructions", program.length);
  }
}
