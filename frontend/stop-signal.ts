const REALTIME_ABOVE_MIN = 15
const REALTIME_BELOW_MAX = 14
const NAMES: ReadonlySet<string> = new Set([
  ...(
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP ' +
    'SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
  ...Array.from({ length: REALTIME_ABOVE_MIN }, (_, index) => `RTMIN+${index + 1}`),
  ...Array.from({ length: REALTIME_BELOW_MAX }, (_, index) => `RTMAX-${index + 1}`),
])

/** True for what STOPSIGNAL takes: a Linux signal with or without `SIG`, in any case, or a number but 0 (row D85). */
export function isStopSignal(text: string): boolean {
  if (/^[+-]?\d+$/.test(text)) return Number(text) !== 0
  return NAMES.has(text.toUpperCase().replace(/^SIG/, ''))
}
