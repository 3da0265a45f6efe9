/* What the loops of the literal engine and of the systems share: words of a node, coins, and draws from rows. */
#ifndef ROWS_H
#define ROWS_H
#include <math.h>

#include "words.h"

typedef struct {
  const u32 *last, *guide;
  i64 cells;
  int shift;
} Table;

static inline void words_at(u64 seed, u64 run, u32 slot, u32 node, u32 block, u64 out[2]) {
  u32 w[4];
  philox(node | (block & 0xFFFu) << 20, 0xC0000000u | slot | (block >> 12) << 24, (u32)run, (u32)(run >> 32),
         (u32)seed, (u32)(seed >> 32), w);
  out[0] = (u64)w[0] << 32 | w[1];
  out[1] = (u64)w[2] << 32 | w[3];
}

static inline double coin_of(u64 word) { return (double)(word >> 11) * 0x1p-53; }

static inline i64 draw_row(const Table *table, i64 tokens, i64 row, u32 word) {
  const u32 *last = table->last + row * tokens;
  i64 token = table->guide[row * table->cells + (word >> table->shift)];
  while (word > last[token]) token++;
  return token;
}

/* A token by weights whose running sums are given. */
static inline i64 draw_sums(const double *sums, i64 tokens, double coin) {
  double total = sums[tokens - 1], level = coin * total, most = nextafter(total, 0.0);
  if (level > most) level = most;
  i64 low = 0, high = tokens - 1;
  while (low < high) {
    i64 middle = (low + high) >> 1;
    if (sums[middle] > level)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}
#endif
