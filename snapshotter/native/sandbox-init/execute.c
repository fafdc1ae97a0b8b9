#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "report.h"
#include "step.h"

static const char *lookup(const char *const *env, const char *name) {
  size_t length = strlen(name);
  const char *found = NULL;
  /* The last one wins, as for a shell that imports them in order. */
  for (; *env != NULL; env++)
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') found = *env + length + 1;
  return found;
}

/* HOME as runc sets it: the account's directory when the environment has none, else "/" (X20). */
static const char **with_home(const struct spec *spec, const struct user *user) {
  const char *home = lookup(spec->env.items, "HOME");
  if (home != NULL && *home != '\0') return spec->env.items;
  const char *directory = user->home != NULL && *user->home != '\0' ? user->home : "/";
  const char **env = must_allocate((spec->env.count + 2) * sizeof *env);
  uint32_t count = 0;
  for (uint32_t i = 0; i < spec->env.count; i++)
    if (strncmp(spec->env.items[i], "HOME=", 5) != 0) env[count++] = spec->env.items[i];
  char *entry = must_allocate(strlen(directory) + 6);
  strcpy(entry, "HOME=");
  strcat(entry, directory);
  env[count] = entry;
  return env;
}

/* The words are those of Docker's runtime, which people search for; 127 and 126 as of a shell. */
static void not_executed(uint32_t code, const char *format, const char *name, const char *reason) {
  char payload[PATH_MAX + 512];
  put_u32((uint8_t *)payload, code);
  int length = snprintf(payload + 4, sizeof payload - 4, format, name, reason);
  if (length > (int)sizeof payload - 5) length = (int)sizeof payload - 5;
  report_frame(FRAME_NOT_EXECUTED, payload, 4 + (size_t)length);
  _exit(1);
}

static void explain(const char *name, int error) {
  struct stat stat_result;
  if (error == ENOENT && stat(name, &stat_result) != 0)
    not_executed(127, "exec: \"%1$s\": stat %1$s: %2$s\n", name, "no such file or directory");
  if (error == ENOENT) not_executed(127, "exec %s: %s (its interpreter is missing)\n", name, "no such file or directory");
  if (error == ENOTDIR || error == ELOOP) not_executed(127, "exec: \"%s\": %s\n", name, strerror(error));
  if (error == EACCES && stat(name, &stat_result) == 0 && S_ISDIR(stat_result.st_mode))
    not_executed(126, "exec: \"%s\": %s\n", name, "is a directory");
  if (error == EACCES) not_executed(126, "exec: \"%s\": %s\n", name, "permission denied");
  if (error == ENOEXEC) not_executed(126, "exec %s: %s\n", name, "exec format error");
  not_executed(126, "exec %s: %s\n", name, strerror(error));
}

void execute(const struct spec *spec, const struct user *user) {
  const char **env = with_home(spec, user);
  const char *name = spec->args.items[0];
  char *const *argv = (char *const *)spec->args.items;
  char *const *envp = (char *const *)env;
  if (*name == '\0') not_executed(127, "exec: \"%s\": %s\n", name, "executable file not found in $PATH");
  if (strchr(name, '/') != NULL) {
    execve(name, argv, envp);
    explain(name, errno);
  }
  const char *path = lookup(env, "PATH");
  int remembered = 0;
  char candidate[PATH_MAX];
  for (const char *at = path == NULL ? "" : path; *at != '\0';) {
    size_t length = strcspn(at, ":");
    /* An empty element would be the working directory: as Go's LookPath, refuse it. */
    bool fits = length > 0 && length + 1 + strlen(name) + 1 <= sizeof candidate;
    if (fits) {
      memcpy(candidate, at, length);
      candidate[length] = '/';
      strcpy(candidate + length + 1, name);
      struct stat stat_result;
      execve(candidate, argv, envp);
      int error = errno;
      bool is_absent = error == ENOTDIR || (error == ENOENT && stat(candidate, &stat_result) != 0);
      bool is_not_for_us = error == EACCES;
      if (is_not_for_us) remembered = error;
      if (!is_absent && !is_not_for_us) explain(candidate, error);
    }
    at += length;
    if (*at == ':') at++;
  }
  if (remembered != 0) not_executed(126, "exec: \"%s\": %s\n", name, "permission denied");
  not_executed(127, "exec: \"%s\": %s\n", name, "executable file not found in $PATH");
  _exit(1);
}
