/* The same for at most 8 tokens, with the tables in registers: needs AVX-512 with byte permutations (VBMI).
 *
 * `planes` holds, per step, four planes of 128 bytes: the lowest bytes of the entries of 8 rows of 16
 * columns, then the next ones. Byte 4 i + j of a group of 64 runs belongs to run 16 j + i of it.
 */
#include <string.h>

#include "words.h"

#if defined(__AVX512VBMI__) && defined(__AVX512BW__)
int can_permute(void) { return 1; }

#define COUNTED 7
typedef __m512i v;

static inline v choose(v mask, v one, v other) { return _mm512_ternarylogic_epi32(mask, one, other, 0xCA); }

void simulate_permute(u64 seed, u64 first_run, i64 runs, i64 horizon, const u32 *initial, u32 initial_bits,
                      const uint8_t *planes, i64 stride, i64 tokens, i64 *token_count, i64 *by_step,
                      i64 *rejection_count) {
  static __thread u32 words[4][BLOCK] __attribute__((aligned(64)));
  static __thread uint8_t base[BLOCK] __attribute__((aligned(64))), marks[BLOCK] __attribute__((aligned(64)));
  static __thread u32 totals[BLOCK] __attribute__((aligned(64)));
  const v low16 = _mm512_set1_epi32(0x0000FFFF), even = _mm512_set1_epi32(0x00FF00FF);
  const v nibble = _mm512_set1_epi8(15), one = _mm512_set1_epi8(1), zero = _mm512_setzero_si512();
  for (i64 low = 0; low < runs;) {
    u64 run = first_run + low;
    int size = until_carry(run, runs - low < BLOCK ? (int)(runs - low) : BLOCK);
    int groups = (size + 63) / 64, left = size % 64;
    u64 tail = left ? 0 : ~(u64)0;
    for (int r = 0; r < left; r++) tail |= (u64)1 << (4 * (r & 15) + (r >> 4));
    memset(marks, 0, sizeof marks);
    memset(totals, 0, sizeof totals);
    fill(words, size, seed, run, 0);
    for (int i = 0; i < size; i++)
      base[(i & ~63) + 4 * (i & 15) + ((i & 63) >> 4)] = draw(initial, initial_bits, words[0][i]) << 4;
    for (i64 n = 1; n <= horizon; n++) {
      if (n % 4 == 0) fill(words, size, seed, run, (u32)(n / 4));
      const uint8_t *table = planes + (n - 1) * stride;
      v t[8], met[COUNTED];
      for (int j = 0; j < 8; j++) t[j] = _mm512_loadu_si512(table + 64 * j);
      for (int y = 0; y < COUNTED; y++) met[y] = zero;
      i64 rejections = 0;
      for (int g = 0; g < groups; g++) {
        const u32 *w = words[n % 4] + 64 * g;
        v r0 = _mm512_load_si512(w), r1 = _mm512_load_si512(w + 16);
        v r2 = _mm512_load_si512(w + 32), r3 = _mm512_load_si512(w + 48);
        v a = choose(low16, r0, _mm512_slli_epi32(r2, 16)), b = choose(low16, r1, _mm512_slli_epi32(r3, 16));
        v c = choose(low16, _mm512_srli_epi32(r0, 16), r2), d = choose(low16, _mm512_srli_epi32(r1, 16), r3);
        v p0 = choose(even, a, _mm512_slli_epi32(b, 8)), p1 = choose(even, _mm512_srli_epi32(a, 8), b);
        v p2 = choose(even, c, _mm512_slli_epi32(d, 8)), p3 = choose(even, _mm512_srli_epi32(c, 8), d);
        v column = _mm512_and_si512(p0, nibble);
        v index = _mm512_or_si512(_mm512_load_si512(base + 64 * g), column);
        v e0 = _mm512_permutex2var_epi8(t[0], index, t[1]), e1 = _mm512_permutex2var_epi8(t[2], index, t[3]);
        v e2 = _mm512_permutex2var_epi8(t[4], index, t[5]), e3 = _mm512_permutex2var_epi8(t[6], index, t[7]);
        __mmask64 own = _mm512_cmplt_epu8_mask(_mm512_or_si512(p0, nibble), e0);
        own = _mm512_cmplt_epu8_mask(p1, e1) | _mm512_mask_cmpeq_epu8_mask(own, p1, e1);
        own = _mm512_cmplt_epu8_mask(p2, e2) | _mm512_mask_cmpeq_epu8_mask(own, p2, e2);
        own = _mm512_cmplt_epu8_mask(p3, e3) | _mm512_mask_cmpeq_epu8_mask(own, p3, e3);
        v atom = _mm512_mask_mov_epi8(_mm512_and_si512(e0, nibble), own, column);
        v token = _mm512_and_si512(atom, _mm512_set1_epi8(7));
        _mm512_store_si512(base + 64 * g, _mm512_slli_epi32(token, 4));
        __mmask64 rejected = _mm512_test_epi8_mask(atom, _mm512_set1_epi8(8));
        if (__builtin_expect(left && g == groups - 1, 0)) {
          rejected &= tail;
          token = _mm512_mask_mov_epi8(_mm512_set1_epi8(-1), tail, token);
        }
        v mark = _mm512_load_si512(marks + 64 * g);
        _mm512_store_si512(marks + 64 * g, _mm512_mask_add_epi8(mark, rejected, mark, one));
        rejections += __builtin_popcountll(rejected);
#pragma GCC unroll 7
        for (int y = 0; y < COUNTED; y++)
          met[y] = _mm512_mask_add_epi8(met[y], _mm512_cmpeq_epi8_mask(token, _mm512_set1_epi8(y)), met[y], one);
      }
      by_step[n - 1] += rejections;
      i64 rest = size;
      for (int y = 0; y < COUNTED && y < tokens; y++) {
        i64 count = _mm512_reduce_add_epi64(_mm512_sad_epu8(met[y], zero));
        token_count[(n - 1) * tokens + y] += count;
        rest -= count;
      }
      if (tokens > COUNTED) token_count[(n - 1) * tokens + COUNTED] += rest;
      if (n % 252 == 0 || n == horizon) {
        for (int g = 0; g < groups; g++) {
          v mark = _mm512_load_si512(marks + 64 * g), byte = _mm512_set1_epi32(255);
          for (int j = 0; j < 4; j++) {
            u32 *total = totals + 64 * g + 16 * j;
            v more = _mm512_and_si512(_mm512_srlv_epi32(mark, _mm512_set1_epi32(8 * j)), byte);
            _mm512_store_si512(total, _mm512_add_epi32(_mm512_load_si512(total), more));
          }
        }
        memset(marks, 0, sizeof marks);
      }
    }
    for (int i = 0; i < size; i++) rejection_count[totals[i]]++;
    low += size;
  }
}
#else
int can_permute(void) { return 0; }
#endif
