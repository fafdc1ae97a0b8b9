#pragma once

#include <cstddef>
#include <cstdint>

namespace tsbuild {

// The compression function of SHA-256 (FIPS 180-4, 6.2.2) by the processor's instructions for it.
constexpr size_t shaBlockSize = 64;
using ShaState = uint32_t[8];

// False: this processor has no such instructions, and the other two must not be called.
bool hasShaInstructions();
void shaBlocks(ShaState& state, const uint8_t* data, size_t blocks);
// Two messages at once. Each instruction waits for the one before it of the same message, so that another message is
// done in the gaps.
void shaBlocksOfTwo(ShaState& a, const uint8_t* dataA, ShaState& b, const uint8_t* dataB, size_t blocks);

}  // namespace tsbuild
