/* The loop of specsim's literal engine for ratio and block verification on a chain, written by hand.
 *
 * The same method, tables and random words: its tallies and the engine's agree to the last count where both
 * scan rows. A run is decoded round by round; a kernel verifies the drafted nodes of a round.
 */
#include "rows.h"

#define MOST 64 /* nodes of a round */

typedef struct {
  i64 row[MOST], token[MOST], context[MOST];
  double coin[MOST];
  const double *target, *draft;
  i64 tokens;
} Step;

typedef struct {
  i64 stop, final;
} Verdict;

typedef Verdict Verify(const Step *step, i64 nodes);

typedef struct {
  i64 *by_step, *rejection_count, *call_count, *length_count, *square_sum, *first_count, *round_count, *tokens;
} Counts;

static inline void node_words(u64 seed, u64 run, u32 slot, u32 node, u64 out[2]) {
  words_at(seed, run, slot, node, 0, out);
}

static inline double positive(double x) { return x > 0.0 ? x : 0.0; }

static inline double excess(const Step *step, i64 row, double scale) {
  const double *t = step->target + row * step->tokens, *d = step->draft + row * step->tokens;
  double total = 0.0;
  for (i64 y = 0; y < step->tokens; y++) total += positive(scale * t[y] - d[y]);
  return total;
}

static inline i64 draw_excess(const Step *step, i64 row, double scale) {
  const double *t = step->target + row * step->tokens, *d = step->draft + row * step->tokens;
  double level = step->coin[0] * excess(step, row, scale), reached = 0.0;
  i64 found = -1;
  for (i64 y = 0; y < step->tokens; y++) {
    double weight = scale * t[y] - d[y];
    if (weight > 0.0) {
      found = y;
      reached += weight;
      if (level < reached) break;
    }
  }
  return found;
}

static Verdict ratio(const Step *step, i64 nodes) {
  for (i64 i = 1; i < nodes; i++) {
    i64 at = step->row[i - 1] * step->tokens + step->token[i];
    if (step->coin[i] * step->draft[at] >= step->target[at])
      return (Verdict){i - 1, draw_excess(step, step->row[i - 1], 1.0)};
  }
  return (Verdict){nodes - 1, -1};
}

static Verdict block(const Step *step, i64 nodes) {
  double weight = 1.0, scale = 1.0;
  i64 stop = 0;
  for (i64 i = 1; i < nodes; i++) {
    i64 at = step->row[i - 1] * step->tokens + step->token[i];
    int success;
    weight = weight * step->target[at] / step->draft[at];
    if (weight > 1.0) weight = 1.0;
    if (i == nodes - 1) {
      success = step->coin[i] < weight;
    } else {
      double mass = excess(step, step->row[i], weight);
      success = weight == 1.0 || step->coin[i] * (mass + 1.0 - weight) < mass;
    }
    if (success) stop = i, scale = weight;
  }
  if (stop == nodes - 1) return (Verdict){stop, -1};
  return (Verdict){stop, draw_excess(step, step->row[stop], scale)};
}

/* Tallies of the runs 0 .. runs - 1; `width` is 0 when tokens are not counted by context. */
void simulate_literal(int rule, u64 seed, i64 runs, i64 horizon, i64 length, i64 tokens, const double *target,
                      const double *draft, const u32 *prompt_last, const u32 *prompt_guide, int prompt_bits,
                      i64 contexts, const u32 *draft_last, const u32 *draft_guide, const u32 *target_last,
                      const u32 *target_guide, int bits, const i64 *next_context, i64 stride, i64 width,
                      i64 *const *tallies) {
  Table prompt = {prompt_last, prompt_guide, (i64)1 << prompt_bits, 32 - prompt_bits};
  Table drafts = {draft_last, draft_guide, (i64)1 << bits, 32 - bits};
  Table targets = {target_last, target_guide, (i64)1 << bits, 32 - bits};
  Counts counts = {tallies[0], tallies[1], tallies[2], tallies[3], tallies[4], tallies[5], tallies[6], tallies[7]};
  Verify *volatile chosen = rule ? block : ratio; /* a pointer, as in the engine */
  Verify *verify = chosen;
  i64 lengths[MOST] = {0};
  Step step = {.target = target, .draft = draft, .tokens = tokens};
  u64 w[2];
  for (i64 run = 0; run < runs; run++) {
    node_words(seed, run, 0, 0, w);
    step.context[0] = draw_row(&prompt, contexts, 0, (u32)(w[0] >> 32));
    i64 position = 0, calls = 0, rejections = 0;
    while (position < horizon) {
      i64 nodes = 1 + (length < horizon - position ? length : horizon - position);
      u64 root[2];
      node_words(seed, run, (u32)(position + 1), 0, root);
      step.row[0] = stride * position + step.context[0];
      step.coin[0] = coin_of(root[1]);
      for (i64 node = 1; node < nodes; node++) {
        node_words(seed, run, (u32)(position + 1), (u32)node, w);
        step.coin[node] = coin_of(w[1]);
        i64 token = draw_row(&drafts, tokens, step.row[node - 1], (u32)(w[0] >> 32));
        i64 context = next_context[step.context[node - 1] * tokens + token];
        i64 at = position + node < horizon ? position + node : horizon - 1;
        step.token[node] = token;
        step.context[node] = context;
        step.row[node] = stride * at + context;
      }
      Verdict verdict = verify(&step, nodes);
      i64 accepted = verdict.stop, final = verdict.final;
      for (i64 node = accepted; node > 0; node--)
        counts.tokens[(position + node - 1) * (width ? width * contexts : tokens) + width * step.context[node - 1] +
                      step.token[node]]++;
      counts.round_count[position * (horizon + 1) + accepted]++;
      lengths[accepted]++;
      if (calls == 0) counts.first_count[accepted]++;
      calls++;
      i64 context = step.context[accepted];
      position += accepted;
      if (final >= 0) {
        rejections++;
        counts.by_step[position]++;
      } else if (position < horizon) {
        final = draw_row(&targets, tokens, step.row[accepted], (u32)(root[0] >> 32));
      }
      if (final >= 0) {
        counts.tokens[position * (width ? width * contexts : tokens) + width * context + final]++;
        context = next_context[context * tokens + final];
        position++;
      }
      step.context[0] = context;
    }
    counts.rejection_count[rejections]++;
    counts.call_count[calls]++;
    for (i64 j = 0; j <= length; j++) {
      counts.length_count[j] += lengths[j];
      counts.square_sum[j] += lengths[j] * lengths[j];
      lengths[j] = 0;
    }
  }
}
