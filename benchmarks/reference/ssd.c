/* The loop of specsim's simulation of speculative speculative decoding, written by hand.
 *
 * The same method, tables and random words: what it counts agrees with the engine to the last count.
 */
#include <stdlib.h>

#include "rows.h"

#define SSD_NODE 0xFFFFDu

void simulate_ssd(u64 seed, i64 runs, i64 longest, i64 horizon, i64 contexts, i64 tokens, i64 batch, const i64 *offset,
                  const i64 *following, const u32 *prompt_last, const u32 *prompt_guide, i64 prompt_bits,
                  const u32 *draft_last, const u32 *draft_guide, i64 draft_bits, const u32 *target_last,
                  const u32 *target_guide, i64 target_bits, const double *target, const double *draft,
                  const double *excess, const int *ranks, const i64 *rows_of, const i64 *guesses, i64 places,
                  const i64 *calls, const i64 *backups, const i64 *hit_waits, const i64 *miss_waits, i64 overhead,
                  i64 *ticks, i64 *rounds, i64 *outcomes, i64 *rejections, i64 *counts) {
  Table prompt = {prompt_last, prompt_guide, (i64)1 << prompt_bits, 32 - (int)prompt_bits};
  Table drafts = {draft_last, draft_guide, (i64)1 << draft_bits, 32 - (int)draft_bits};
  Table targets = {target_last, target_guide, (i64)1 << target_bits, 32 - (int)target_bits};
  i64 *context = malloc(batch * sizeof(i64)), *written = malloc(batch * sizeof(i64));
  u64 w[2];
  for (i64 run = 0; run < runs; run++) {
    for (i64 lane = 0; lane < batch; lane++) {
      words_at(seed, run * batch + lane, 0, SSD_NODE, 0, w);
      context[lane] = draw_row(&prompt, contexts, 0, (u32)(w[0] >> 32));
      written[lane] = 0;
    }
    i64 who = 0, running = batch, first = 0, time = backups[(batch - 1) * horizon];
    while (running > 0) {
      i64 cost = (running - 1) * horizon + first;
      i64 waits = who * batch * horizon + cost;
      int all_hit = 1;
      time += calls[cost] + overhead;
      running = 0, first = horizon;
      for (i64 lane = 0; lane < batch; lane++) {
        i64 place = written[lane], here = context[lane];
        if (place == horizon) continue;
        u64 number = run * batch + lane;
        i64 end = place + longest < horizon ? place + longest : horizon;
        i64 accepted = 0, final = -1, rank = 0;
        rounds[who * horizon + place]++;
        for (; place < end; place++, accepted++) {
          i64 row = offset[place] + here, drawn = rows_of[who] + row;
          words_at(seed, number, (u32)(place + 1), SSD_NODE, 0, w);
          i64 token = draw_row(&drafts, tokens, drawn, (u32)(w[0] >> 32));
          if (coin_of(w[1]) * draft[drawn * tokens + token] >= target[row * tokens + token]) {
            words_at(seed, number, (u32)(place + 1), SSD_NODE, 1, w);
            final = draw_sums(excess + drawn * tokens, tokens, coin_of(w[1]));
            const int *order = ranks + row * tokens;
            rank = order[final] - (order[token] < order[final]);
            rejections[place]++;
            break;
          }
          counts[(place * contexts + here) * tokens + token]++;
          here = following[here * tokens + token];
        }
        if (final < 0 && place < horizon) {
          i64 row = offset[place] + here;
          words_at(seed, number, (u32)(place + 1), SSD_NODE, 1, w);
          final = draw_row(&targets, tokens, row, (u32)(w[0] >> 32));
          rank = ranks[row * tokens + final];
        }
        if (final >= 0) {
          counts[(place * contexts + here) * tokens + final]++;
          here = following[here * tokens + final];
          place++;
        }
        context[lane] = here, written[lane] = place;
        i64 *outcome = outcomes + (who * (longest + 1) + accepted) * 3;
        if (place == horizon) {
          outcome[2]++;
          continue;
        }
        int hit = rank < guesses[who * places + accepted];
        outcome[hit]++;
        all_hit &= hit;
        running++;
        if (place < first) first = place;
      }
      if (running > 0) {
        who = all_hit;
        time += all_hit ? hit_waits[waits] : miss_waits[waits] + backups[(running - 1) * horizon + first];
      }
    }
    ticks[run] = time;
  }
  free(context), free(written);
}
