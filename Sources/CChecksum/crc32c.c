#include "CChecksum.h"

#include <string.h>

/* The instructions are compiled in for this file's functions alone and used only when the processor has them, so the
   program runs on any machine of its architecture. */

#if defined(__x86_64__)

#include <nmmintrin.h>

#define WITH_CRC __attribute__((target("sse4.2")))
#define CRC_WORD(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC_BYTE(crc, byte) _mm_crc32_u8((crc), (byte))

bool cchecksum_has_crc32c(void) { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

#define WITH_CRC __attribute__((target("crc")))
#define CRC_WORD(crc, word) __builtin_arm_crc32cd((crc), (word))
#define CRC_BYTE(crc, byte) __builtin_arm_crc32cb((crc), (byte))

bool cchecksum_has_crc32c(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }

#else

#define WITH_CRC
#define CRC_WORD(crc, word) (crc)
#define CRC_BYTE(crc, byte) (crc)

bool cchecksum_has_crc32c(void) { return false; }

#endif

WITH_CRC uint32_t cchecksum_crc32c(uint32_t crc, const void *bytes, size_t count) {
    const unsigned char *next = bytes;
    uint32_t state = ~crc;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, next, sizeof word);
        state = CRC_WORD(state, word);
        next += 8;
        count -= 8;
    }
    while (count > 0) {
        state = CRC_BYTE(state, *next);
        next += 1;
        count -= 1;
    }
    return ~state;
}
