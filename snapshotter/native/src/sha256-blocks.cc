#include "sha256-blocks.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include <cstdlib>

#define TSBUILD_SHA __attribute__((target("sha,sse4.1")))
#define TSBUILD_SHA_INLINE __attribute__((target("sha,sse4.1"), always_inline)) inline

namespace tsbuild {

namespace {

// FIPS 180-4, 4.2.2.
alignas(16) constexpr uint32_t roundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// One message on its way through a block: the state as the instructions want it (ABEF, CDGH), and the last sixteen words
// of its schedule.
struct Lane {
  __m128i abef;
  __m128i cdgh;
  __m128i words[4];
};

TSBUILD_SHA_INLINE void load(Lane& lane, const ShaState& state) {
  const __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
  const __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  lane.abef = _mm_alignr_epi8(cdab, efgh, 8);
  lane.cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

TSBUILD_SHA_INLINE void store(ShaState& state, const Lane& lane) {
  const __m128i feba = _mm_shuffle_epi32(lane.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(lane.cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

TSBUILD_SHA_INLINE void loadWords(Lane& lane, const uint8_t* data, int group) {
  const __m128i bigEndian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  lane.words[group] = _mm_shuffle_epi8(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * group)), bigEndian);
}

// Four rounds; `group` counts them from 0 to 15.
TSBUILD_SHA_INLINE void rounds(Lane& lane, int group) {
  __m128i input = _mm_add_epi32(lane.words[group & 3],
                                _mm_load_si128(reinterpret_cast<const __m128i*>(roundConstants + 4 * group)));
  lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, input);
  input = _mm_shuffle_epi32(input, 0x0e);
  lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, input);
}

// The words that the rounds of `group` + 4 take.
TSBUILD_SHA_INLINE void schedule(Lane& lane, int group) {
  const __m128i w0 = lane.words[group & 3];
  const __m128i w1 = lane.words[(group + 1) & 3];
  const __m128i w2 = lane.words[(group + 2) & 3];
  const __m128i w3 = lane.words[(group + 3) & 3];
  const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
  lane.words[group & 3] = _mm_sha256msg2_epu32(sum, w3);
}

}  // namespace

bool hasShaInstructions() {
  static const bool has = [] {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    constexpr unsigned shaBit = 1u << 29;
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & shaBit) != 0;
  }();
  // For tests: what a processor without them does.
  return has && std::getenv("TSBUILD_NATIVE_NO_SHA") == nullptr;
}

TSBUILD_SHA void shaBlocks(ShaState& state, const uint8_t* data, size_t blocks) {
  Lane lane;
  load(lane, state);
  for (; blocks > 0; blocks--, data += shaBlockSize) {
    const __m128i abef = lane.abef;
    const __m128i cdgh = lane.cdgh;
#pragma GCC unroll 4
    for (int group = 0; group < 4; group++) loadWords(lane, data, group);
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) {
      rounds(lane, group);
      if (group < 12) schedule(lane, group);
    }
    lane.abef = _mm_add_epi32(lane.abef, abef);
    lane.cdgh = _mm_add_epi32(lane.cdgh, cdgh);
  }
  store(state, lane);
}

TSBUILD_SHA void shaBlocksOfTwo(ShaState& a, const uint8_t* dataA, ShaState& b, const uint8_t* dataB, size_t blocks) {
  Lane laneA;
  Lane laneB;
  load(laneA, a);
  load(laneB, b);
  for (; blocks > 0; blocks--, dataA += shaBlockSize, dataB += shaBlockSize) {
    const __m128i abefA = laneA.abef;
    const __m128i cdghA = laneA.cdgh;
    const __m128i abefB = laneB.abef;
    const __m128i cdghB = laneB.cdgh;
#pragma GCC unroll 4
    for (int group = 0; group < 4; group++) {
      loadWords(laneA, dataA, group);
      loadWords(laneB, dataB, group);
    }
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) {
      rounds(laneA, group);
      rounds(laneB, group);
      if (group >= 12) continue;
      schedule(laneA, group);
      schedule(laneB, group);
    }
    laneA.abef = _mm_add_epi32(laneA.abef, abefA);
    laneA.cdgh = _mm_add_epi32(laneA.cdgh, cdghA);
    laneB.abef = _mm_add_epi32(laneB.abef, abefB);
    laneB.cdgh = _mm_add_epi32(laneB.cdgh, cdghB);
  }
  store(a, laneA);
  store(b, laneB);
}

}  // namespace tsbuild

#else

namespace tsbuild {

bool hasShaInstructions() { return false; }
void shaBlocks(ShaState&, const uint8_t*, size_t) {}
void shaBlocksOfTwo(ShaState&, const uint8_t*, ShaState&, const uint8_t*, size_t) {}

}  // namespace tsbuild

#endif
