/* The loops of specsim's simulations of PEARL and of chains of models, written by hand.
 *
 * The same method, tables and random words: what they count agrees with the engines to the last count.
 */
#include <stdlib.h>
#include <string.h>

#include "rows.h"

#define PEARL_NODE 0xFFFFFu
#define CHAIN_NODE 0xFFFFEu

static inline i64 least(i64 a, i64 b) { return a < b ? a : b; }

void simulate_pearl(u64 seed, i64 runs, i64 longest, i64 horizon, i64 contexts, i64 tokens, const i64 *offset,
                    const i64 *following, const u32 *prompt_last, const u32 *prompt_guide, i64 prompt_bits,
                    const u32 *draft_last, const u32 *draft_guide, i64 bits, const double *target,
                    const double *draft, const double *excess, const i64 *draft_ticks, const i64 *target_ticks,
                    i64 overhead, i64 *ticks, i64 *rounds, i64 *rejections, i64 *counts) {
  Table prompt = {prompt_last, prompt_guide, (i64)1 << prompt_bits, 32 - (int)prompt_bits};
  Table drafts = {draft_last, draft_guide, (i64)1 << bits, 32 - (int)bits};
  i64 *context = malloc((horizon + 1) * sizeof(i64)), *token = malloc(horizon * sizeof(i64));
  double *coin = malloc(horizon * sizeof(double));
  u64 w[2];
  for (i64 run = 0; run < runs; run++) {
    words_at(seed, run, 0, PEARL_NODE, 0, w);
    context[0] = draw_row(&prompt, contexts, 0, (u32)(w[0] >> 32));
    i64 verified = 0, known = 0, mode = 0, time = 0;
    while (verified < horizon) {
      i64 drafted = least(longest, horizon - known);
      for (i64 place = known; place < known + drafted; place++) {
        words_at(seed, run, (u32)(place + 1), PEARL_NODE, 0, w);
        coin[place] = coin_of(w[1]);
        token[place] = draw_row(&drafts, tokens, offset[place] + context[place], (u32)(w[0] >> 32));
        context[place + 1] = following[context[place] * tokens + token[place]];
      }
      rounds[mode * horizon + verified]++;
      i64 drafting = drafted * draft_ticks[verified], calling = target_ticks[(known - verified) * horizon + verified];
      time += (drafting > calling ? drafting : calling) + overhead;
      i64 tested = least(known + 1, horizon);
      known += drafted;
      mode = 1;
      for (i64 place = verified; place < tested; place++) {
        i64 row = offset[place] + context[place], at = row * tokens + token[place];
        verified = place + 1;
        int rejected = coin[place] * draft[at] >= target[at];
        if (rejected) {
          words_at(seed, run, (u32)(place + 1), PEARL_NODE, 1, w);
          token[place] = draw_sums(excess + row * tokens, tokens, coin_of(w[1]));
          context[place + 1] = following[context[place] * tokens + token[place]];
          rejections[place]++;
          known = place + 1;
          mode = 0;
        }
        counts[(place * contexts + context[place]) * tokens + token[place]]++;
        if (rejected) break;
      }
    }
    ticks[run] = time;
  }
  free(context), free(token), free(coin);
}

/* `rows` holds those of all models one after the other, `size` of each. */
void simulate_chain(u64 seed, i64 runs, i64 drafter, const i64 *lengths, i64 exact, i64 horizon, i64 contexts,
                    i64 tokens, const i64 *offset, const i64 *following, const u32 *prompt_last,
                    const u32 *prompt_guide, i64 prompt_bits, const u32 *last, const u32 *guide, i64 bits, i64 size,
                    const double *rows, const double *excess, const i64 *draft_ticks, const i64 *call_ticks,
                    i64 longest, i64 overhead, i64 *ticks, i64 *run_calls, i64 *calls, i64 *blocks,
                    i64 *rejections, i64 *counts) {
  Table prompt = {prompt_last, prompt_guide, (i64)1 << prompt_bits, 32 - (int)prompt_bits};
  Table table = {last, guide, (i64)1 << bits, 32 - (int)bits};
  i64 *context = malloc((horizon + 1) * sizeof(i64)), *token = malloc(horizon * sizeof(i64));
  i64 *passed = malloc((drafter + 1) * sizeof(i64));
  double *coin = malloc(horizon * sizeof(double));
  i64 width = longest + 1;
  u64 w[2];
#define NEXT_WORDS() (draws++, words_at(seed, run, (u32)(1 + (draws >> 18)), CHAIN_NODE, (u32)(draws & 0x3FFFF), w))
  for (i64 run = 0; run < runs; run++) {
    words_at(seed, run, 0, CHAIN_NODE, 0, w);
    context[0] = draw_row(&prompt, contexts, 0, (u32)(w[0] >> 32));
    memset(passed, 0, (drafter + 1) * sizeof(i64));
    u64 draws = 0;
    i64 time = 0;
    while (passed[0] < horizon) {
      i64 begin = passed[drafter], end = least(begin + lengths[drafter - 1], horizon);
      for (i64 place = begin; place < end; place++) {
        NEXT_WORDS();
        coin[place] = coin_of(w[1]);
        token[place] = draw_row(&table, tokens, drafter * size + offset[place] + context[place], (u32)(w[0] >> 32));
        context[place + 1] = following[context[place] * tokens + token[place]];
        calls[drafter * horizon + place]++;
        time += draft_ticks[place];
      }
      run_calls[drafter * runs + run] += end - begin;
      passed[drafter] = end;
      i64 level = drafter - 1;
      while (level >= 0 && (passed[level + 1] - passed[level] >= lengths[level] || passed[level + 1] == horizon)) {
        begin = passed[level], end = passed[level + 1];
        if (exact) end = least(end, begin + lengths[level]);
        i64 place = begin;
        for (; place < end; place++) {
          if (level < drafter - 1) {
            NEXT_WORDS();
            coin[place] = coin_of(w[1]);
          }
          i64 at = (level * size + offset[place] + context[place]) * tokens + token[place];
          if (coin[place] * rows[at + size * tokens] >= rows[at]) break;
        }
        run_calls[level * runs + run]++;
        calls[level * horizon + begin]++;
        blocks[(level * width + end - begin) * width + place - begin]++;
        time += call_ticks[(level * width + end - begin) * horizon + begin];
        if (place < horizon) {
          i64 row = level * size + offset[place] + context[place];
          NEXT_WORDS();
          if (place < end) {
            token[place] = draw_sums(excess + row * tokens, tokens, coin_of(w[1]));
            rejections[level * horizon + place]++;
          } else {
            token[place] = draw_row(&table, tokens, row, (u32)(w[0] >> 32));
          }
          context[place + 1] = following[context[place] * tokens + token[place]];
          place++;
        }
        for (i64 model = level; model <= drafter; model++) passed[model] = place;
        if (level == 0) {
          time += overhead;
          for (i64 at = begin; at < place; at++)
            counts[(at * contexts + context[at]) * tokens + token[at]]++;
        }
        level--;
      }
    }
    ticks[run] = time;
  }
  free(context), free(token), free(coin), free(passed);
}
