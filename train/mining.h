/*
 * Losses over a whole batch. A step embeds n originals and their n positives, each once. Each of
 * these rows is the anchor once; the other one of the two is its partner, and every row of another
 * group serves it as a negative.
 *
 * For triplets (d: triplet_distance), what is taken from the negatives k of an anchor a:
 *
 *     MINE_ALL        every triplet with a loss above 0; the mean is over these, so that easy ones
 *                     do not dilute it ("batch all", Hermans, Beyer, Leibe 2017, In Defense of the
 *                     Triplet Loss)
 *     MINE_SEMI_HARD  the nearest negative that is farther than the partner; when there is none,
 *                     the farthest one (Schroff, Kalenichenko, Philbin 2015, FaceNet)
 *     MINE_HARDEST    the nearest negative ("batch hard", Hermans et al.); it can collapse an
 *                     embedding that is still random
 *
 * The last two average over all anchors.
 *
 * NT-Xent (Chen et al. 2020, SimCLR), with s the dot product of rows of length 1, tau the
 * temperature and p the partner:
 *
 *     mean over a of -log( exp(s(a,p)/tau) / (exp(s(a,p)/tau) + sum over k of exp(s(a,k)/tau)) )
 */
#ifndef REFRAIN_MINING_H
#define REFRAIN_MINING_H

#include "train/loss.h"

enum mining { MINE_DRAWN, MINE_ALL, MINE_SEMI_HARD, MINE_HARDEST };

struct batch_rows {
    const double *rows;     /* (2 n, dim): n originals, then their positives */
    const uint64_t *groups; /* of the 2 n rows */
    size_t n, dim;
};

/* Both write the gradient, in the layout of rows, and return the loss. `mining` is not MINE_DRAWN,
 * which is triplet_loss. A batch of one group has no negatives: loss and gradient 0. */
double triplet_loss_mined(const struct batch_rows *b, enum mining mining, double margin,
                          double *grad);
double ntxent_loss(const struct batch_rows *b, double temperature, double *grad);

/* What is reported of such a batch, whatever its gradient comes from: the triplet loss of one
 * triplet an original, as validation measures it. Its negative is one of the batch's originals of
 * other groups, all alike, drawn by (seed, batch_i). An original without any has no triplet. */
void triplet_stats_of_batch(const struct batch_rows *b, double margin, uint64_t seed,
                            uint64_t batch_i, struct triplet_stats *out);

#endif
