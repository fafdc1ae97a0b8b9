#ifndef TSBUILD_REPORT_H
#define TSBUILD_REPORT_H

#include <stdint.h>
#include <stddef.h>

/*
 * Frames: one byte of type, four of length (little endian), the payload. Both hops use them: the step's process to its
 * supervisor (one frame per packet), and the supervisor to TypeScript (builder/sandbox/report.ts, the reading side).
 */
enum frame_type {
  FRAME_STDOUT = 'O',
  FRAME_STDERR = 'E',
  /* u32 errno, step NUL, detail: something before the exec failed, and nothing ran. */
  FRAME_FAILURE = 'F',
  /* i32 exit code, i32 signal, u64 cpu microseconds, u64 peak kilobytes of the largest process. */
  FRAME_EXIT = 'X',
  /* Step to supervisor only: u32 exit code, text for the log: the program could not be executed. */
  FRAME_NOT_EXECUTED = 'N',
  /* Step to supervisor only: two i64 pairs (mtime before and after), path NUL: a mount point was made here. */
  FRAME_STUB = 'S',
  /* Step to supervisor only: the master side of the pseudo terminal is attached. */
  FRAME_TERMINAL = 'T',
  /* Step to supervisor only: the listener of owners.h is attached; u32 uid, u32 gid, u32 count, u32 groups. */
  FRAME_LISTENER = 'L',
  /* u32 uid, u32 gid, path: what owner a link, pipe or socket has that the step made or gave away (owners.h). */
  FRAME_OWNER = 'W',
  /* u8: the step has the /proc of the container around it (system.c); 1 when it can look into no process there (fence.c). */
  FRAME_SHARED_PROC = 'P',
};

#define FRAME_PAYLOAD_MAX 65536u
#define FRAME_HEADER 5u

/* Where this process sends its frames; set once after start or fork. */
extern int report_fd;

void report_frame(enum frame_type type, const void *payload, size_t length);

/* Sends one frame with a descriptor to the supervisor. */
void send_descriptor(int fd, const uint8_t *frame, size_t length);

/* Reports `step` with errno and a printf-style detail, then exits with status 1. */
__attribute__((noreturn, format(printf, 2, 3))) void fail(const char *step, const char *detail, ...);

/* As `fail`, with an errno of our own choosing (0: the detail says it all). */
__attribute__((noreturn, format(printf, 3, 4))) void fail_with(int error, const char *step, const char *detail, ...);

/* write(2) until everything is out; -1 with errno when the other side is gone. */
int write_all(int fd, const void *bytes, size_t length);

void put_u32(uint8_t *out, uint32_t value);
void put_u64(uint8_t *out, uint64_t value);
uint32_t get_u32(const uint8_t *in);
uint64_t get_u64(const uint8_t *in);

/* malloc that reports and exits instead of returning NULL. */
void *must_allocate(size_t size);

#endif
