/*
 * Losses over a whole batch. A step embeds n originals, their n positives and n drawn negatives
 * once; here every row of another group serves every anchor as a negative. Each original and each
 * positive is the anchor once, and the other one of the two is its partner. So are, with
 * pairs_negatives (sampler_step), the negatives 2 j and 2 j + 1 where they are of one group: then a
 * third of the batch is not there to push alone.
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

#include "base/base.h"

enum mining { MINE_DRAWN, MINE_ALL, MINE_SEMI_HARD, MINE_HARDEST };

struct batch_rows {
    const double *rows;     /* (3 n, dim): n originals, their positives, n others */
    const uint64_t *groups; /* of the 3 n rows */
    size_t n, dim;
    bool pairs_negatives;
};

/* Both write the gradient, in the layout of rows, and return the loss. `mining` is not MINE_DRAWN,
 * which is triplet_loss. A batch of one group has no negatives: loss and gradient 0. */
double triplet_loss_mined(const struct batch_rows *b, enum mining mining, double margin,
                          double *grad);
double ntxent_loss(const struct batch_rows *b, double temperature, double *grad);

#endif
