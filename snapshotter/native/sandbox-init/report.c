#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int report_fd = -1;

void put_u32(uint8_t *out, uint32_t value) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (8 * i));
}

void put_u64(uint8_t *out, uint64_t value) {
  for (int i = 0; i < 8; i++) out[i] = (uint8_t)(value >> (8 * i));
}

uint32_t get_u32(const uint8_t *in) {
  return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

uint64_t get_u64(const uint8_t *in) { return (uint64_t)get_u32(in) | (uint64_t)get_u32(in + 4) << 32; }

int write_all(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t done = write(fd, at, length);
    if (done < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    at += done;
    length -= (size_t)done;
  }
  return 0;
}

void report_frame(enum frame_type type, const void *payload, size_t length) {
  /* One buffer, so that a frame is one packet on the seqpacket hop. */
  static uint8_t frame[FRAME_HEADER + FRAME_PAYLOAD_MAX];
  if (length > FRAME_PAYLOAD_MAX) length = FRAME_PAYLOAD_MAX;
  frame[0] = (uint8_t)type;
  put_u32(frame + 1, (uint32_t)length);
  memcpy(frame + FRAME_HEADER, payload, length);
  /* Nobody left to tell: the reader's end is what decides this process's fate then. */
  if (report_fd < 0 || write_all(report_fd, frame, FRAME_HEADER + length) != 0) _exit(1);
}

void send_descriptor(int fd, const uint8_t *frame, size_t length) {
  struct iovec bytes = {.iov_base = (void *)(uintptr_t)frame, .iov_len = length};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(report_fd, &message, 0) < 0) fail("report", "could not hand over a descriptor");
}

static void fail_formatted(int error, const char *step, const char *detail, va_list arguments) {
  char payload[4096 + 64];
  put_u32((uint8_t *)payload, (uint32_t)error);
  size_t step_length = strnlen(step, 63);
  memcpy(payload + 4, step, step_length);
  payload[4 + step_length] = '\0';
  size_t used = 4 + step_length + 1;
  int written = vsnprintf(payload + used, sizeof payload - used, detail, arguments);
  if (written < 0) written = 0;
  size_t length = used + (size_t)written;
  if (length > sizeof payload - 1) length = sizeof payload - 1;
  if (report_fd >= 0) report_frame(FRAME_FAILURE, payload, length);
  else dprintf(2, "sandbox-init: %s: %s (errno %d: %s)\n", step, payload + used, error, strerror(error));
}

void fail(const char *step, const char *detail, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, detail);
  fail_formatted(error, step, detail, arguments);
  va_end(arguments);
  _exit(1);
}

void fail_with(int error, const char *step, const char *detail, ...) {
  va_list arguments;
  va_start(arguments, detail);
  fail_formatted(error, step, detail, arguments);
  va_end(arguments);
  _exit(1);
}

void *must_allocate(size_t size) {
  void *memory = calloc(1, size ? size : 1);
  if (memory == NULL) fail("memory", "could not allocate %zu bytes", size);
  return memory;
}
