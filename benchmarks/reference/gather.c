/* Collapsed decoding by alias tables, one gather per token: the method of specsim's alias engine, by hand. */
#include <string.h>

#include "words.h"

#define PACKED_TOKENS 8

static u32 step(const u32 *words, const u32 *entries, u32 bits, u32 *row, u32 *rejections, int size) {
  u32 mask = (1u << bits) - 1, half = bits - 1, below = mask >> 1, total = 0;
  int i = 0;
#ifdef __AVX512F__
  __m512i masks = _mm512_set1_epi32(mask), belows = _mm512_set1_epi32(below), sum = _mm512_setzero_si512();
  __m512i shift = _mm512_set1_epi32(bits), down = _mm512_set1_epi32(half);
#pragma GCC unroll 4
  for (; i + 16 <= size; i += 16) {
    __m512i word = _mm512_load_si512(words + i);
    __m512i column = _mm512_and_si512(word, masks);
    __m512i index = _mm512_or_si512(_mm512_sllv_epi32(_mm512_load_si512(row + i), shift), column);
    /* Into a cleared register: a gather into an undefined one waits for the register's last use. */
    __m512i entry = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF, index, entries, 4);
    __mmask16 own = _mm512_cmplt_epu32_mask(_mm512_or_si512(word, masks), entry);
    __m512i atom = _mm512_mask_mov_epi32(_mm512_and_si512(entry, masks), own, column);
    __m512i rejected = _mm512_srlv_epi32(atom, down);
    _mm512_store_si512(row + i, _mm512_and_si512(atom, belows));
    _mm512_store_si512(rejections + i, _mm512_add_epi32(_mm512_load_si512(rejections + i), rejected));
    sum = _mm512_add_epi32(sum, rejected);
  }
  total = _mm512_reduce_add_epi32(sum);
#elif defined(__AVX2__)
  __m256i masks = _mm256_set1_epi32(mask), belows = _mm256_set1_epi32(below), sum = _mm256_setzero_si256();
  __m256i sign = _mm256_set1_epi32(0x80000000);
  __m128i shift = _mm_cvtsi32_si128(bits), down = _mm_cvtsi32_si128(half);
  for (; i + 8 <= size; i += 8) {
    __m256i word = _mm256_load_si256((const __m256i *)(words + i));
    __m256i column = _mm256_and_si256(word, masks);
    __m256i index = _mm256_or_si256(_mm256_sll_epi32(_mm256_load_si256((__m256i *)(row + i)), shift), column);
    __m256i entry = _mm256_i32gather_epi32((const int *)entries, index, 4);
    __m256i own = _mm256_cmpgt_epi32(_mm256_xor_si256(entry, sign),
                                     _mm256_xor_si256(_mm256_or_si256(word, masks), sign));
    __m256i atom = _mm256_blendv_epi8(_mm256_and_si256(entry, masks), column, own);
    __m256i rejected = _mm256_srl_epi32(atom, down);
    __m256i *count = (__m256i *)(rejections + i);
    _mm256_store_si256((__m256i *)(row + i), _mm256_and_si256(atom, belows));
    _mm256_store_si256(count, _mm256_add_epi32(_mm256_load_si256(count), rejected));
    sum = _mm256_add_epi32(sum, rejected);
  }
  u32 parts[8];
  _mm256_storeu_si256((__m256i *)parts, sum);
  for (int j = 0; j < 8; j++) total += parts[j];
#endif
  for (; i < size; i++) {
    u32 atom = draw(entries + ((u64)row[i] << bits), bits, words[i]);
    row[i] = atom & below;
    rejections[i] += atom >> half;
    total += atom >> half;
  }
  return total;
}

/* Eight byte counters per 64-bit lane. */
static void count_packed(const u32 *row, int size, i64 *counts, int tokens) {
  u64 sums[64] __attribute__((aligned(64))) = {0};
  int i = 0;
#ifdef __AVX512F__
  __m512i parts[8], one = _mm512_set1_epi64(1);
  for (int j = 0; j < 8; j++) parts[j] = _mm512_setzero_si512();
  for (; i + 64 <= size; i += 64)
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
      __m512i token = _mm512_cvtepu32_epi64(_mm256_load_si256((const __m256i *)(row + i + 8 * j)));
      parts[j] = _mm512_add_epi64(parts[j], _mm512_sllv_epi64(one, _mm512_slli_epi64(token, 3)));
    }
  for (int j = 0; j < 8; j++) _mm512_store_si512(sums + 8 * j, parts[j]);
#else
  for (; i + 64 <= size; i += 64)
    for (int lane = 0; lane < 64; lane++) sums[lane] += (u64)1 << (8 * row[i + lane]);
#endif
  for (; i < size; i++) sums[i & 63] += (u64)1 << (8 * row[i]);
  u64 even = 0, odd = 0, bytes = 0x00FF00FF00FF00FF;
  for (int lane = 0; lane < 64; lane++) {
    even += sums[lane] & bytes;
    odd += (sums[lane] >> 8) & bytes;
  }
  for (int token = 0; token < tokens; token++)
    counts[token] += ((token & 1 ? odd : even) >> (16 * (token >> 1))) & 0xFFFF;
}

void simulate_gather(u64 seed, u64 first_run, i64 runs, i64 horizon, const u32 *initial, u32 initial_bits,
                     const u32 *entries, i64 stride, u32 bits, i64 tokens, i64 *token_count, i64 *by_step,
                     i64 *rejection_count) {
  static __thread u32 words[4][BLOCK] __attribute__((aligned(64)));
  static __thread u32 row[BLOCK] __attribute__((aligned(64))), rejections[BLOCK] __attribute__((aligned(64)));
  for (i64 low = 0; low < runs;) {
    u64 run = first_run + low;
    int size = until_carry(run, runs - low < BLOCK ? (int)(runs - low) : BLOCK);
    memset(rejections, 0, sizeof rejections);
    fill(words, size, seed, run, 0);
    for (int i = 0; i < size; i++) row[i] = draw(initial, initial_bits, words[0][i]);
    for (i64 n = 1; n <= horizon; n++) {
      if (n % 4 == 0) fill(words, size, seed, run, (u32)(n / 4));
      by_step[n - 1] += step(words[n % 4], entries + (n - 1) * stride, bits, row, rejections, size);
      i64 *counts = token_count + (n - 1) * tokens;
      if (tokens <= PACKED_TOKENS)
        count_packed(row, size, counts, (int)tokens);
      else
        for (int i = 0; i < size; i++) counts[row[i]]++;
    }
    for (int i = 0; i < size; i++) rejection_count[rejections[i]]++;
    low += size;
  }
}
