# The native parts. `npx node-gyp rebuild -C snapshotter/native` needs only a C++ compiler and Node's own headers;
# ISA-L (Debian: libisal-dev) is used for gzip when its headers are found. `--sanitize=1` builds the addon with
# the address and undefined-behaviour sanitizers, `--sanitize=thread` with the thread sanitizer (.ci/sanitize.mjs runs the
# tests on them).
{
  'variables': {
    'sanitize%': '0',
  },
  'targets': [
    {
      'target_name': 'tsbuild',
      'sources': ['<!@(ls src/*.cc)'],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': ['NAPI_VERSION=9', 'NAPI_CPP_EXCEPTIONS', '_FILE_OFFSET_BITS=64', '_GNU_SOURCE'],
      'cflags': ['-Wall', '-Wextra', '-Werror', '-fvisibility=hidden'],
      'cflags_cc': ['-std=c++17', '-fexceptions'],
      'cflags_cc!': ['-fno-exceptions', '-std=gnu++17', '-std=gnu++20'],
      # node-addon-api's headers leave parameters unused.
      'cflags!': ['-Wno-unused-parameter'],
      # A release has ISA-L beside the addon (.ci/release.mjs).
      'ldflags': ['-Wl,-rpath,\'$$ORIGIN\''],
      'libraries': [
        '<!@(echo "#include <isa-l/igzip_lib.h>" | ${CXX:-c++} -E -x c++ - >/dev/null 2>&1 && echo -lisal || true)',
      ],
      'conditions': [
        ['sanitize==1', {
          'cflags': ['-O1', '-fsanitize=address,undefined', '-fno-omit-frame-pointer', '-g1'],
          'ldflags': ['-fsanitize=address,undefined'],
        }],
        ['sanitize=="thread"', {
          'cflags': ['-O1', '-fsanitize=thread', '-fno-omit-frame-pointer', '-g1'],
          'ldflags': ['-fsanitize=thread'],
        }],
      ],
    },
    {
      # The program that becomes a RUN step; see sandbox-init/main.c.
      'target_name': 'sandbox-init',
      'type': 'executable',
      'sources': ['<!@(ls sandbox-init/*.c)'],
      'defines': ['_GNU_SOURCE', '_FILE_OFFSET_BITS=64'],
      'cflags': ['-Wall', '-Wextra', '-Werror', '-fvisibility=hidden'],
      'cflags_c': ['-std=gnu11'],
      'cflags!': ['-Wno-unused-parameter'],
      'conditions': [
        ['sanitize==1', {
          'cflags': ['-fsanitize=address,undefined', '-fno-omit-frame-pointer', '-g'],
          'ldflags': ['-fsanitize=address,undefined'],
        }],
      ],
    },
  ],
}
