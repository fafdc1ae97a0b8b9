/*
 * The calls that the process of owners-serve.c answers, beside opening with O_CREAT. Included where CALL(name) is defined;
 * what an architecture does not have is left out.
 */
#include <sys/syscall.h>

#define ID_CALLS \
  CALL(getuid) CALL(geteuid) CALL(getgid) CALL(getegid) CALL(getresuid) CALL(getresgid) CALL(getgroups) \
  CALL(setuid) CALL(setgid) CALL(setreuid) CALL(setregid) CALL(setresuid) CALL(setresgid) \
  CALL(setfsuid) CALL(setfsgid) CALL(setgroups)

#define FILE_CALLS_EVERYWHERE \
  CALL(fchown) CALL(fchownat) CALL(mkdirat) CALL(symlinkat) CALL(mknodat) CALL(openat2) \
  CALL(fstat) CALL(newfstatat) CALL(statx) CALL(execve) CALL(execveat)

#ifdef SYS_chown
#define FILE_CALLS_OLD \
  CALL(chown) CALL(lchown) CALL(mkdir) CALL(symlink) CALL(mknod) CALL(creat) CALL(stat) CALL(lstat)
#else
#define FILE_CALLS_OLD
#endif

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

#define FILE_CALLS FILE_CALLS_EVERYWHERE FILE_CALLS_OLD
