/* Linked into a sandbox-init that is built with sanitizers (.ci/sanitize.mjs): it is started with an empty environment. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:abort_on_error=1"; }
