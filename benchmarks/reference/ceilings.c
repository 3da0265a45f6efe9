/* What no simulator of one word per token can beat: the words alone, and words with independent gathers from
 * the workload's own tables, step by step in blocks of runs, as the gathering kernels visit them.
 *
 * Both return a sum of what they read, so that it can be checked and is not optimised away.
 */
#include "words.h"

static u32 sum_words(const u32 *words, int size) {
  u32 sum = 0;
  for (int i = 0; i < size; i++) sum += words[i];
  return sum;
}

/* Words of positions 0..horizon - 1 of each run. */
u32 ceiling_words(u64 seed, i64 runs, i64 horizon) {
  static __thread u32 words[4][BLOCK] __attribute__((aligned(64)));
  u32 sum = 0;
  for (i64 low = 0; low < runs; low += BLOCK) {
    int size = runs - low < BLOCK ? (int)(runs - low) : BLOCK;
    for (i64 n = 0; n < horizon; n++) {
      if (n % 4 == 0) {
        fill(words, size, seed, low, (u32)(n / 4));
        /* All four rows count as read, or stores could be left out. */
        __asm__ volatile("" : : "r"(words) : "memory");
      }
      if (n == horizon - 1) sum += sum_words(words[n % 4], size);
    }
  }
  return sum;
}

/* The same, each word selecting an entry of the table of its step, of 2^bits entries. */
u32 ceiling_gathers(u64 seed, i64 runs, i64 horizon, const u32 *entries, i64 stride, u32 bits) {
  static __thread u32 words[4][BLOCK] __attribute__((aligned(64)));
  u32 sum = 0, mask = (1u << bits) - 1;
  for (i64 low = 0; low < runs; low += BLOCK) {
    int size = runs - low < BLOCK ? (int)(runs - low) : BLOCK;
    for (i64 n = 0; n < horizon; n++) {
      if (n % 4 == 0) fill(words, size, seed, low, (u32)(n / 4));
      const u32 *word = words[n % 4], *table = entries + n * stride;
      int i = 0;
#ifdef __AVX512F__
      __m512i sums = _mm512_setzero_si512(), masks = _mm512_set1_epi32(mask);
#pragma GCC unroll 4
      for (; i + 16 <= size; i += 16) {
        __m512i index = _mm512_and_si512(_mm512_load_si512(word + i), masks);
        sums = _mm512_add_epi32(
            sums, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF, index, table, 4));
      }
      sum += _mm512_reduce_add_epi32(sums);
#endif
      for (; i < size; i++) sum += table[word[i] & mask];
    }
  }
  return sum;
}
