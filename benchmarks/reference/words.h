/* Philox4x32-10 (Salmon et al., SC 2011) for blocks of runs, and what the two kernels share.
 *
 * Run r reads, for position n, word n % 4 of the block with counter (n / 4, 2^30, r mod 2^32, r div 2^32)
 * and key (seed mod 2^32, seed div 2^32): the convention of specsim's alias engine, so that its tallies
 * and those of this program agree to the last count.
 */
#ifndef WORDS_H
#define WORDS_H
#include <immintrin.h>
#include <stdint.h>

#define BLOCK 2048
#define SLOT 0x40000000u
#define M0 0xD2511F53u
#define M1 0xCD9E8D57u
#define W0 0x9E3779B9u
#define W1 0xBB67AE85u

typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

static inline void philox(u32 c0, u32 c1, u32 c2, u32 c3, u32 k0, u32 k1, u32 out[4]) {
  for (int round = 0; round < 10; round++) {
    u64 a = (u64)M0 * c0, b = (u64)M1 * c2;
    c0 = (u32)(b >> 32) ^ c1 ^ k0;
    c1 = (u32)b;
    c2 = (u32)(a >> 32) ^ c3 ^ k1;
    c3 = (u32)a;
    k0 += W0;
    k1 += W1;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Words of `size` consecutive runs that agree in the upper half of their number. */
static inline void fill(u32 words[4][BLOCK], int size, u64 seed, u64 first_run, u32 block) {
  u32 low = (u32)first_run, high = (u32)(first_run >> 32);
  u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
  int i = 0;
#ifdef __AVX512F__
  const __m512i m0 = _mm512_set1_epi64(M0), m1 = _mm512_set1_epi64(M1);
  const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), low32 = _mm512_set1_epi64(0xFFFFFFFF);
  __m512i keys0[10], keys1[10];
  for (int round = 0; round < 10; round++) {
    keys0[round] = _mm512_set1_epi64(k0 + round * W0);
    keys1[round] = _mm512_set1_epi64(k1 + round * W1);
  }
  for (; i + 16 <= size; i += 16) {
    __m512i c0[2], c1[2], c2[2], c3[2];
    for (int h = 0; h < 2; h++) {
      c0[h] = _mm512_set1_epi64(block);
      c1[h] = _mm512_set1_epi64(SLOT);
      c2[h] = _mm512_and_si512(_mm512_add_epi64(_mm512_set1_epi64((u64)low + i + 8 * h), lanes), low32);
      c3[h] = _mm512_set1_epi64(high);
    }
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
      for (int h = 0; h < 2; h++) {
        __m512i a = _mm512_mul_epu32(m0, c0[h]), b = _mm512_mul_epu32(m1, c2[h]);
        c0[h] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(b, 32), c1[h], keys0[round], 0x96);
        c2[h] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(a, 32), c3[h], keys1[round], 0x96);
        c1[h] = b;
        c3[h] = a;
      }
    }
    for (int h = 0; h < 2; h++) {
      _mm256_store_si256((__m256i *)&words[0][i + 8 * h], _mm512_cvtepi64_epi32(c0[h]));
      _mm256_store_si256((__m256i *)&words[1][i + 8 * h], _mm512_cvtepi64_epi32(c1[h]));
      _mm256_store_si256((__m256i *)&words[2][i + 8 * h], _mm512_cvtepi64_epi32(c2[h]));
      _mm256_store_si256((__m256i *)&words[3][i + 8 * h], _mm512_cvtepi64_epi32(c3[h]));
    }
  }
#elif defined(__AVX2__)
  const __m256i m0 = _mm256_set1_epi64x(M0), m1 = _mm256_set1_epi64x(M1);
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6), low32 = _mm256_set1_epi64x(0xFFFFFFFF);
  for (; i + 4 <= size; i += 4) {
    __m256i c[4] = {_mm256_set1_epi64x(block), _mm256_set1_epi64x(SLOT),
                    _mm256_and_si256(_mm256_add_epi64(_mm256_set1_epi64x((u64)low + i),
                                                      _mm256_setr_epi64x(0, 1, 2, 3)), low32),
                    _mm256_set1_epi64x(high)};
    u32 r0 = k0, r1 = k1;
    for (int round = 0; round < 10; round++) {
      __m256i a = _mm256_mul_epu32(m0, c[0]), b = _mm256_mul_epu32(m1, c[2]);
      c[0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), c[1]), _mm256_set1_epi64x(r0));
      c[2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), c[3]), _mm256_set1_epi64x(r1));
      c[1] = b;
      c[3] = a;
      r0 += W0;
      r1 += W1;
    }
    for (int w = 0; w < 4; w++)
      _mm_store_si128((__m128i *)&words[w][i],
                      _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(c[w], even)));
  }
#endif
  for (; i < size; i++) {
    u32 out[4];
    philox(block, SLOT, low + i, high, k0, k1, out);
    for (int w = 0; w < 4; w++) words[w][i] = out[w];
  }
}

/* How many of `size` consecutive runs agree in the upper half of their number. */
static inline int until_carry(u64 first_run, int size) {
  u64 left = (u64)(u32)~first_run + 1;
  return (u64)size < left ? size : (int)left;
}

static inline u32 draw(const u32 *entries, u32 bits, u32 word) {
  u32 mask = (1u << bits) - 1, column = word & mask, entry = entries[column];
  return (word | mask) < entry ? column : entry & mask;
}
#endif
