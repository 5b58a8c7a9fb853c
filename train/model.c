#include "train/model.h"

#include "base/hash.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RNG_WEIGHTS = 0x77656967 /* "weig" */ };

static int32_t conv_3x3(struct net *n, const char *name, int32_t x, int32_t stride,
                        int32_t channels)
{
    struct window w = {{3, 3}, {stride, stride}, {1, 1}};
    return net_conv(n, name, x, &w, channels);
}

/* "layer1.0" and "conv1" to "layer1.0.conv1". */
static const char *join(char out[NET_NAME_BYTES], const char *block, const char *part)
{
    int len = snprintf(out, NET_NAME_BYTES, "%s.%s", block, part);
    assert(len > 0 && len < NET_NAME_BYTES);
    return out;
}

/* ResNet's basic block: two convolutions beside the identity, or beside a 1x1 convolution where the
 * shape changes. */
static int32_t residual_block(struct net *n, const char *name, int32_t x, int32_t stride,
                              int32_t channels)
{
    char full[NET_NAME_BYTES];
    int32_t y = conv_3x3(n, join(full, name, "conv1"), x, stride, channels), beside = x;
    y = net_bn(n, join(full, name, "bn1"), y, true);
    y = conv_3x3(n, join(full, name, "conv2"), y, 1, channels);
    y = net_bn(n, join(full, name, "bn2"), y, false);
    if (stride != 1 || net_shape(n, x).c != channels) {
        struct window w = {{1, 1}, {stride, stride}, {0, 0}};
        beside = net_conv(n, join(full, name, "downsample.0"), x, &w, channels);
        beside = net_bn(n, join(full, name, "downsample.1"), beside, false);
    }
    return net_add_relu(n, y, beside);
}

struct builder {
    struct net *net;
    const struct model_spec *spec;
    bool is_trained; /* the part being declared */
};

static void begin_part(struct builder *b, const char *part)
{
    size_t len = strlen(part);
    const char *from = b->spec->unfreeze;
    b->is_trained =
        b->is_trained || strcmp(from, "all") == 0 ||
        (strncmp(from, part, len) == 0 && (from[len] == '\0' || strcmp(from + len, "+") == 0));
    net_freeze(b->net, !b->is_trained);
}

/* Pooled features to the embedding. */
static int32_t head(struct builder *b, int32_t x)
{
    begin_part(b, "fc");
    x = net_global_average(b->net, x);
    if (b->spec->dropout > 0.0)
        x = net_dropout(b->net, x, b->spec->dropout);
    x = net_linear(b->net, "fc", x, EMBEDDING_DIM);
    return net_l2norm(b->net, x);
}

static int32_t stage(struct builder *b, const char *name, int32_t x, int32_t channels)
{
    char full[NET_NAME_BYTES];
    begin_part(b, name);
    x = conv_3x3(b->net, join(full, name, "down.conv"), x, 2, channels);
    x = net_bn(b->net, join(full, name, "down.bn"), x, true);
    return residual_block(b->net, join(full, name, "0"), x, 1, channels);
}

static int32_t build_cnn(struct builder *b, int32_t x)
{
    struct net *n = b->net;
    struct window stem = {{7, 5}, {4, 2}, {3, 2}};
    begin_part(b, "conv1");
    x = net_conv(n, "conv1", x, &stem, 16);
    x = net_bn(n, "bn1", x, true);
    x = stage(b, "layer1", x, 32);
    x = stage(b, "layer2", x, 64);
    x = stage(b, "layer3", x, 128);
    begin_part(b, "bands");
    struct window all_bands = {{1, net_shape(n, x).w}, {1, 1}, {0, 0}};
    x = net_bn(n, "bands.bn", net_conv(n, "bands.conv", x, &all_bands, 128), true);
    return head(b, x);
}

static int32_t build_resnet18(struct builder *b, int32_t x)
{
    static const struct {
        const char *name;
        int32_t stride, channels;
    } layers[] = {{"layer1", 1, 64}, {"layer2", 2, 128}, {"layer3", 2, 256}, {"layer4", 2, 512}};
    struct net *n = b->net;
    char block[NET_NAME_BYTES];
    struct window stem = {{7, 7}, {2, 2}, {3, 3}}, pool = {{3, 3}, {2, 2}, {1, 1}};
    begin_part(b, "conv1");
    x = net_conv(n, "conv1", x, &stem, 64);
    x = net_bn(n, "bn1", x, true);
    x = net_maxpool(n, x, &pool);
    for (size_t i = 0; i < ARRAY_LEN(layers); i++) {
        begin_part(b, layers[i].name);
        x = residual_block(n, join(block, layers[i].name, "0"), x, layers[i].stride,
                           layers[i].channels);
        x = residual_block(n, join(block, layers[i].name, "1"), x, 1, layers[i].channels);
    }
    return head(b, x);
}

static const struct {
    const char *name;
    int32_t (*build)(struct builder *b, int32_t x);
    const char *parts;
} models[] = {{"cnn", build_cnn, "conv1, layer1, layer2, layer3, bands, fc"},
              {"resnet18", build_resnet18, "conv1, layer1, layer2, layer3, layer4, fc"}};

bool model_build(struct net *n, const struct model_spec *spec, int32_t n_pictures, struct err *e)
{
    struct builder b = {.net = n, .spec = spec};
    if (spec->n_frames < MODEL_SIDE_MIN || spec->n_mels < MODEL_SIDE_MIN)
        return err_set(e, ERR_USAGE, "pictures of %d frames by %d mels are too small: %d needed",
                       spec->n_frames, spec->n_mels, MODEL_SIDE_MIN);
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        if (strcmp(spec->name, models[i].name) != 0)
            continue;
        int32_t x = net_input(n, (struct shape){n_pictures, spec->n_frames, spec->n_mels, 1});
        x = models[i].build(&b, x);
        if (!b.is_trained)
            return err_set(e, ERR_USAGE, "%s cannot be unfrozen from \"%s\": all, or one of %s",
                           spec->name, spec->unfreeze, models[i].parts);
        return net_finish(n, x, false, e);
    }
    return err_set(e, ERR_USAGE, "there is no model \"%s\": known are cnn and resnet18",
                   spec->name);
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static void init_tensor(const struct param *p, const struct param *weight, float *value,
                        uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, RNG_WEIGHTS, hash64(p->name, strlen(p->name), 0));
    if (p->n_dims == 4) {
        double sigma = sqrt(2.0 / ((double)p->dims[0] * p->dims[2] * p->dims[3]));
        for (size_t i = 0; i < p->count; i++)
            value[i] = (float)(sigma * rng_normal(&r));
    } else if (weight->n_dims == 2) {
        double bound = 1.0 / sqrt((double)weight->dims[1]);
        for (size_t i = 0; i < p->count; i++)
            value[i] = (float)rng_range(&r, -bound, bound);
    } else {
        bool is_one = ends_with(p->name, ".weight") || ends_with(p->name, ".running_var");
        for (size_t i = 0; i < p->count; i++)
            value[i] = is_one ? 1.0f : 0.0f;
    }
}

void model_init(struct params *p, uint64_t seed)
{
    const struct param *weight = NULL; /* of the layer: always declared first */
    for (size_t i = 0; i < p->n; i++) {
        if (ends_with(p->items[i].name, ".weight"))
            weight = &p->items[i];
        assert(weight != NULL);
        init_tensor(&p->items[i], weight, p->value + p->items[i].offset, seed);
    }
}
