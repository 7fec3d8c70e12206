#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/*
 * A fuzz target is one function that takes any bytes and returns 0; it may
 * not crash, hang or leak. tests/fuzz/replay.c calls it on a corpus.
 */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
