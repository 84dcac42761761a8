#ifndef CCHECKSUM_H
#define CCHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Whether the processor has instructions for CRC-32C.
bool cchecksum_has_crc32c(void);

/// Continues the CRC-32C `crc` over `count` bytes with the processor's instructions, which it must have.
uint32_t cchecksum_crc32c(uint32_t crc, const void *bytes, size_t count);

#endif
